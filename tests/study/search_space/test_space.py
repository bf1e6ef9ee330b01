"""The search space: conditions, bounds that depend on one another, grids, and what is rejected."""

import json
import os
import subprocess
import sys
from functools import cache
from itertools import product
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.records import space
from tune_seg.config import SearchConfig
from tune_seg.errors import InputError
from tune_seg.study.configuration import load_config
from tune_seg.study.presets import presets
from tune_seg.study.samplers.build import NAMES, build_sampler, check_sampler, planned_points, sample_trials
from tune_seg.study.search_space.space import Space

optuna.logging.set_verbosity(optuna.logging.ERROR)

SCHEDULED = {"loss.kind": ["naive", "alternating"]}
PAPER: dict[str, Any] = {
    # the dependent parameters stand first: the order in the file does not matter
    "schedule.end": {"float": ["schedule.start + 0.1", 1.0], "when": SCHEDULED},
    "schedule.start": {"float": [0.1, 0.6], "when": SCHEDULED},
    "loss.gamma": {"float": [0.5, 5.0], "when": [{"loss.start": ["focal"]}, {"loss.end": ["focal"]}]},
    "loss.start": {"choice": ["dice", "focal"], "when": {"loss.kind": ["compound", "naive", "alternating"]}},
    "loss.kind": {"choice": ["static", "compound", "naive", "alternating"]},
    "loss.end": {"choice": ["ce", "focal"]},
    "training.lr": {"float": ["1e-4", "1e-2"], "log": True},
    "training.batch_size": {"int": [2, 8]},
    "augmentation.resize": {"choice": [[0.5, 2.0], [1.0, 1.0]]},
}


@cache
def paper_space() -> Space:
    return space(PAPER)


@cache
def keyframes_space() -> Space:
    return space(KEYFRAMES, loss=components())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31 - 1), st.sampled_from(["random", "tpe", "bayes"]))
def test_samples_obey_conditions_and_bounds(seed: int, sampler: str) -> None:
    searched = paper_space()
    search = SearchConfig(sampler=sampler, seed=seed, trials=6)
    study = optuna.create_study(direction="maximize", sampler=build_sampler(search, searched, session=0))
    for _ in range(6):
        trial = study.ask()
        values = searched.sample(trial)
        study.tell(trial, values["training.lr"])
        scheduled = values["loss.kind"] in ("naive", "alternating")
        assert ("schedule.start" in values) == ("schedule.end" in values) == scheduled
        assert ("loss.start" in values) == (values["loss.kind"] != "static")
        assert ("loss.gamma" in values) == ("focal" in (values.get("loss.start"), values["loss.end"]))
        if scheduled:
            assert values["schedule.start"] + 0.1 <= values["schedule.end"] <= 1.0
        assert 1e-4 <= values["training.lr"] <= 1e-2
        assert values["training.batch_size"] in range(2, 9)
        assert values["augmentation.resize"] in ([0.5, 2.0], [1.0, 1.0])
        searched.config.trial(values)


