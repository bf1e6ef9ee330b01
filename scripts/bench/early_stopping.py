"""What early stopping saves and what it costs: studies that ran to their end are replayed under each rule.

    PYTHONPATH=. python scripts/bench/early_stopping.py STUDY_DIR... [--objective NAME] [--slots N] [--draws N]

A study must have been run with `search.early_stopping.kind=none` and with the sampler `random`, so that its trials do not
depend on one another's scores. Printed are, for each: how the score after each epoch ranks the trials against their final
score, by kind of loss and by phase; which pairs of trials it puts in the right order; what scheduled trials' scores tell
from the epoch on in which their loss is settled; and for each rule what it saves and whom it stops.
"""

import argparse
import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from scipy.stats import spearmanr

from tune_seg.config import EarlyStoppingConfig, LossKind, StudyConfig, parse
from tune_seg.study.early_stopping import Course, EarlyStopping, final_shares, settles
from tune_seg.training.result import EpochResult
from tune_seg.training.trajectory import TrainingData, trajectory_keys

_LEAST = 6
"""Of fewer trials no rank correlation is shown."""

_APART = 0.25
"""Final scores that differ by less than this share of their standard deviation are not put in order."""

_GRACES = (0.25, 0.33, 0.42, 0.5, 0.58, 0.67)
"""The grace periods that are tried, as shares of the epochs."""

_PHASES = ("away", "between", "settled")
"""Under a quarter of the loss is what is active in the last epoch; under three quarters, or not for good; settled."""


@dataclass(frozen=True)
class Trial:
    """A trial that ran to its end: the score and the share of the final loss after each epoch."""

    number: int
    kind: LossKind
    course: Course
    shares: Sequence[float]
    scores: Sequence[float]
    baseline: bool

    @property
    def final(self) -> float:
        return self.scores[-1]

    def phase(self, epoch: int) -> str:
        if epoch >= self.course.settles:
            return "settled"
        return "away" if self.shares[epoch - 1] < 0.25 else "between"


Rule = Callable[[Trial, int], bool]
"""Takes note of a trial's score after an epoch; whether the trial should stop."""


def load(directory: Path, objective: str | None) -> tuple[str, int, list[Trial]]:
    """The objective, the length of a trial, and the trials of a study that ran to their end."""
    config = parse(StudyConfig, yaml.safe_load((directory / "study.yaml").read_text()))
    objective = objective or config.objectives[0]
    epochs = config.training.epochs
    # trajectories are told apart by ten steps an epoch as well as by those that were trained
    data = TrainingData(config.data.content or "", config.data.size, 10 * config.training.batch_size)
    storage = JournalStorage(JournalFileBackend(str(directory / "trials.journal")))
    trials = []
    for stored in optuna.load_study(study_name=None, storage=storage).get_trials(deepcopy=False):
        history = stored.user_attrs.get("outcome", {}).get("history", [])
        if len(history) < epochs:
            continue
        trial = config.trial(stored.user_attrs["assignment"])
        scores = [EpochResult.from_json(result).score(objective) for result in history]
        course = Course(trajectory_keys(trial, data), settles(trial), trial.fold)
        baseline = stored.number < len(config.baselines)
        trials.append(Trial(stored.number, trial.loss.kind, course, final_shares(trial), scores, baseline))
    return objective, epochs, trials


def distinct(trials: Iterable[Trial], epoch: int) -> list[Trial]:
    """One trial of each trajectory that they have after `epoch` epochs."""
    return list({trial.course.keys[epoch]: trial for trial in trials}.values())


def correlations(trials: Sequence[Trial], epochs: int) -> None:
    """Print Spearman's rank correlation of the score after each epoch with the final score."""
    groups: dict[str, Callable[[Trial, int], bool]] = {"all": lambda trial, epoch: True}
    for kind in dict.fromkeys(trial.kind for trial in trials):
        groups[kind.value] = lambda trial, epoch, kind=kind: trial.kind is kind
    for phase in _PHASES:
        groups[f"all, {phase}"] = lambda trial, epoch, phase=phase: trial.phase(epoch) == phase
    groups["moving, settled"] = lambda trial, epoch: trial.course.settles > 1 and trial.phase(epoch) == "settled"
    _row("rank correlation after epoch", range(1, epochs))
    _row("---", ["---"] * (epochs - 1))
    for name, belongs in groups.items():
        _row(name, (_spearman([t for t in distinct(trials, k) if belongs(t, k)], k) for k in range(1, epochs)))
    print()


