"""Keys of trajectories: equal where the trainings are, and nowhere else; every key of a trial's configuration is tried."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.support import CHECKOUT
from tests.support.own_losses import install
from tune_seg.config import Component, TrialConfig, parse
from tune_seg.config.keys import set_key
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import get_spec
from tune_seg.training.lr_schedule import learning_rate_factor
from tune_seg.training.trajectory import TrainingData, _base, shared_epochs, trajectory_keys

DATA = TrainingData("3f", (48, 64), 25)
PLAIN = {"training.device": "cpu", "training.threads": 1, "training.epochs": 4}
NAIVE = {"loss.kind": "naive", "loss.start": "dice"}
COMPOUND = {"loss.kind": "compound", "loss.start": "dice"}
PROGRAM: dict[str, Any] = {
    "loss.kind": "program",
    "loss.components": {
        "a": {
            "loss": "dice",
            "keyframes": [{"at": 0.25, "weight": 1.0, "move": "oscillating", "cycles": 2}, {"at": 1.0, "weight": 0.5}],
        },
        "b": {"loss": "focal", "weight": 1.0},
    },
}
GPU = {"training.device": "cuda"}


def trial(*assignments: Mapping[str, Any]) -> TrialConfig:
    values: dict[str, Any] = {}
    for assignment in (PLAIN, *assignments):
        for key, value in assignment.items():
            set_key(values, key, copy.deepcopy(value))
    return parse(TrialConfig, values)


def keys(*assignments: Mapping[str, Any], data: TrainingData = DATA) -> tuple[str, ...]:
    return trajectory_keys(trial(*assignments), data)


MATTERS: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "model.architecture": [({}, {"model.architecture": "FPN"})],
    "model.encoder": [({}, {"model.encoder": "resnet34"})],
    "model.weights": [({}, {"model.weights": "imagenet"})],
    "model.train": [({}, {"model.train": "head"})],
    "training.epochs": [({}, {"training.epochs": 5}), ({"training.lr_schedule": "constant"}, {"training.epochs": 5})],
    "training.batch_size": [({}, {"training.batch_size": 11})],  # two steps an epoch still
    "training.sampling": [({}, {"training.sampling": name}) for name in ("class_balanced", "repeat_factor")],
    "training.repeat_threshold": [({"training.sampling": "repeat_factor"}, {"training.repeat_threshold": 0.25})],
    "training.optimizer": [({}, {"training.optimizer": name}) for name in ("adam", "adamw")],
    "training.lr": [({}, {"training.lr": 2e-3})],
    "training.momentum": [({}, {"training.momentum": 0.8})],
    "training.weight_decay": [
        ({}, {"training.weight_decay": 0.0}),
        ({"training.optimizer": "adam"}, {"training.weight_decay": 0}),
    ],
    "training.lr_schedule": [
        ({"training.lr_every": 2}, {"training.lr_schedule": name}) for name in ("polynomial", "step", "cosine", "constant")
    ],
    "training.lr_power": [({"training.lr_schedule": "polynomial"}, {"training.lr_power": 0.8})],
    "training.lr_factor": [({"training.lr_schedule": "step", "training.lr_every": 2}, {"training.lr_factor": 0.9})],
    "training.lr_every": [({"training.lr_schedule": "step"}, {"training.lr_every": 3})],
    "training.seed": [({}, {"training.seed": 1})],
    "training.device": [({}, GPU)],
    "training.precision": [({}, {"training.precision": "bfloat16"}), (GPU, {"training.precision": "float32"})],
    "training.threads": [({}, {"training.threads": 2})],
    "augmentation.flip": [({}, {"augmentation.flip": 0.25})],
    "augmentation.resize": [({}, {"augmentation.resize": [0.5, 1.5]})],
    "augmentation.crop": [({}, {"augmentation.crop": [48, 48]}), ({}, {"augmentation.crop": [64, 48]})],
    "augmentation.mean": [({}, {"augmentation.mean": [0.485, 0.456, 0.5]})],
    "augmentation.std": [({}, {"augmentation.std": [0.229, 0.224, 0.5]})],
    "fold": [({}, {"fold": 1}), ({"fold": 1}, {"fold": 2})],
    "evaluation.background": [({}, {"evaluation.background": "sky"})],
    "evaluation.boundary": [({}, {"evaluation.boundary": True})],
    "loss.kind": [
        ({"loss.start": "dice"}, {"loss.kind": "compound"}),
        ({"loss.start": "dice"}, {"loss.kind": "naive"}),
        (NAIVE, {"loss.kind": "alternating"}),
        ({"loss.components": PROGRAM["loss.components"]}, {"loss.kind": "program"}),
    ],
    "loss.start": [(NAIVE, {"loss.start": "wdice"}), (COMPOUND, {"loss.start": "wdice"})],
    "loss.end": [({}, {"loss.end": "wce"}), (NAIVE, {"loss.end": "focal"})],
    "loss.gamma": [({"loss.end": "focal"}, {"loss.gamma": 1.0})],
    "loss.alpha": [({"loss.end": "focal"}, {"loss.alpha": 0.25}), ({"loss.end": "focal"}, {"loss.alpha": [0.25, 0.5]})],
    "loss.params": [
        ({"loss.end": "nacl"}, {"loss.params.nacl.radius": 2}),
        (PROGRAM, {"loss.params.focal.gamma": 1.0}),
        ({"loss.end": "unified_focal"}, {"loss.params.unified_focal.variant": "symmetric"}),
    ],
    "loss.components.*.loss": [(PROGRAM, {"loss.components.a.loss": "lovasz_softmax"})],
    "loss.components.*.params": [(PROGRAM, {"loss.components.b.params.gamma": 1.5})],
    "loss.components.*.weight": [(PROGRAM, {"loss.components.b.weight": 0.5})],
    "loss.components.*.keyframes.*.at": [(PROGRAM, {"loss.components.a.keyframes.0.at": 0.5})],
    "loss.components.*.keyframes.*.weight": [(PROGRAM, {"loss.components.a.keyframes.1.weight": 0.0})],
    "loss.components.*.keyframes.*.move": [
        (PROGRAM, {"loss.components.a.keyframes.0.move": move}) for move in ("hold", "linear", "cosine")
    ],
    "loss.components.*.keyframes.*.cycles": [(PROGRAM, {"loss.components.a.keyframes.0.cycles": 3})],
    "loss.weights.start": [(COMPOUND, {"loss.weights.start": 0.5})],
    "loss.weights.end": [(COMPOUND, {"loss.weights.end": 0.5})],
    "loss.class_weights": [
        *(({"loss.end": name}, {"loss.class_weights": "sum"}) for name in ("wce", "wdice", "tversky")),
        *(({"loss.end": "wce"}, {"loss.class_weights": kind}) for kind in ("sqrt", "median", "effective", {"a": 1, "b": 2})),
        ({"loss.end": "wce", "loss.class_weights": {"a": 1, "b": 2}}, {"loss.class_weights": {"a": 2, "b": 1}}),
    ],
    "loss.class_weight_power": [
        *(({"loss.end": name}, {"loss.class_weight_power": 0.75}) for name in ("wce", "wdice", "tversky")),
        ({"loss.end": "wce", "loss.class_weights": {"a": 1, "b": 2}}, {"loss.class_weight_power": 0.75}),
    ],
    "loss.class_weight_cap": [({"loss.end": name}, {"loss.class_weight_cap": 50}) for name in ("wce", "wdice", "tversky")],
    "schedule.start": [(NAIVE, {"schedule.start": 0.5})],
    "schedule.end": [(NAIVE, {"schedule.end": 1.0})],
    "acw": [({}, {"acw": True})],
    "acw_options.positive": [({"acw": True}, {"acw_options.positive": True})],
    "acw_options.lr": [({"acw": True}, {"acw_options.lr": 0.1})],
}
"""By key of the configuration: what stands beside it, and what is changed, which the training shows."""

DOES_NOT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *(({"training.sampling": name}, {"training.repeat_threshold": 0.25}) for name in ("uniform", "class_balanced")),
    ({"training.optimizer": "adam"}, {"training.momentum": 0.5}),
    ({"training.optimizer": "adamw"}, {"training.momentum": 0.5}),
    *(({}, {f"training.{key}": value}) for key, value in (("lr_power", 2), ("lr_factor", 0.5), ("lr_every", 1))),
    ({"training.lr_schedule": "step"}, {"training.lr_factor": 0.5}),  # its first drop would come after the last epoch
    ({"training.lr_schedule": "step"}, {"training.lr_every": 4}),
    ({}, {"training.precision": "float32"}),
    (GPU, {"training.precision": "bfloat16"}),
    (GPU, {"training.threads": 7}),
    (GPU, {"training.threads": None}),
    ({"model.architecture": "unet_2015"}, {"model.encoder": "resnet34"}),
    ({}, {"augmentation.crop": [48, 64]}),
    ({}, {"loss.start": "dice"}),
    ({}, {"fold": 0}),
    ({}, {"augmentation.mean": [0.485, 0.456, 0.406]}),
    ({}, {"loss.gamma": 1.0}),
    ({}, {"loss.alpha": 0.5}),
    ({"loss.end": "focal"}, {"loss.gamma": 2}),
    ({"loss.end": "focal"}, {"loss.params.dual_ce.beta": 3.0}),
    ({}, {"loss.components": PROGRAM["loss.components"]}),
    ({}, {"loss.weights.end": 3.0}),
    (NAIVE, {"loss.weights.start": 3.0}),
    (PROGRAM, {"loss.start": "wdice", "loss.end": "wce"}),
    (PROGRAM, {"loss.components.b.params.gamma": 2.0}),
    (PROGRAM, {"loss.components.a.keyframes.1.move": "cosine"}),
    (PROGRAM, {"loss.components.a.keyframes.1.cycles": 4}),
    *(
        (beside, change)
        for beside in (NAIVE, {"loss.end": "logit_adjusted_ce"})  # which takes frequencies, and no other weights
        for change in (
            {"loss.class_weights": "sum"},
            {"loss.class_weights": {"a": 1, "b": 2}},
            {"loss.class_weight_power": 0.5},
            {"loss.class_weight_cap": 100},
        )
    ),
    ({}, {"schedule.start": 0.1, "schedule.end": 0.2}),
    (COMPOUND, {"schedule.start": 0.1}),
    (PROGRAM, {"schedule.end": 0.5}),
    (NAIVE, {"schedule.start": 0.3, "schedule.end": 0.9}),
    ({}, {"acw_options.positive": True}),
    ({}, {"acw_options.lr": 0.1}),
    ({"acw": True}, {"acw_options.lr": 1e-3}),
]
"""What stands in a configuration, and what is added to it, which the training does not show."""


def leaves(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a configuration, with * for what the user names or counts."""
    for name, field in section.model_fields.items():
        inner = sections(field.annotation)
        if inner is None:
            yield f"{prefix}{name}"
        else:
            yield from leaves(inner, f"{prefix}{name}." if inner is field.annotation else f"{prefix}{name}.*.")