def test_the_same_seed_samples_the_same_in_another_process() -> None:
    # the order of a set of strings depends on the process; a search must not
    code = (
        "import optuna\nfrom tests.study.search_space.test_space import PAPER\nfrom tests.support.records import space\n"
        "from tune_seg.study.samplers.build import sample_trials\n"
        "s = space(PAPER, search={'sampler': 'random'}); print(list(sample_trials(s.config, s, 5)))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(outputs) == 1


def test_enumerate_gives_every_distinct_assignment_once() -> None:
    searched = space(
        {
            "loss.kind": {"choice": ["static", "naive"]},
            "loss.start": {"grid": ["dice", "wdice"], "when": {"loss.kind": ["naive"]}},
            "training.seed": {"int": [0, 2]},
        }
    )
    expected = [{"loss.kind": "static", "training.seed": seed} for seed in range(3)] + [
        {"loss.kind": "naive", "loss.start": start, "training.seed": seed}
        for start, seed in product(["dice", "wdice"], range(3))
    ]
    found = searched.enumerate()
    assert len(found) == len(expected)
    assert all(assignment in found for assignment in expected)


def test_grid_points_are_the_product_of_the_grids() -> None:
    searched = space({"training.seed": {"grid": [0, 1]}, "acw": {"grid": [True, False]}, "training.lr": {"float": [1, 2]}})
    assert len(searched.grid_points()) == 4


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss.gam": {"float": [0, 1]}}, "unknown key loss.gam"),
        ({"data.size": {"choice": [[64, 64]]}}, "unknown key data.size"),
        (
            {"objective": {"choice": ["recall"]}},
            "unknown key objective; the keys that can vary are loss.params.LOSS.PARAMETER, ",
        ),
        ({"acw": {"choices": [True]}}, "give exactly one of float, int, choice, grid"),
        ({"acw": {"choice": []}}, "choice takes a list of values"),
        ({"acw": {"choice": [True], "log": True}}, "unknown key log"),
        ({"training.lr": {"float": [1, 0.1]}}, "the low end 1 lies above the high end 0.1"),
        ({"training.lr": {"float": [0, 1], "log": True}}, "starts above 0"),
        ({"training.lr": {"float": ["a + b", 1]}}, "a bound is a number or"),
        ({"training.lr": {"float": [True, 2]}}, "a bound is a number or"),
        ({"training.lr": {"float": [0.1, "training.momentum + 1.2.3"]}}, "a bound is a number or"),
        ({"training.lr": {"float": [0.1, "loss.kind"]}}, "its bound loss.kind has no value where loss.kind is static"),
        ({"training.batch_size": {"int": [1.4, 3.5]}}, "the ends of an int are whole numbers"),
        (
            {"training.batch_size": {"choice": [*range(1, 700), 0]}},
            "training.batch_size: 0 is not possible; allowed: a whole number",
        ),
        ({"training.lr": {"float": [0.1, 1], "when": {"loss.end": ["focl"]}}}, "can never hold for 'focl'; the values are"),
        ({"training.lr": {"float": [0.1, 1], "when": {"los": ["ce"]}}}, "unknown key los"),
        ({"training.lr": {"float": [0.1, 1], "when": "always"}}, "when is"),
        ({"loss.gamma": {"float": [-1, 2]}}, "loss.gamma: -1"),
        ({"loss.end": {"choice": ["ce", "nope"]}}, "unknown loss 'nope'"),
        ({"loss.kind": {"choice": ["static", "naive"]}}, "needs loss.start"),
        (
            {
                "schedule.start": {"float": [0.1, "schedule.end"]},
                "schedule.end": {"float": ["schedule.start", 1.0]},
            },
            "form a cycle",
        ),
        (
            {
                "schedule.start": {"float": [0.1, 0.95]},
                "schedule.end": {"float": ["schedule.start + 0.1", 1.0]},
            },
            r"the range float \[schedule.start \+ 0.1, 1\] is empty: \[1.05, 1\] where schedule.start is 0.95",
        ),
        (
            # the end stays at the default of the kind, 0.9
            {"loss.kind": {"choice": ["naive"]}, "loss.start": {"choice": ["dice"]}, "schedule.start": {"float": [0, 0.95]}},
            "schedule.start must lie before schedule.end",
        ),
    ],
)
def test_bad_spaces_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        space(parameters)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"training.lr": 1.0}, "training.lr does not vary"),
        ({"loss.end": "dice"}, "loss.end cannot be 'dice' in the space"),
        ({"loss.kind": "static", "loss.start": "dice"}, "loss.start is not sampled"),
    ],
)
def test_bad_baselines_are_refused(baseline: dict[str, Any], message: str) -> None:
    parameters = {key: PAPER[key] for key in ("loss.kind", "loss.start", "loss.end")}
    with pytest.raises(InputError, match=message):
        space(parameters, baselines=[baseline])


def test_the_grid_sampler_refuses_a_float() -> None:
    searched = space({"training.lr": {"float": [0.1, 1]}}, search={"sampler": "grid"})
    with pytest.raises(InputError, match=r"grid cannot enumerate training.lr.*\{grid: \[\.\.\.\]\}"):
        planned_points(searched.config, searched)


def test_a_sampler_that_cannot_serve_several_objectives_says_so() -> None:
    parameters = {"training.lr": {"float": [0.1, 1]}, "training.momentum": {"float": [0.1, 0.9]}}
    searched = space(parameters, search={"sampler": "CMA-ES"}, objective=["recall", "calibration"])
    with pytest.raises(InputError, match=r"search.sampler cmaes cannot serve this study"):
        check_sampler(searched.config, searched)


