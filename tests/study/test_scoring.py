"""What is scored after the decision: which trials, when, and what becomes of it where something is missing or fails."""

import json
import math
import operator
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.epoch_results import result
from tune_seg.config import DataConfig, StudyConfig, parse
from tune_seg.data import PackedData, PackedTest, pack, read, read_test
from tune_seg.data.synthetic import CLASS_NAMES, scene
from tune_seg.errors import InputError
from tune_seg.study.confirmation import Answer, Confirmation
from tune_seg.study.elsewhere import Call, Elsewhere, here
from tune_seg.study.files import ENSEMBLE, TEST
from tune_seg.study.held_out import looks_file, read_looks
from tune_seg.study.record import Record, State
from tune_seg.study.scoring import Scored, score_afterwards, scored_before
from tune_seg.study.verdict import Kind
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.ensemble import score_ensemble
from tune_seg.training.held_out import score_on_test
from tune_seg.training.result import EpochResult, ScaledScores
from tune_seg.training.resume import StoredTraining

CPU = torch.device("cpu")
SIZE = (32, 48)
TEMPERATURE = 1.5


def study(**data: Any) -> StudyConfig:
    """Trained on a GPU that this machine need not have."""
    return parse(
        StudyConfig,
        {
            "data": {"format": "folder", "root": ".", "size": SIZE, **data},
            "model": {"architecture": "Unet", "encoder": "tu-test_resnet", "weights": "none"},
            "training": {"epochs": 1, "batch_size": 4, "threads": 1, "device": "cuda", "precision": "float32"},
            "space": {"loss.end": {"choice": ["ce", "wce"]}},
        },
    )