def _spearman(trials: Sequence[Trial], epoch: int) -> str:
    return _correlation([(trial.scores[epoch - 1], trial.final) for trial in trials])


def _correlation(scores: Sequence[tuple[float, float]]) -> str:
    """Spearman's coefficient of the pairs and their number; empty for few, and where all scores are equal."""
    if len(scores) < _LEAST or len({score for score, _ in scores}) == 1:
        return ""
    return f"{spearmanr(scores).statistic:.2f} ({len(scores)})"


def pairs(trials: Sequence[Trial], epochs: int) -> None:
    """Print which share of the pairs of trials the score after each epoch puts in the order of their final scores."""
    apart = _APART * float(np.std([trial.final for trial in trials]))
    counts: dict[str, list[str]] = {}
    wanted = [f"{one}, {other}" for one, other in itertools.combinations_with_replacement(_PHASES, 2)]
    for epoch in range(1, epochs):
        right: defaultdict[str, float] = defaultdict(float)
        seen: defaultdict[str, int] = defaultdict(int)
        for one, other in itertools.combinations(distinct(trials, epoch), 2):
            gap, gap_now = one.final - other.final, one.scores[epoch - 1] - other.scores[epoch - 1]
            if abs(gap) > apart:
                pair = ", ".join(sorted((one.phase(epoch), other.phase(epoch)), key=_PHASES.index))
                seen[pair] += 1
                right[pair] += 0.5 if gap_now == 0 else gap_now * gap > 0
        for pair in wanted:
            cell = f"{right[pair] / seen[pair]:.2f} ({seen[pair]})" if seen[pair] >= 2 * _LEAST else ""
            counts.setdefault(pair, []).append(cell)
    _row("pairs in the right order after epoch", range(1, epochs))
    _row("---", ["---"] * (epochs - 1))
    for pair, cells in counts.items():
        _row(pair, cells)
    print()


def since_settled(trials: Sequence[Trial], epochs: int) -> None:
    """Print the rank correlation of trials whose loss moves, so many epochs after it was settled."""
    moving = [trial for trial in distinct(trials, epochs) if trial.course.settles > 1]
    cells = []
    for epoch in range(epochs - 1):
        known = [trial for trial in moving if trial.course.settles + epoch < epochs]
        cells.append(_correlation([(trial.scores[trial.course.settles + epoch - 1], trial.final) for trial in known]))
    _row("epochs since the loss is settled", range(1, epochs))
    _row("---", ["---"] * (epochs - 1))
    _row("moving", cells)
    print()


def _row(name: str, cells: Iterable[object]) -> None:
    print(f"| {name} | {' | '.join(str(cell) for cell in cells)} |")


def replay(trials: Sequence[Trial], epochs: int, rule: Rule, slots: int) -> dict[int, int]:
    """How many epochs each trial is trained when so many run at once, each epoch taking equally long."""
    trained: dict[int, int] = {}
    waiting = iter(trials)
    running = [(0, slot, trial) for slot, trial in enumerate(itertools.islice(waiting, slots))]
    while running:
        time, slot, trial = heapq.heappop(running)
        epoch = trained[trial.number] = trained.get(trial.number, 0) + 1
        stop = rule(trial, epoch) and not trial.baseline
        following = next(waiting, None) if stop or epoch == epochs else trial
        if following is not None:
            heapq.heappush(running, (time + 1, slot, following))
    return trained


def ours(config: EarlyStoppingConfig, epochs: int) -> Rule:
    rule = EarlyStopping(config, epochs)
    return lambda trial, epoch: rule.stops(trial.course, epoch, trial.scores[epoch - 1])


def regardless(config: EarlyStoppingConfig, epochs: int) -> Rule:
    """`settled`, but every loss counts as settled."""
    rule = EarlyStopping(config, epochs)
    return lambda trial, epoch: rule.stops(replace(trial.course, settles=1), epoch, trial.scores[epoch - 1])


def by_kind(config: EarlyStoppingConfig, epochs: int) -> Rule:
    """`asha` within each kind of loss."""
    rules = {kind: EarlyStopping(config, epochs) for kind in LossKind}
    return lambda trial, epoch: rules[trial.kind].stops(trial.course, epoch, trial.scores[epoch - 1])