def test_an_unknown_sampler_names_the_known_ones() -> None:
    searched = space({}, search={"sampler": "sobol"})
    with pytest.raises(InputError, match=r"unknown name 'sobol'; the names are bayes, grid, .*tpe"):
        check_sampler(searched.config, searched)
    searched = space({}, search={"sampler": "tpes"})
    with pytest.raises(InputError, match=r"unknown name 'tpes' \(did you mean tpe\?\); the names are bayes, grid, "):
        check_sampler(searched.config, searched)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "grid"])
def test_every_sampler_by_name_serves_a_conditional_space(name: str) -> None:
    parameters = {key: value for key, value in PAPER.items() if key not in ("training.lr", "augmentation.resize")}
    searched = space(parameters, search={"sampler": name, "trials": 4})
    study = optuna.create_study(direction="maximize", sampler=build_sampler(searched.config.search, searched, session=0))
    for score in range(4):
        trial = study.ask()
        searched.config.trial(searched.sample(trial))
        study.tell(trial, float(score))


def components(**entropy: Any) -> dict[str, Any]:
    """A program of two losses, as a configuration's section `loss`."""
    moving = [{"at": 0.0, "weight": 1.0}, {"at": 0.4, "weight": 0.5, "move": "cosine"}, {"at": 0.9, "weight": 0.0}]
    overlap = {"loss": "wdice", "keyframes": moving}
    return {"kind": "program", "components": {"overlap": overlap, "entropy": {"loss": "focal", "weight": 1.0} | entropy}}


KEYFRAMES: dict[str, Any] = {
    "loss.components.overlap.keyframes.2.at": {"float": ["loss.components.overlap.keyframes.1.at + 0.1", 1.0]},
    "loss.components.overlap.keyframes.1.at": {"float": [0.1, 0.6]},
    "loss.components.overlap.keyframes.1.weight": {"float": [0.0, 2.0]},
    "loss.components.overlap.keyframes.1.move": {"choice": ["hold", "linear", "cosine", "oscillating"]},
    "loss.components.overlap.keyframes.1.cycles": {
        "int": [1, 4],
        "when": {"loss.components.overlap.keyframes.1.move": ["oscillating"]},
    },
    "loss.components.overlap.loss": {"choice": ["dice", "wdice"]},
    "loss.components.entropy.loss": {"choice": ["ce", "focal"]},
    "loss.components.entropy.weight": {"float": [0.1, 1.0]},
    "loss.components.entropy.params.gamma": {"float": [0.5, 5.0], "when": {"loss.components.entropy.loss": ["focal"]}},
}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31 - 1))
def test_the_keyframes_of_a_program_can_be_searched(seed: int) -> None:
    searched = keyframes_space()
    study = optuna.create_study(sampler=build_sampler(SearchConfig(sampler="random", seed=seed), searched, session=0))
    for _ in range(4):
        values = searched.sample(study.ask())
        key = "loss.components.overlap.keyframes"
        assert values[f"{key}.1.at"] + 0.1 <= values[f"{key}.2.at"] <= 1.0
        entropy, overlap = searched.config.trial(values).components
        assert overlap.loss == values["loss.components.overlap.loss"]
        assert [keyframe.at for keyframe in overlap.keyframes] == [0.0, values[f"{key}.1.at"], values[f"{key}.2.at"]]
        assert (overlap.keyframes[1].weight, overlap.keyframes[1].move, overlap.keyframes[1].cycles) == (
            values[f"{key}.1.weight"],
            values[f"{key}.1.move"],
            values.get(f"{key}.1.cycles", 1),
        )
        assert entropy.keyframes[0].weight == values["loss.components.entropy.weight"]
        gamma = values.get("loss.components.entropy.params.gamma")
        assert entropy.params == ({} if gamma is None else {"gamma": gamma})
        assert (gamma is None) == (entropy.loss == "ce")


