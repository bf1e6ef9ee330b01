"""A study from Python: in a script, with or without `if __name__ == "__main__":`, and in a notebook."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_seg.config import StudyConfig
from tune_seg.errors import InputError
from tune_seg.study.files import CONFIGURATIONS, RESULTS, directory_of, existing_study
from tune_seg.study.record import State

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from tune_seg.inference.trained_model import SeedEnsemble, TrainedModel
    from tune_seg.study.figures.plots import Plots
    from tune_seg.study.plan import Plan
    from tune_seg.study.run import Outcome


class Study:
    """A study: its configuration, its trials and their results.

    Creating it starts nothing and writes nothing; :meth:`run` does. A study lives in its directory: to run one with the same
    name and configuration again, also from the command line, continues it.

    Args:
        config: the name of a preset, a YAML file, or the same as a mapping or as a configuration.
        data: the folder of the images; of a published table's preset also NAME=FOLDER.
        name: of the study; by default that of the preset or file. The data set of a table is added: `hossain_table3_mri`.
        studies: the folder in which studies are kept, each in a folder of its name; by default `studies`. With the
            `study.yaml` of a study and no `name` that study is continued where it is.
        overrides: values by dotted key, as `--set` gives them; a key that is set no longer varies.
        like: another study, by its name in `studies` or its folder; what won there is tried first.

    Attributes:
        config: the configuration.
        directory: where the results are.

    Raises:
        InputError: a preset or file that is missing, an unknown key, an impossible value or name.

    Example:
        >>> study = Study("default", name="try", overrides={"search.trials": 12, "training.epochs": 10})
        >>> study.plan()  # checks all that can be checked; `study.run()` runs it, `study.best` is its best trial
        study: .../studies/try
        trials: 12, up to 10 epochs each, on ... training images
        ...
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | StudyConfig = "default",
        *,
        data: str | Path | None = None,
        name: str | None = None,
        studies: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        like: str | Path | None = None,
    ) -> None:
        from tune_seg.study.configuration import load_config, read_values, split_data

        given = config.model_dump(mode="json") if isinstance(config, StudyConfig) else config
        file = given if isinstance(given, str | Path) else None
        self.directory = directory_of(file, name=name, studies=studies)
        if data is not None:
            dataset, _ = split_data(str(data), read_values(given).get("datasets", {}))
            self.directory = directory_of(file, name=name, studies=studies, dataset=dataset)
        self.config = load_config(given, data=data, overrides=overrides)
        if like is not None:
            from tune_seg.study.like import like_study

            self.config = like_study(self.config, existing_study(str(like), self.directory.parent))

    def __repr__(self) -> str:
        """The study's name, its folder, and how many of its trials are over for good, for a person."""
        import pyarrow.parquet as pq

        study, path = f"study {self.directory.name} in {self.directory}", self.directory / RESULTS
        try:
            trials = pq.read_table(path).to_pylist() if path.is_file() else []
            ended = sum(State(trial["state"]).ended for trial in trials)
        except (OSError, ValueError, KeyError):
            return f"{study}: {RESULTS} cannot be read"
        return f"{study}: {ended} trial{' has' if ended == 1 else 's have'} ended"

    def plan(self) -> "Plan":
        """Check all that can be checked without starting anything; the plan, printed, says what will run.

        Raises:
            InputError: the configuration, the space, or the layout of the data is wrong.
        """
        from tune_seg.study.plan import plan_study

        return plan_study(self.config, self.directory)

    def run(self) -> "Outcome":
        """Run the study, or what is left of it, and print how it goes and what came out, as the command does.

        Ctrl-C (in a notebook: interrupt the kernel) ends it early; what was computed is kept, and to run it again continues
        it.

        A study of a published table is shown beside the paper by `tune-seg compare`, not here.

        Returns:
            `Outcome.FINISHED`; `Outcome.FAILED`, if some trials ended with an error; or `Outcome.INTERRUPTED`.

        Raises:
            InputError: the data, the model, the resources or the study directory are not what the study needs.
        """
        from tune_seg.study.output.messages import study_console
        from tune_seg.study.run import run_study

        return run_study(self.plan(), study_console())

    def confirm(self, *, finalists: int | None = None, seeds: int | None = None, hours: float | None = None) -> "Outcome":
        """Train the best configurations and plain cross entropy with more seeds, until they are told apart.

        Args:
            finalists: how many configurations beside plain cross entropy; `search.confirm.finalists` of the study.
            seeds: of each configuration, at most; `search.confirm.max_seeds` of the study.
            hours: after so many no further seed begins.

        Returns:
            As :meth:`run`.

        Raises:
            InputError: the study has no trial yet, or as :meth:`run`.
        """
        from tune_seg.study.run import confirm_study

        wanted = {"search.confirm.finalists": finalists, "search.confirm.max_seeds": seeds}
        overrides = {key: value for key, value in wanted.items() if value is not None}
        return confirm_study(existing_study(str(self.directory), self.directory.parent), overrides, hours)

    def load_model(
        self,
        trial: int | None = None,
        *,
        plain: bool = False,
        device: "str | torch.device | None" = None,
        adjusted: bool = False,
    ) -> "TrainedModel":
        """The model of the configuration to take, ready for images of any size.

        Of a study without a verdict (several objectives, or its answer is not there yet) it is the best trial by the first
        objective whose weights are stored, and a warning says which; so it does where the answer is older than some trials.

        Args:
            trial: the number of another trial, whose weights are still stored.
            plain: plain cross entropy in place of the one to take.
            device: where to compute; a GPU where there is one.
            adjusted: take adjusted logits, which favour rare classes by the strength that was best on validation images.

        Raises:
            InputError: there is no such trial, or its weights are not stored any more.
        """
        from tune_seg.study.choosing import choose
        from tune_seg.study.exporting import open_model

        if trial is not None:
            return open_model(self.directory, trial, plain=plain, device=device, adjusted=adjusted)
        chosen, note = choose(existing_study(str(self.directory), self.directory.parent), plain=plain)
        if note:
            warnings.warn(note, stacklevel=2)
        return open_model(self.directory, chosen, plain=plain and chosen is None, device=device, adjusted=adjusted)

    def load_ensemble(self, *, device: "str | torch.device | None" = None, adjusted: bool = False) -> "SeedEnsemble":
        """The mean of the models of all repeats of the configuration to take, as far as their weights are stored.

        Args:
            device: where to compute; a GPU where there is one.
            adjusted: as :meth:`load_model` has it.

        Raises:
            InputError: the study has no answer yet, or no weights of its repeats are stored any more.
        """
        from tune_seg.study.choosing import note_of_answer
        from tune_seg.study.exporting import open_ensemble

        note = note_of_answer(existing_study(str(self.directory), self.directory.parent))
        if note:
            warnings.warn(note, stacklevel=2)
        return open_ensemble(self.directory, device=device, adjusted=adjusted)

    @property
    def plots(self) -> "Plots":
        """The figures of the report, as the study is now: `study.plots.forest()`, and others by their names.

        Raises:
            InputError: no trial has begun, or a file of the study is damaged.
        """
        from tune_seg.study.contents import read_study
        from tune_seg.study.figures.plots import Plots

        return Plots(read_study(existing_study(str(self.directory), self.directory.parent)))

    def report(self) -> Path:
        """Write `report.html` into the study's folder, as `tune-seg report` does; the file.

        Raises:
            InputError: no trial has begun, a file of the study is damaged, or the report cannot be written.
        """
        from tune_seg.study.html.write import write_report

        return write_report(existing_study(str(self.directory), self.directory.parent))

    @property
    def trials(self) -> "pd.DataFrame":
        """The trials, one a row, with the columns of `results.parquet`.

        Those that ran to their end come first, best score first; then the others, those that came farthest first. The score
        is the first objective after the last epoch.

        Raises:
            InputError: no trial has begun, or none had when the table was last written.
        """
        from tune_seg.study.record import rank_key

        path = self.directory / RESULTS
        trials = _table(path)
        if trials.empty:
            raise InputError(f"{path} has no trial yet: the study ended before the first one began; run the study first")
        scores = trials[self.config.objectives[0]]  # None where no trial has done an epoch
        keys = [rank_key(*row) for row in zip(trials["state"], trials["epochs"], scores, strict=True)]
        return trials.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)

    @property
    def configurations(self) -> "pd.DataFrame":
        """The configurations, one a row, with the columns of `configurations.parquet`, in the order of the report.

        Those that were repeated with new seeds come first, plain cross entropy among them; then those that ran to their end
        once, whose best is also the luckiest; then those that were stopped early. Each of the three begins with the best
        mean of the objective. A configuration is what a trial is without its seed and fold; `n` says how many trials the
        means are of: the repeats where there are any. `recommended` marks the one to take, as far as the study was
        confirmed.

        Raises:
            InputError: no session of the study has ended yet.
        """
        table = _table(self.directory / CONFIGURATIONS)
        order = {"repeated": table["repeats"] > 0, "ended": table["n"] > 0, "score": table[self.config.objectives[0]]}
        keys = table.assign(**order).sort_values([*order], ascending=False, kind="stable").index
        return table.loc[keys].reset_index(drop=True)

    @property
    def best(self) -> "pd.Series[Any]":
        """The trial to take: of the configuration that the verdict recommends, the best repeat that ran to its end.

        Where nothing was repeated to be sure, it is the best trial of all, which is also the luckiest. Of several objectives
        the first counts.

        Raises:
            InputError: no trial has run to its end yet.
        """
        trials = self.trials
        if trials["state"][0] != State.COMPLETED:
            raise InputError(f"study {self.directory}: no trial has run to its end yet; run the study first")
        if (self.directory / CONFIGURATIONS).is_file():
            configurations = _table(self.directory / CONFIGURATIONS)
            taken = configurations["configuration"][configurations["recommended"]]
            same = trials[trials["configuration"].isin(taken) & (trials["state"] == State.COMPLETED)]
            for found in (same[same["repeat"]], same):  # of repeats the weights are kept
                if len(found):
                    return found.iloc[0]
        return trials.iloc[0]


def _table(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise InputError(f"{path} is not there yet: it is written when the first trial has ended; run the study first")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