def optunas(pruner: optuna.pruners.BasePruner, epochs: int) -> Rule:
    study = optuna.create_study(direction="maximize", pruner=pruner)
    handles: dict[int, optuna.Trial] = {}

    def rule(trial: Trial, epoch: int) -> bool:
        if trial.number not in handles:
            handles[trial.number] = study.ask()
        handle = handles[trial.number]
        handle.report(trial.scores[epoch - 1], epoch)
        stop = handle.should_prune() and not trial.baseline
        if epoch == epochs:
            study.tell(handle, trial.final)
        elif stop:
            study.tell(handle, state=TrialState.PRUNED)
        return stop

    return rule


def rules(epochs: int, grace: int) -> dict[str, Callable[[], Rule]]:
    """Every rule with a grace period, by its name."""
    halving, median = optuna.pruners.SuccessiveHalvingPruner, optuna.pruners.MedianPruner
    found: dict[str, Callable[[], Rule]] = {}
    for factor in (3, 2):
        pruner = partial(halving, min_resource=grace, reduction_factor=factor)
        found[f"plain ASHA, {factor}"] = lambda pruner=pruner: optunas(pruner(), epochs)
    pruner = partial(median, n_startup_trials=5, n_warmup_steps=grace - 1)
    found["median rule"] = lambda: optunas(pruner(), epochs)
    for name, make, kind in (
        ("ASHA by `loss.kind`", by_kind, "asha"),
        ("`settled` for any loss", regardless, "settled"),
        ("`settled`", ours, "settled"),
    ):
        for factor in (3, 2):
            config = EarlyStoppingConfig(kind=kind, grace_epochs=grace, reduction_factor=factor)
            found[f"{name}, {factor}"] = partial(make, config, epochs)
    return found


@dataclass(frozen=True)
class Outcome:
    """A replayed study: the share of epochs saved, and how far the best of those kept and stopped are below the winner."""

    saved: float
    regret: float
    best_stopped: float


def outcome(trials: Sequence[Trial], epochs: int, rule: Rule, slots: int) -> Outcome:
    trained = replay(trials, epochs, rule, slots)
    kept = [trial.final for trial in trials if trained[trial.number] == epochs]
    stopped = [trial.final for trial in trials if trained[trial.number] < epochs]
    best = max(kept + stopped)
    saved = 1 - sum(trained.values()) / (epochs * len(trials))
    return Outcome(saved, best - max(kept, default=0.0), best - max(stopped, default=0.0))


def compare(trials: Sequence[Trial], epochs: int, slots: int, draws: int) -> None:
    """Print what each rule saves and costs: on random halves of the study in random order, and on the study as it was."""
    generator = random.Random(0)
    baselines, others = [t for t in trials if t.baseline], [t for t in trials if not t.baseline]
    orders = [baselines + generator.sample(others, len(others) // 2) for _ in range(draws)]
    graces = sorted({max(1, round(share * epochs)) for share in _GRACES})
    halves: defaultdict[str, list[str]] = defaultdict(list)
    whole: defaultdict[str, list[str]] = defaultdict(list)
    for grace in graces:
        for name, make in rules(epochs, grace).items():
            drawn = [outcome(order, epochs, make(), slots) for order in orders]
            saved, regret = np.mean([(o.saved, o.regret) for o in drawn], axis=0)
            halves[name].append(f"{saved:.0%}, {np.mean([o.regret > 0 for o in drawn]):.0%}, {regret:.4f}")
            full = outcome(trials, epochs, make(), slots)
            whole[name].append(f"{full.saved:.0%}, {full.regret:.4f}, {full.best_stopped:.4f}")
    for title, table in (
        (f"{draws} random halves: epochs saved, winner stopped in, regret; grace", halves),
        ("the study in its order: epochs saved, regret, best stopped below the winner; grace", whole),
    ):
        _row(title, graces)
        _row("---", ["---"] * len(graces))
        for name, cells in table.items():
            _row(name, cells)
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY_DIR")
    parser.add_argument("--objective", help="replay for this metric instead of the study's objective")
    parser.add_argument("--slots", type=int, default=2, help="how many trials run at once")
    parser.add_argument("--draws", type=int, default=200, help="how many random halves are drawn")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for directory in arguments.studies:
        objective, epochs, trials = load(directory, arguments.objective)
        finals = [trial.final for trial in trials]
        different = len(distinct(trials, epochs))
        print(f"{directory.name}: {len(trials)} trials of {epochs} epochs, {different} of them different;", end=" ")
        print(f"final {objective}: best {max(finals):.4f}, standard deviation {np.std(finals):.4f}\n")
        correlations(trials, epochs)
        pairs(trials, epochs)
        since_settled(trials, epochs)
        compare(trials, epochs, arguments.slots, arguments.draws)


if __name__ == "__main__":
    main()