def test_a_parameter_of_a_loss_can_be_searched_though_the_configuration_does_not_mention_it() -> None:
    parameters = {
        "loss.params.focal.gamma": {"float": [0.5, 5.0]},
        "loss.params.focal.alpha": {"choice": [None, 0.25]},
        "loss.params.tversky.alpha": {"float": [0.1, "loss.params.focal.gamma + 0.5"]},
    }
    searched = space(parameters, loss={"kind": "compound", "start": "tversky", "end": "focal"})
    for trial in searched.probes:
        start, end = trial.components
        assert set(start.params) == {"alpha"} and 0.1 <= start.params["alpha"] <= 5.5
        assert 0.5 <= end.params["gamma"] <= 5.0 and end.params["alpha"] in (None, 0.25)


FOCAL_OR_NOT: dict[str, Any] = {
    "loss.kind": {"choice": ["static", "compound", "naive"]},
    "loss.start": {"choice": ["dice", "focal"], "when": {"loss.kind": ["compound", "naive"]}},
    "loss.end": {"choice": ["ce", "focal"]},
}
PROGRAM_OR_NOT: dict[str, Any] = {"loss.kind": {"choice": ["static", "program"]}}
GAMMA: dict[str, Any] = {"float": [0.5, 5.0]}


@pytest.mark.parametrize(
    ("parameters", "loss", "key", "when"),
    [
        (FOCAL_OR_NOT, {}, "loss.gamma", None),
        (FOCAL_OR_NOT, {}, "loss.params.focal.gamma", None),
        ({"loss.end": {"choice": ["ce", "focal"]}}, {}, "loss.gamma", "{loss.end: [focal]}"),
        ({"loss.end": {"choice": ["ce", "focal", "tversky"]}}, {}, "loss.alpha", "{loss.end: [focal, tversky]}"),
        ({"loss.end": {"choice": ["ce", "focal", "tversky"]}}, {}, "loss.params.tversky.beta", "{loss.end: [tversky]}"),
        (
            {"loss.kind": {"choice": ["static", "naive"]}},
            {"start": "focal"},
            "loss.gamma",
            "{loss.kind: [naive], loss.start: [focal]}",
        ),
        (
            PROGRAM_OR_NOT,
            components(),
            "loss.components.entropy.params.gamma",
            "{loss.kind: [program], loss.components.entropy.loss: [focal]}",
        ),
        (
            {"loss.components.entropy.loss": {"choice": ["ce", "focal"]}},
            components(),
            "loss.components.entropy.params.gamma",
            "{loss.components.entropy.loss: [focal]}",
        ),
        (
            {"loss.components.entropy.loss": {"choice": ["ce", "focal"]}},
            components(),
            "loss.gamma",
            "{loss.components.entropy.loss: [focal]}",
        ),
    ],
)
def test_a_parameter_without_effect_is_refused_with_the_condition_to_add(
    parameters: dict[str, Any], loss: dict[str, Any], key: str, when: str | None
) -> None:
    with pytest.raises(
        InputError, match=rf"^space\.{key}: it is sampled where it has no effect: the active losses"
    ) as error:
        space(parameters | {key: GAMMA}, loss=loss)
    advice = str(error.value).partition("add when: ")[2]
    assert when is None or advice == when
    # and with that condition it is sampled wherever it has an effect, and accepted
    searched = space(parameters | {key: GAMMA | {"when": yaml.safe_load(advice)}}, loss=loss)
    parameter = next(parameter for parameter in searched.varied if parameter.key == key)
    assert parameter.when