def sections(annotation: Any) -> type[BaseModel] | None:
    """The section that a field is, or holds many of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(sections, get_args(annotation))), None)


def test_every_key_of_a_trial_is_tried() -> None:
    # the objective decides over the results of the last epoch alone, whose key has a suffix of its own
    assert set(MATTERS) == set(leaves(TrialConfig)) - {"objective"}


@pytest.mark.parametrize(
    ("beside", "change"),
    [pytest.param(*case, id=f"{key}-{n}") for key, cases in MATTERS.items() for n, case in enumerate(cases)],
)
def test_a_change_that_matters_changes_the_key(beside: dict[str, Any], change: dict[str, Any]) -> None:
    assert keys(beside)[-1] != keys(beside, change)[-1]


@pytest.mark.parametrize(("beside", "change"), DOES_NOT)
def test_a_change_without_effect_keeps_every_key(beside: dict[str, Any], change: dict[str, Any]) -> None:
    assert trial(beside) != trial(beside, change)
    assert keys(beside) == keys(beside, change)


def test_no_two_of_all_these_trainings_share_their_last_key() -> None:
    distinct = {
        trial(beside, change).model_dump_json(): keys(beside, change)[-1]
        for cases in MATTERS.values()
        for beside, change in cases
    }
    assert len(set(distinct.values())) == len(distinct) > 50


def test_sampling_is_in_the_key_only_where_images_are_sampled() -> None:
    assert "sampling" not in _base(trial(), DATA)
    sampled = _base(trial({"training.sampling": "class_balanced"}), DATA)
    assert {name: value for name, value in sampled.items() if name != "sampling"} == _base(trial(), DATA)


def test_the_data_are_in_every_key() -> None:
    others = [
        replace(DATA, content="40"),
        replace(DATA, size=(64, 48)),
        replace(DATA, train_images=24),
        replace(DATA, channels=1),
    ]
    all_keys = [keys(data=data) for data in (DATA, *others)]
    assert len({key for sequence in all_keys for key in sequence}) == 5 * 5


def test_each_fold_has_the_steps_of_its_own_images() -> None:
    folds = replace(DATA, train_images=(25, 24, 48))
    for fold, images in enumerate((25, 24, 48)):
        assert keys({"fold": fold}, data=folds) == keys({"fold": fold}, data=replace(DATA, train_images=images))


def test_a_file_of_weights_is_in_the_key_by_its_content(tmp_path: Path) -> None:
    found = []
    for folder, content in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "weights.pt").write_bytes(content)
        found.append(keys({"model.weights": str(tmp_path / folder / "weights.pt")}))
    assert found[0] == found[2] != found[1]
    assert not set(found[0]) & set(found[1]) and not set(found[0]) & set(keys())
    (tmp_path / "c" / "weights.pt").write_bytes(b"two")  # as long, under a name that was read before
    os.utime(tmp_path / "c" / "weights.pt", ns=(1, 1))
    assert keys({"model.weights": str(tmp_path / "c" / "weights.pt")}) == found[1]
    with pytest.raises(InputError, match=r"model.weights .*/no.pt: cannot be read .* none, imagenet, coco and the path"):
        keys({"model.weights": str(tmp_path / "no.pt")})


def test_equal_values_have_one_key_however_they_are_written() -> None:
    assert keys({"model.architecture": "deeplabv3plus"}) == keys({"model.architecture": "DeepLabV3Plus"})
    assert keys({"training.lr": 1, "training.weight_decay": 0}) == keys({"training.lr": 1.0, "training.weight_decay": 0.0})
    focal = {"loss.end": "focal"}
    two: list[dict[str, Any]] = [{"loss.gamma": 2.5}, {"loss.params.focal.gamma": 2.5}, {"loss.params.focal.gamma": "25e-1"}]
    two.append({"loss.gamma": 1.0, "loss.params.focal.gamma": 2.5})
    assert len({keys(focal, written) for written in two}) == 1
    three: list[dict[str, Any]] = [
        {"loss.gamma": 3},
        {"loss.gamma": 3.0},
        {"loss.params.focal.gamma": 3},
        {"loss.params.focal.gamma": "3"},
    ]
    assert len({keys(focal, written) for written in three}) == 1
    per_class: list[dict[str, Any]] = [
        {"loss.alpha": [1, 0.5]},
        {"loss.alpha": (1.0, 0.5)},
        {"loss.params.focal.alpha": [1.0, 0.5]},
    ]
    assert len({keys(focal, written) for written in per_class}) == 1
    wce = {"loss.end": "wce"}
    assert keys(wce, {"loss.class_weights": "sqrt"}) == keys(wce, {"loss.class_weight_power": 0.5})
    weights: list[dict[Any, Any]] = [{"0": 1, "1": 2}, {"1": 2.0, "0": 1.0}, {"1": "2e0", "0": 1}, {1: 2, 0: 1}]
    assert len({keys(wce, {"loss.class_weights": written}) for written in weights}) == 1
    assert keys({"training.lr_schedule": "polynomial", "training.lr_power": 1}) == keys({"training.lr_schedule": "linear"})
    assert keys({"training.lr_schedule": "step", "training.lr_factor": 1}) == keys({"training.lr_schedule": "constant"})


def program(**components: Any) -> dict[str, Any]:
    terms = {name: {"loss": loss, **weight} for name, (loss, weight) in components.items()}
    return {"loss.kind": "program", "loss.components": terms}


def frames(*keyframes: tuple[float, float] | tuple[float, float, str]) -> dict[str, Any]:
    return {"keyframes": [dict(zip(("at", "weight", "move"), keyframe, strict=False)) for keyframe in keyframes]}


def test_every_kind_of_loss_is_a_program() -> None:
    one = {"weight": 1}
    static = keys({"loss.end": "dice"})
    assert static == keys(program(x=("dice", one)))
    assert static == keys(program(x=("dice", frames((0.3, 1.0), (0.4, 1.0)))))
    assert static == keys(program(x=("dice", one), silent=("ce", {"weight": 0.0})))
    assert static == keys(program(x=("dice", one), silent=("ce", frames((0.0, 0.0, "hold"), (1.0, 3.0)))))
    assert keys(COMPOUND, {"loss.weights.start": 0.5}) == keys(program(b=("ce", one), a=("dice", {"weight": 0.5})))
    swapped = {"loss.start": "ce", "loss.end": "dice", "loss.weights.end": 0.5}
    assert keys(COMPOUND, {"loss.weights.start": 0.5}) == keys(COMPOUND, swapped)
    naive = program(down=("dice", frames((0.3, 1), (0.9, 0))), up=("ce", frames((0.3, 0), (0.9, 1))))
    assert keys(NAIVE) == keys(naive)
    # s is a power of two in iterations, so that 1 - (1 - i / s) is i / s to the last bit
    data = replace(DATA, train_images=24)
    there_and_back = program(
        inner=("dice", frames((0, 0), (0.5, 1, "cosine"), (0.9, 0))),
        outer=("ce", frames((0, 1), (0.5, 0, "cosine"), (0.9, 1))),
    )
    assert keys(NAIVE, {"loss.kind": "alternating"}, data=data) == keys(there_and_back, data=data)


def test_what_components_are_called_does_not_matter() -> None:
    curves = (("dice", {"weight": 0.5}), ("ce", frames((0, 1), (1, 0))), ("ce", frames((0, 0.25), (1, 1))))
    for names in ("abc", "cba", "bca"):
        assert keys(program(**dict(zip(names, curves, strict=True)))) == keys(
            program(**dict(zip("acb", curves, strict=True)))
        )


def test_a_loss_counts_only_in_the_epochs_in_which_it_has_a_weight() -> None:
    # eight iterations, of which the naive schedule leaves the first s alone
    for start, alone in ((0.1, 0), (0.25, 1), (0.5, 2), (0.6, 2), (0.75, 3)):
        moving = keys(NAIVE, {"schedule.start": start, "schedule.end": 1.0})
        assert shared_epochs(moving, keys({"loss.end": "dice"})) == alone
        assert shared_epochs(moving, keys(NAIVE, {"schedule.start": 0.75, "loss.end": "focal"})) == alone


def test_a_longer_training_has_the_keys_of_a_shorter_one_where_nothing_depends_on_the_length() -> None:
    longer = {"training.epochs": 9}
    for schedule, shared in (("constant", 4), ("step", 4), ("linear", 0), ("cosine", 0)):
        beside = {"training.lr_schedule": schedule, "training.lr_every": 2}
        assert shared_epochs(keys(beside), keys(beside, longer)) == shared
    constant = {"training.lr_schedule": "constant", "schedule.start": 0.5}
    assert shared_epochs(keys(NAIVE, constant), keys(NAIVE, constant, longer)) == 2


# A random configuration: few values of each key, so that two of them often agree for a while.

LOSSES = ("ce", "wce", "dice", "focal")
moments = st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.6, 0.75, 1.0])
weights = st.sampled_from([0.0, 0.5, 1.0])


@st.composite
def components(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"base": {"loss": draw(st.sampled_from(LOSSES)), "weight": 1.0}}
    for name in draw(st.lists(st.sampled_from("xyz"), max_size=2, unique=True)):
        at = sorted(draw(st.lists(moments, min_size=1, max_size=3, unique=True)))
        moves = st.sampled_from(["hold", "linear", "cosine", "oscillating"])
        curve = [{"at": moment, "weight": draw(weights), "move": draw(moves)} for moment in at]
        found[name] = {"loss": draw(st.sampled_from(LOSSES)), "keyframes": curve}
    return found


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["static", "compound", "naive", "alternating", "program"]))
    start, end = sorted(draw(st.lists(moments, min_size=2, max_size=2, unique=True)))
    if kind == "alternating" and start == 0.0:
        start = end / 2
    return {
        "training.epochs": draw(st.sampled_from([4, 4, 4, 6])),
        "training.lr_schedule": draw(st.sampled_from(["constant", "constant", "constant", "linear", "step"])),
        "training.lr_every": draw(st.sampled_from([1, 2, 5])),
        "loss.kind": kind,
        "loss.start": draw(st.sampled_from(LOSSES)),
        "loss.end": draw(st.sampled_from(LOSSES)),
        "loss.gamma": draw(st.sampled_from([None, 2.0, 3.0])),
        "loss.class_weights": draw(st.sampled_from(["mean", "mean", "sum"])),
        "loss.components": draw(components()),
        "schedule.start": start,
        "schedule.end": end,
    }


def named(component: Component, config: TrialConfig) -> str:
    spec = get_spec(component.loss)
    params = {parameter.name: component.params.get(parameter.name, parameter.default) for parameter in spec.parameters}
    return f"{component.loss} {params} {config.loss.class_weights if component.loss in ('wce', 'wdice') else ''}"


def active(config: TrialConfig, steps: int, iteration: int) -> tuple[float, list[tuple[str, float]]]:
    iterations = config.training.epochs * steps
    values = [(named(component, config), component.weight(iterations)(iteration)) for component in config.components]
    factor = learning_rate_factor(config.training, iteration, steps)
    return factor, sorted((name, weight) for name, weight in values if weight != 0.0)


@settings(deadline=None, max_examples=300)
@given(configurations(), configurations(), st.sampled_from([5, 24, 36]))
def test_two_trainings_share_the_epochs_in_which_the_same_is_active(
    one: dict[str, Any], other: dict[str, Any], images: int
) -> None:
    data, steps = replace(DATA, train_images=images), max(1, images // 12)
    pair = trial(one), trial(other)
    agreed = 0
    while agreed < min(config.training.epochs for config in pair) and all(
        active(pair[0], steps, i) == active(pair[1], steps, i) for i in range(agreed * steps, (agreed + 1) * steps)
    ):
        agreed += 1
    shared = shared_epochs(*(trajectory_keys(config, data) for config in pair))
    twice = any(len({named(c, config) for c in config.components}) < len(config.components) for config in pair)
    # a sum in which one loss stands twice is not taken for one in which it stands once
    assert shared <= agreed if twice else shared == agreed


def test_the_keys_of_one_training_differ() -> None:
    constant = keys({"training.lr_schedule": "constant", "training.epochs": 30})
    assert len(set(constant)) == 31
    assert shared_epochs(constant, constant) == 30
    assert shared_epochs(constant, keys({"training.seed": 3})) == 0


TEMPERED = """
class Tempered:  # it is described here, and not used: importing torch three times would take a while
    def __init__(self, num_classes, *, temperature=2.0, ignore_index=255):
        self.temperature = temperature

    def __call__(self, logits, target):
        return logits / self.temperature