@dataclass(frozen=True)
class Data:
    packed: PackedData
    test: PackedTest
    weights: tuple[str, ...]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Scenes in three folds, four that are held out, and the weights of two trainings."""
    root = tmp_path_factory.mktemp("scored")
    for index in range(13):
        for kind, array in zip(("images", "masks"), scene(0, "train", index, SIZE), strict=True):
            (root / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(root / kind / f"s{index:02d}.png")
    config = DataConfig.model_validate(
        {"root": root, "size": SIZE, "classes": CLASS_NAMES, "split": {"folds": 3, "test": 0.3}}
    )
    held_out = read_test(config)
    assert held_out is not None
    packed, test = PackedData(pack(read(config), root / "packs", SIZE)), PackedTest(pack(held_out, root / "packs", SIZE))
    weights = []
    for seed in (1, 2):
        trained = StoredTraining(trial(0, seed=seed).config, packed, CPU, CheckpointStore(str(root / "store")))
        while not trained.done:
            _, progress = trained.advance()
        assert progress.checkpoint is not None
        weights.append(progress.checkpoint)
    return Data(packed, test, tuple(weights))


def trial(
    number: int, score: float = 0.5, end: str = "ce", seed: int = 0, weights: str | None = None, **values: Any
) -> Record:
    """A repeat with seed `seed`, each of whose scores on the validation images is `score`."""
    fold = values.pop("fold", None)
    config = study(split={"folds": 3})
    assignment = {"loss.end": end, "training.seed": seed, **({} if fold is None else {"fold": fold})}
    found = result(1, score)
    scaled = {"temperature": ScaledScores(dict(found.evaluation.metrics), TEMPERATURE)}
    history: list[EpochResult] = [replace(found, evaluation=replace(found.evaluation, scaled=scaled))]
    values = {"state": State.COMPLETED, "repeat": True, "checkpoint": weights, **values}
    return Record(number, assignment, config.trial(assignment), history=history, **values)


def repeats(data: Data, ce: list[float], wce: list[float], folds: int | None = None) -> list[Record]:
    """The repeats of both, with seeds from 1 on; the weights of both trainings in turn."""
    return [
        trial(
            first + place,
            score,
            end,
            place + 1,
            data.weights[(place + first) % 2],
            fold=None if folds is None else place % folds,
        )
        for first, end, scores in ((0, "ce", ce), (10, "wce", wce))
        for place, score in enumerate(scores)
    ]


DECIDED: tuple[list[float], list[float]] = ([0.50, 0.51, 0.49, 0.50], [0.70, 0.72, 0.69, 0.71])
OPEN: tuple[list[float], list[float]] = ([0.50, 0.56, 0.47], [0.60, 0.58, 0.55])


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Call]:
    """One process for all tests: torch takes seconds to import."""
    with Elsewhere() as found:
        yield found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "studies" / "study"
    path.mkdir(parents=True)
    return path


@dataclass(frozen=True)
class Afterwards:
    """Scores the repeats of a study in a directory."""

    data: Data
    directory: Path
    call: Call

    def __call__(self, records: list[Record], max_seeds: int = 20) -> Scored:
        answer, config = self.answer(records), study(split={"folds": 3})
        return score_afterwards(answer, config, self.data.packed, self.data.test, self.directory, "id", max_seeds, self.call)

    def again(self, records: list[Record]) -> Scored:
        """What the directory says of it."""
        answer, config = self.answer(records), study(split={"folds": 3})
        return scored_before(answer, config, self.data.packed, self.data.test, self.directory)

    def answer(self, records: list[Record]) -> Answer:
        answer = Confirmation(study(split={"folds": 3}), self.directory, self.data.packed, 20, 1).answer(records)
        assert answer is not None
        return answer

    @property
    def looks(self) -> int:
        return len(read_looks(looks_file(self.directory, self.data.test.content_id)))


@pytest.fixture
def afterwards(data: Data, directory: Path, elsewhere: Call) -> Afterwards:
    return Afterwards(data, directory, elsewhere)


def by_end(afterwards: Afterwards, records: list[Record], end: str) -> str:
    """The id of a configuration."""
    contenders = afterwards.answer(records).contenders
    return next(id for id, each in contenders.items() if each.config.loss.end == end)


def test_winner_and_plain_cross_entropy_are_scored_once_with_their_own_temperature(
    data: Data, afterwards: Afterwards
) -> None:
    records = repeats(data, *DECIDED)
    assert afterwards.answer(records).verdict.kind is Kind.BETTER
    scored = afterwards(records)
    assert scored.problem == "" and not scored.unopened and scored.test is not None
    expected = [
        score_on_test(records[0].config, weights, data.test, CPU, temperature=TEMPERATURE) for weights in data.weights
    ]
    ce, wce = (by_end(afterwards, records, end) for end in ("ce", "wce"))
    test = scored.test
    assert list(test.scores) == [wce, ce] and (test.images, test.looks) == (4, 1)
    for place, scores in enumerate(test.scores[ce]):
        for name in ("recall", "temperature/s_rec"):
            assert scores[name] == pytest.approx(expected[place % 2].find(name), rel=1e-5)
    assert test.promised == pytest.approx({wce: 0.705, ce: 0.5})
    assert test.difference is not None and test.difference.n == 4
    assert test.difference.mean == pytest.approx(
        np.mean([a["s_rec"] - b["s_rec"] for a, b in zip(test.scores[wce], test.scores[ce], strict=True)])
    )
    ensemble = score_ensemble(records[0].config, [data.weights[n % 2] for n in range(4)], data.packed, CPU)
    assert scored.ensemble is not None and scored.ensemble["seeds"] == 4
    assert scored.ensemble["temperature/s_rec"] == pytest.approx(ensemble.find("temperature/s_rec"), rel=1e-4)

    assert repr(afterwards.again(records)) == repr(replace(scored, models={}))

    # again, and nothing is loaded: the weights are gone meanwhile
    for record in records:
        record.checkpoint = "nowhere"
    assert repr(afterwards(records)) == repr(scored)
    assert afterwards.looks == 1


def test_the_test_split_stays_unopened_while_more_seeds_can_decide(data: Data, afterwards: Afterwards) -> None:
    records = repeats(data, *OPEN)
    verdict = afterwards.answer(records).verdict
    assert verdict.kind is Kind.UNDECIDED and verdict.more_seeds is not None
    for record in records:
        record.checkpoint = None  # nothing but the test split is asked about
    scored = afterwards(records)
    assert scored.unopened and scored.test is None and afterwards.looks == 0
    assert scored.problem.startswith("there is no seed ensemble of plain cross entropy: 0 of its 3 repeats")
    assert afterwards.again(records) == scored
    final = afterwards(records, max_seeds=3)  # there will be no more
    assert not final.unopened
    assert (
        "the test split was not scored: no repeat of wce can be scored (its weights are not stored any more)"
        in final.problem
    )
    assert afterwards.looks == 0  # nobody has seen anything


def test_what_the_test_split_has_said_is_not_forgotten_while_more_seeds_can_decide(
    data: Data, afterwards: Afterwards
) -> None:
    records = repeats(data, *OPEN)
    opened = afterwards(records, max_seeds=3)  # there were to be no more
    assert opened.test is not None and afterwards.looks == 1
    more = afterwards(records)
    assert not more.unopened and more.test == opened.test and afterwards.looks == 1


def test_what_diverged_counts_as_nothing_and_what_is_gone_is_named(data: Data, afterwards: Afterwards) -> None:
    records = repeats(data, [*DECIDED[0], 0.50], [*DECIDED[1], 0.70])
    records[1].state = State.DIVERGED  # ce, seed 2
    records[2].checkpoint = "nowhere"  # ce, seed 3
    scored = afterwards(records, max_seeds=5)
    assert scored.test is not None and scored.ensemble is not None and scored.ensemble["seeds"] == 3
    ce, wce = (by_end(afterwards, records, end) for end in ("ce", "wce"))
    assert [len(scored.test.scores[id]) for id in (ce, wce)] == [4, 5]
    assert scored.test.scores[ce][1]["s_rec"] == scored.test.scores[ce][1]["temperature/recall"] == 0.0
    assert all(scored.test.scores[ce][place]["recall"] > 0 for place in (0, 2, 3))
    assert scored.test.promised == pytest.approx({wce: 0.704, ce: (0.50 + 0.0 + 0.50 + 0.50) / 4})
    assert scored.test.difference is not None and scored.test.difference.n == 4
    assert scored.problem == ("1 of 5 repeats of ce are left out of the test: trial 2 (its weights are not stored any more)")


def test_a_repeat_that_validation_could_not_score_is_left_out_before_anybody_looks(
    data: Data, afterwards: Afterwards
) -> None:
    records = repeats(data, [*DECIDED[0], math.nan], [*DECIDED[1], 0.70])
    scored = afterwards(records, max_seeds=5)
    ce, wce = (by_end(afterwards, records, end) for end in ("ce", "wce"))
    assert scored.test is not None and [len(scored.test.scores[id]) for id in (ce, wce)] == [4, 5]
    assert scored.problem == (
        "1 of 5 repeats of ce are left out of the test: trial 4 (it has no s_rec on the validation images)"
    )
    (look,) = read_looks(looks_file(afterwards.directory, data.test.content_id))
    assert 4 not in look.trials


def test_what_cannot_be_loaded_does_not_take_the_rest_with_it(data: Data, afterwards: Afterwards, tmp_path: Path) -> None:
    records = repeats(data, *DECIDED)
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"nothing")
    records[0].checkpoint = str(damaged)
    scored = afterwards(records)
    assert scored.test is not None and afterwards.looks == 1
    left_out, ensemble = scored.problem.split("; there is")
    assert (
        left_out.startswith("1 of 4 repeats of ce are left out of the test: trial 0 (checkpoint")
        and "damaged.pt" in left_out
    )
    assert "no seed ensemble of plain cross entropy" in ensemble and "damaged.pt" in ensemble
    assert scored.ensemble is None


@pytest.mark.parametrize("damage", ["looks", TEST])
def test_what_was_noted_and_is_damaged_is_said(data: Data, afterwards: Afterwards, damage: str) -> None:
    path = afterwards.directory / TEST if damage == TEST else looks_file(afterwards.directory, data.test.content_id)
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    records = repeats(data, *DECIDED)
    kept = {"configuration": afterwards.answer(records).reference, "trials": [0, 1, 2, 3], "metrics": {"s_rec": 0.5}}
    (afterwards.directory / ENSEMBLE).write_text(json.dumps(kept))
    scored = afterwards(records)
    assert scored.ensemble == {"s_rec": 0.5, "seeds": 4}
    assert (
        scored.test is None and scored.problem.startswith("the test split was not scored: ") and "damaged" in scored.problem
    )
    assert path.read_text() == "{"


def test_folds_are_paired_and_make_no_ensemble_where_each_has_one_seed(data: Data, afterwards: Afterwards) -> None:
    ce, wce = ([0.5 + 0.001 * (k % 3) for k in range(3)], [0.9 + 0.001 * (k % 2) for k in range(3)])
    records = repeats(data, ce, wce, folds=3)
    records[1] = replace(records[1], config=records[1].config.model_copy(update={"training": records[0].config.training}))
    records[4] = replace(records[4], config=records[4].config.model_copy(update={"training": records[3].config.training}))
    keys = [(record.config.training.seed, record.config.fold) for record in records]
    assert keys == [(1, 0), (1, 1), (3, 2)] * 2
    scored = afterwards(records, max_seeds=3)
    assert scored.ensemble is None
    assert scored.problem == (
        "there is no seed ensemble of plain cross entropy: each of its 3 repeats validates on a fold of its own"
    )
    assert scored.test is not None and scored.test.difference is not None
    assert scored.test.difference.n == 3 and scored.test.difference.overlap == pytest.approx(0.5)
    assert scored.test.difference.df_images == len(data.test.val) - 1  # the same images whatever fold validated


def test_a_process_that_fails_or_dies_is_replaced(elsewhere: Call) -> None:
    assert elsewhere(operator.add, 1, 2) == 3
    assert elsewhere(os.getpid) == elsewhere(os.getpid) != os.getpid()
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        elsewhere(operator.truediv, 1, 0)
    with pytest.raises(InputError, match="the process that scores has ended, most likely because memory was short"):
        elsewhere(partial(os._exit, 9))
    assert elsewhere(operator.add, 1, 2) == 3


def test_in_this_process_faults_have_the_same_class() -> None:
    assert here(os.getpid) == os.getpid()
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        here(operator.truediv, 1, 0)
    with pytest.raises(InputError, match="no metric"):
        here(parse, StudyConfig, {"objective": "no metric"})