@pytest.mark.parametrize(
    ("parameters", "loss", "message"),
    [
        (
            {"loss.gamma": GAMMA},
            {"end": "dice"},
            "losses are dice. In no configuration does a loss take its value from",
        ),
        ({"loss.params.dice.gamma": GAMMA}, {}, "unknown key loss.params.dice.gamma; the parameters of dice are none"),
        (
            {"loss.params.dise.gamma": GAMMA},
            {},
            r"space: loss\.params\.dise\.gamma: unknown loss 'dise' \(did you mean dice\?\)",
        ),
        ({"loss.params.focal.gamma": GAMMA}, {"end": "ce"}, "the active losses are ce. In no configuration"),
        # another key sets it for the only loss that has it
        ({"loss.gamma": GAMMA}, {"end": "focal", "params": {"focal": {"gamma": 1.0}}}, "In no configuration"),
        ({"loss.params.focal.gamma": GAMMA}, components(params={"gamma": 1.0}), "In no configuration"),
        ({"loss.components.overlap.params.gamma": GAMMA}, components(), "focal, wdice. In no configuration"),
        ({"loss.components.other.params.gamma": GAMMA}, components(), "unknown key loss.components.other.params.gamma"),
        (
            {"loss.components.overlap.keyframes.3.at": GAMMA},
            components(),
            "unknown key loss.components.overlap.keyframes.3.at",
        ),
        (
            {"loss.params.focal.gamma": {"float": [-1, 2]}},
            {"end": "focal"},
            "loss.params.focal.gamma: loss 'focal': gamma = -1",
        ),
        (
            {"loss.components.overlap.keyframes.1.at": {"float": [0.2, 0.95]}},
            components(),
            "loss.components.overlap.keyframes: keyframes.2.at = 0.9 does not lie after keyframes.1.at = 0.95",
        ),
        ({"loss.components.entropy.loss": {"choice": ["ce", "focl"]}}, components(), "unknown loss 'focl'"),
        (
            {
                "loss.components.entropy.weight": {"float": [0, 1]},
                "loss.components.overlap.keyframes.1.weight": {"choice": [0]},
            },
            components(),
            "loss.components: every weight is 0 from 0.4 to 0.9",
        ),
        # what the configuration itself sets, for nobody
        (
            {"loss.end": {"choice": ["ce", "dice"]}},
            {"params": {"focal": {"gamma": 1.0}}},
            "^loss.params.focal.gamma: 1.0 has no effect in any configuration of the study: .* are ce, dice. Remove the key",
        ),
        ({}, components(params={"gamma": 1.0}) | {"kind": "static"}, "^loss.components.entropy.params.gamma: 1.0 has no"),
    ],
)
def test_parameters_that_do_nothing_are_refused(parameters: dict[str, Any], loss: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        space(parameters, loss=loss)


@pytest.mark.parametrize(
    ("parameters", "loss"),
    [
        ({}, {"gamma": 2.0}),
        ({"loss.end": {"choice": ["ce", "dice"]}}, {"alpha": 0.5}),
        ({}, {"end": "focal", "gamma": 2.0, "params": {"focal": {"gamma": 1.0}}}),
        ({}, components(params={"gamma": 1.0}) | {"gamma": 2.0, "alpha": [0.5, 1.0]}),
    ],
)
def test_a_gamma_or_alpha_for_whatever_takes_it_may_be_given_for_nobody(
    parameters: dict[str, Any], loss: dict[str, Any]
) -> None:
    for trial in space(parameters, loss=loss).probes:
        for term in trial.components:
            assert term.params in ({}, {"gamma": 1.0}, {"gamma": 1.0, "alpha": (0.5, 1.0)})


ACW_OR_NOT: dict[str, Any] = {"acw": {"choice": [True, False]}}
SAMPLING: dict[str, Any] = {"training.sampling": {"choice": ["uniform", "repeat_factor", "class_balanced"]}}
THRESHOLD: dict[str, Any] = {"training.repeat_threshold": {"float": [0.05, 1.0], "log": True}}


@pytest.mark.parametrize("parameters", [SAMPLING, {}])
def test_a_threshold_of_repeat_factors_is_sampled_with_these_alone(parameters: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=r"^space\.training\.repeat_threshold: it is sampled where it has no effect: training\.sampling is"
    ) as error:
        space(parameters | THRESHOLD)
    when = yaml.safe_load(str(error.value).partition("add when: ")[2])
    assert when == {"training.sampling": ["repeat_factor"]}
    key, domain = next(iter(THRESHOLD.items()))
    searched = space(parameters | {key: domain | {"when": when}}) if parameters else space(THRESHOLD, training=REPEATED)
    for chosen in sample_trials(searched.config, searched, 40):
        assert (key in chosen) == (chosen.get("training.sampling", "repeat_factor") == "repeat_factor")


REPEATED = {"sampling": "repeat_factor"}


@pytest.mark.parametrize(
    ("parameters", "values", "key", "parameter", "why", "when"),
    [
        ({}, {}, "acw_options.lr", {"float": [0.1, 1.0]}, "acw is false", "{acw: [true]}"),
        (ACW_OR_NOT, {}, "acw_options.positive", {"choice": [True, False]}, "acw is false", "{acw: [true]}"),
        (ACW_OR_NOT, {"acw": True}, "acw_options.lr", {"float": [0.1, 1.0]}, "acw is false", "{acw: [true]}"),
        *(
            (parameters, {"loss": components() | {"kind": "static"}}, key, parameter, "loss.kind is static", program)
            for program in ["{loss.kind: [program]}"]
            for parameters in ({}, PROGRAM_OR_NOT)
            for key, parameter in {
                "loss.components.entropy.weight": {"float": [0.1, 1.0]},
                "loss.components.entropy.loss": {"choice": ["ce", "focal"]},
                "loss.components.overlap.keyframes.1.at": {"float": [0.1, 0.6]},
            }.items()
        ),
    ],
)
def test_a_key_of_a_section_that_is_not_in_force_is_refused_with_the_condition_to_add(
    parameters: dict[str, Any], values: dict[str, Any], key: str, parameter: dict[str, Any], why: str, when: str
) -> None:
    with pytest.raises(InputError, match=rf"^space\.{key}: it is sampled where it has no effect: {why}\. ") as error:
        space(parameters | {key: parameter}, **values)
    advice = str(error.value).partition("add when: ")[2]
    assert advice == when
    # and with that condition it is sampled exactly where the section is in force
    searched = space(parameters | {key: parameter | {"when": yaml.safe_load(advice)}}, **values)
    (condition,) = yaml.safe_load(advice)
    sampled = {(key in chosen, chosen.get(condition)) for chosen in sample_trials(searched.config, searched, 40)}
    wanted = {(True, "program"), (False, "static")} if condition == "loss.kind" else {(True, True), (False, False)}
    assert sampled == (wanted if parameters else {(False, None)})


ENCODERS: dict[str, Any] = {"model.encoder": {"choice": ["resnet18", "resnet34"]}}


def test_an_encoder_is_sampled_only_for_architectures_that_take_one() -> None:
    architectures: dict[str, Any] = {"model.architecture": {"choice": ["Unet", "unet_2015", "deeplabv3plus"]}}
    with pytest.raises(
        InputError, match=r"^space\.model\.encoder: it is sampled where it has no effect: unet_2015"
    ) as error:
        space(architectures | ENCODERS)
    when = yaml.safe_load(str(error.value).partition("add when: ")[2])
    assert when == {"model.architecture": ["Unet", "deeplabv3plus"]}
    assert space(architectures | {"model.encoder": ENCODERS["model.encoder"] | {"when": when}}).probes
    assert space(architectures, model={"encoder": "resnet34"}).probes
    with pytest.raises(InputError, match=r"unet_2015 has an encoder of its own\. Take it out of the space"):
        space(ENCODERS, model={"architecture": "unet_2015"})


def test_an_encoder_that_no_architecture_of_the_study_takes_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^model\.encoder: 'resnet34' has no effect in any configuration .* Remove the key"
    ):
        space({}, model={"architecture": "vgg19_fcn", "encoder": "resnet34"})
    assert space({}, model={"architecture": "vgg19_fcn"}).probes