"""

PRINT_KEYS = """
import sys
from tune_seg.config import TrialConfig, parse
from tune_seg.training.trajectory import TrainingData, trajectory_keys
for name in sys.argv[1:]:
    config = parse(TrialConfig, {"training": {"device": "cpu", "threads": 1}, "loss": {"end": name}})
    print(trajectory_keys(config, TrainingData("3f", (48, 64), 24))[-1])
"""


def test_an_own_loss_is_its_file_whatever_it_is_called(tmp_path: Path) -> None:
    package, site = tmp_path / "own_package", tmp_path / "site"
    package.mkdir()
    (package / "__init__.py").write_text("from own_package.tempered import Tempered\n")
    (package / "other.py").write_text("")
    install(site, tempered="own_package.tempered:Tempered")

    def own_keys(text: str) -> list[str]:
        (package / "tempered.py").write_text(text)
        return subprocess.run(
            [sys.executable, "-c", PRINT_KEYS, "own_package.tempered:Tempered", "tempered", "own_package:Tempered"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(site), str(CHECKOUT)])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

    first = own_keys(TEMPERED)
    assert first[0] == first[1]
    (package / "other.py").write_text("changed = True\n")
    assert own_keys(TEMPERED) == first
    changed = own_keys(TEMPERED.replace("logits / self.temperature", "logits * self.temperature"))
    assert not set(first) & set(changed)