def test_a_key_of_a_section_that_is_always_in_force_needs_no_condition() -> None:
    assert space({"acw_options.lr": {"float": [0.1, 1.0]}}, acw=True).probes
    assert space({"loss.components.entropy.weight": {"float": [0.1, 1.0]}}, loss=components()).probes


@pytest.mark.parametrize(
    ("key", "section", "known", "other"),
    [
        ("training.learning_rate", "of training", "training.lr", "loss."),
        ("loss.gam", "of loss", "loss.params.LOSS.PARAMETER", "training."),
        ("loss.components.entropy.wait", "of loss.components.entropy", "loss.components.entropy.weight", "overlap"),
        (
            "loss.components.overlap.keyframes.0.ta",
            "of loss.components.overlap.keyframes.0",
            "keyframes.0.at",
            "keyframes.1",
        ),
        ("schedule", "of schedule", "schedule.start", "loss."),
        ("los", "", "training.lr", "data."),
    ],
)
def test_an_unknown_key_lists_the_keys_of_the_nearest_section(key: str, section: str, known: str, other: str) -> None:
    with pytest.raises(InputError) as error:
        space({key: {"float": [0.1, 1.0]}}, loss=components())
    head, _, listed = str(error.value).partition(" that can vary are ")
    assert head == f"space: unknown key {key}; the keys {section}".rstrip()
    assert known in listed and other not in listed


def test_a_base_value_that_some_configuration_uses_is_accepted() -> None:
    space({"loss.end": {"choice": ["ce", "focal"]}}, loss={"gamma": 1.0, "params": {"focal": {"alpha": 0.5}}})
    # the base gives what is not sampled, and the space the rest
    when = {"loss.end": ["tversky"]}
    space(
        {"loss.end": {"choice": ["ce", "focal", "tversky"]}, "loss.alpha": {"float": [0.1, 1.0], "when": when}},
        loss={"alpha": 0.5},
    )


def test_every_preset_samples_only_what_has_an_effect() -> None:
    for name in presets():
        Space(load_config(name, data="."))


POWER = {"loss.class_weight_power": {"float": [0.0, 1.0]}}


@pytest.mark.parametrize("weights", ["sqrt", {"road": 1, "car": 20}])
def test_a_file_may_give_class_weights_that_its_losses_do_not_take(weights: Any) -> None:
    assert space({"training.lr": {"float": [0.1, 0.2]}}, loss={"end": "ce", "class_weights": weights}).probes


def test_class_weights_are_searched_where_a_loss_weighs_classes() -> None:
    given = {0: 1, "car": 20}
    kinds = {"loss.class_weights": {"choice": ["mean", "median", given]}, "loss.class_weight_cap": {"choice": [None, 100]}}
    searched = space({**POWER, **kinds}, loss={"end": "wce"})
    losses = [trial.loss for trial in searched.probes]
    assert {0.0, 1.0} < {loss.class_weight_power for loss in losses}
    found = [loss.class_weights for loss in losses]
    assert all(kind in found for kind in ("mean", "median", {"0": 1.0, "car": 20.0}))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [searched.sample(study.ask()) for _ in range(20)]
    # what was drawn is the same after it was written and read
    assert {"0": 1, "car": 20} in [values["loss.class_weights"] for values in drawn]
    assert json.loads(json.dumps(drawn)) == drawn


def test_the_weight_of_one_class_is_searched() -> None:
    car = {"loss.class_weights.car": {"float": [1, 100], "log": True}}
    searched = space(car, loss={"end": "wdice", "class_weights": {"road": 1, "car": 2}})
    weights = [trial.loss.class_weights for trial in searched.probes]
    assert {"road": 1.0, "car": 1.0} in weights and {"road": 1.0, "car": 100.0} in weights
    with pytest.raises(InputError, match=r"unknown key loss\.class_weights\.car"):
        space(car, loss={"end": "wdice"})  # mean: there is no weight of a class to vary


@pytest.mark.parametrize(
    ("key", "domain"),
    [
        ("loss.class_weights", {"choice": ["median", {"road": 1, "car": 2}]}),
        ("loss.class_weight_power", {"choice": [0.5, 1.0]}),
        ("loss.class_weight_cap", {"choice": [10, 100]}),
    ],
)
def test_class_weights_that_no_loss_takes_are_not_searched(key: str, domain: dict[str, Any]) -> None:
    ends = {"loss.end": {"choice": ["ce", "logit_adjusted_ce", "wce", "tversky"]}}
    with pytest.raises(
        InputError, match=rf"^space\.{key}: it is sampled where it has no effect: the active losses"
    ) as error:
        space({**ends, key: domain})
    advice = str(error.value).partition("add when: ")[2]
    assert set(yaml.safe_load(advice)["loss.end"]) == {"wce", "tversky"}
    space({**ends, key: domain | {"when": yaml.safe_load(advice)}})
    with pytest.raises(InputError, match=rf"^rows\.A: {key}: .* has no effect: the active losses are ce"):
        space({}, rows={"A": {"loss.end": "ce", key: domain["choice"][0]}})
    space({}, loss={key.removeprefix("loss."): domain["choice"][0]})  # a file for several studies may have it
