"""The configuration: what is accepted, what is rejected, and in which words."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from tune_seg.config import LossConfig, StudyConfig, TrialConfig, parse
from tune_seg.config.keys import flatten, set_key
from tune_seg.errors import InputError
from tune_seg.losses import build_loss
from tune_seg.schedules import Keyframe
from tune_seg.study.configuration import load_config, parse_assignment
from tune_seg.study.presets import presets


def configured(config: str | Path, *assignments: str, data: str | None = None) -> StudyConfig:
    """The configuration with what `--set` says in each of `assignments`."""
    return load_config(config, data=data, overrides=dict(map(parse_assignment, assignments)))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("trainin.lr=1", "unknown key trainin (did you mean training?); the keys at the top level are model, training"),
        ("training.learning_rate=1", "unknown key training.learning_rate; the keys of training are epochs, batch_size"),
        ("loss.end=cee", "loss.end: unknown loss 'cee' (did you mean ce?); the losses are ce, wce, focal"),
        ("loss.gamma=-0.1", "loss.gamma: -0.1 is not possible; allowed: a number ≥ 0, or null"),
        (
            "loss.class_weights=meidan",
            "loss.class_weights: 'meidan' is not possible (did you mean median?); allowed: mean, sum, sqrt, median, "
            "effective or {class: a number ≥ 0}",
        ),
        (
            "loss.class_weights={road: 1, car: -1}",
            "loss.class_weights: {'road': 1, 'car': -1} is not possible; allowed: mean",
        ),
        ("loss.class_weights={road: 0, car: 0}", "loss.class_weights: at least one class must weigh more than 0"),
        ("loss.class_weights=null", "loss.class_weights: null is not possible; allowed: mean"),
        ("loss.class_weight_power=1.5", "loss.class_weight_power: 1.5 is not possible; allowed: a number ≥ 0 and ≤ 1"),
        ("loss.class_weight_cap=0.5", "loss.class_weight_cap: 0.5 is not possible; allowed: a number ≥ 1, or null"),
        ("schedule={start: 0.9, end: 0.5}", "schedule.start must lie before schedule.end, got start 0.9 and end 0.5"),
        ("training.lr=fast", "training.lr: 'fast' is not possible; allowed: a number > 0"),
        ("training.lr=.nan", "training.lr: nan is not possible; allowed: a number > 0, and finite"),
        ("training.epochs=0", "training.epochs: 0 is not possible; allowed: a whole number ≥ 1"),
        ("training.optimizer=lion", "training.optimizer: 'lion' is not possible; allowed: sgd, adam, adamw"),
        ("objective=speed", "objective: unknown objective 'speed'; the objectives are s_rec"),
        ("objective=[recall, recall]", "an objective appears twice"),
        ("objective=[]", "objective: name at least one objective out of s_rec"),
        ("objective=temperature/nll", "objective: unknown objective 'temperature/nll'"),
        ("objective=speed", "mdice, group_recall, group_miou, group_mdice, boundary_f1, each also as temperature/NAME"),
        ("objective=temperature/boundary_f1", "objective temperature/boundary_f1 needs evaluation.boundary: true"),
        ("objective=hd95", "objective: unknown objective 'hd95'"),
        ("loss.kind=naive", "loss.kind naive needs loss.start"),
        ("model.weights=s3://b/a.pt", "model.weights: 's3://b/a.pt' is an address; copy the file to a local path first"),
        ("augmentation.resize=[2, 1]", "augmentation.resize is [smallest, largest] scale"),
        ("data.format=camvid", "data.format camvid needs data.root"),
        ("data.split={train: a.txt}", "data.split needs both list files"),
        ("training.epochs=true", "training.epochs: true is not possible; allowed: a whole number ≥ 1"),
        (
            "training.seed=100000000000000000000",
            "training.seed: 100000000000000000000 is not possible; allowed: a whole number ≥ 0 and < 2147483648",
        ),
        ("loss.alpha=[]", "loss.alpha: "),
        ("training=3", "training: 3 is not possible; allowed: a mapping with the keys epochs, batch_size"),
        ("training.lr.x=3", "training.lr.x: lr is a value, not a section"),
        (
            "loss.params.focl.gamma=1",
            "loss.params.focl: unknown loss 'focl' (did you mean focal?); the losses are ce, wce, focal",
        ),
        (
            "loss.params.focal.gama=1",
            "loss.params.focal.gama: loss 'focal': unknown parameter 'gama' (value 1) (did you mean gamma?); its ",
        ),
        (
            "loss.params.focal.gamma=-1",
            "loss.params.focal.gamma: loss 'focal': gamma = -1 is not possible; allowed: a finite",
        ),
        ("loss.params.focal.gamma=.nan", "loss.params.focal.gamma: loss 'focal': gamma = nan is not possible"),
        ("loss.params.focal.gamma=high", "loss.params.focal.gamma: loss 'focal': gamma = 'high' is not possible"),
        ("loss.params.focal=2", "loss.params.focal: 2 is not possible; allowed: a mapping"),
        ("loss={end: unified_focal, gamma: 2}", "loss.gamma: loss 'unified_focal': gamma = 2.0 is not possible"),
        ("loss.kind=program", "loss.kind program needs loss.components"),
        (
            "loss.components.a={loss: ce}",
            "loss.components.a: give either weight, which is constant, or keyframes; neither is given",
        ),
        (
            "loss.components.a={loss: ce, weight: 1, keyframes: [{at: 0, weight: 1}]}",
            "loss.components.a: give either weight, which is constant, or keyframes; both are: set the one that is not",
        ),
        (
            "loss.components.a={loss: cee, weight: 1}",
            "loss.components.a.loss: unknown loss 'cee' (did you mean ce?); the losses are ce",
        ),
        ("loss.components.a={weight: 1}", "loss.components.a.loss is missing; allowed: a loss"),
        ("loss.components.a={loss: ce, weight: -1}", "loss.components.a.weight: -1 is not possible; allowed: a number ≥ 0"),
        (
            "loss.components.a={loss: ce, weight: .inf}",
            "loss.components.a.weight: inf is not possible; allowed: a number ≥ 0, or null, and",
        ),
        (
            "loss.components.a={loss: ce, wait: 1}",
            "unknown key loss.components.a.wait (did you mean weight?); the keys of loss.components.a are loss",
        ),
        (
            "loss.components.a={loss: ce, weight: 1, params: {gamma: 1}}",
            "loss.components.a.params.gamma: loss 'ce': unknown parameter 'gamma' (value 1); its parameters: none",
        ),
        ("loss.components.a={loss: ce, keyframes: []}", "loss.components.a.keyframes: give at least one keyframe"),
        (
            "loss.components.a={loss: ce, keyframes: [{at: 0, weight: 1}, {at: 1.5, weight: 1}]}",
            "loss.components.a.keyframes.1.at: 1.5 is not possible; allowed: a number ≥ 0 and ≤ 1",
        ),
        (
            "loss.components.a={loss: ce, keyframes: [{at: 0.5, weight: 1}, {at: 0.5, weight: 1}]}",
            "loss.components.a.keyframes: keyframes.1.at = 0.5 does not lie after keyframes.0.at = 0.5",
        ),
        (
            "loss.components.a={loss: ce, keyframes: [{at: 0, weight: 1, move: jump}]}",
            "loss.components.a.keyframes.0.move: 'jump' is not possible; allowed: hold, linear, cosine, oscillating",
        ),
        (
            "loss.components.a={loss: ce, keyframes: [{at: 0, weight: 1, mov: hold}]}",
            "unknown key loss.components.a.keyframes.0.mov (did you mean move?); the keys of loss.components.a.keyframes.0",
        ),
        ("loss.components.a.keyframes.0.at=0.5", "loss.components.a.loss is missing; allowed: a loss"),
        ("loss.components={a-b: {loss: ce, weight: 1}}", "loss.components: 'a-b' is not a valid name"),
        ("acw_options.lr=0", "acw_options.lr: 0 is not possible; allowed: a number > 0"),
        ("no equals sign", "--set takes key=value"),
        ("training.lr=[", "the value is not YAML"),
    ],
)
def test_bad_values_are_refused_by_name(assignment: str, message: str, tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("training: {lr: 0.1}\n")
    with pytest.raises(InputError) as error:
        configured(base, assignment)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "assignment", ["loss.end=cee", "objective=speed", "training.optimizer=ada", "training.lr=a", "training.lr=''"]
)
def test_a_value_is_said_once(assignment: str) -> None:
    with pytest.raises(InputError) as error:
        configured("default", assignment)
    assert str(error.value).count(repr(assignment.partition("=")[2].strip("'"))) == 1
    assert ", got " not in str(error.value)


@pytest.mark.parametrize(("text", "bins"), [("1e1", 10), ("12.0", 12), (7, 7)])
def test_a_whole_number_may_be_written_as_text(text: Any, bins: int) -> None:
    values = {"loss": {"end": "ml1_ace", "params": {"ml1_ace": {"bins": text}}}}
    (term,) = parse(TrialConfig, values).components
    assert (term.params["bins"], type(term.params["bins"])) == (bins, int)
    assert build_loss(term.loss, num_classes=3, **term.params)


@pytest.mark.parametrize("text", ["2.5", "inf", "nan", "0e0", "many"])
def test_a_text_that_is_no_whole_number_in_the_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^loss\.params\.ml1_ace\.bins: loss 'ml1_ace': bins = .* is not possible"):
        parse(TrialConfig, {"loss": {"end": "ml1_ace", "params": {"ml1_ace": {"bins": text}}}})


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"training": {"epoch": 3}}, "unknown key training.epoch (did you mean epochs?); the keys of training are epochs"),
        ({"Training": {}}, "unknown key Training (did you mean training?); the keys at the top level are model"),
        # a key of another section
        ({"epochs": 3}, "unknown key epochs (did you mean training.epochs?); the keys at the top level are model"),
        ({"training": {"encoder": "x"}}, "unknown key training.encoder (did you mean model.encoder?); the keys of training"),
        # and one that is like no other
        ({"training": {"banana": 3}}, "unknown key training.banana; the keys of training are epochs"),
        ({"objective": "recal"}, "objective: unknown objective 'recal' (did you mean recall?); the objectives are s_rec"),
        (
            {"objective": "temperatur/s_rec"},
            "objective: unknown objective 'temperatur/s_rec' (did you mean temperature/s_rec?)",
        ),
        ({"objective": ["recall", "adjusted/recall"]}, "objective: unknown objective 'adjusted/recall'"),
    ],
)
def test_the_nearest_key_is_named(values: dict[str, Any], hint: str) -> None:
    with pytest.raises(InputError) as error:
        parse(StudyConfig, values)
    assert str(error.value).startswith(hint)
    assert "\n" not in str(error.value)


def test_a_prefix_comes_before_every_key() -> None:
    with pytest.raises(InputError) as error:
        parse(LossConfig, {"gamma": -1, "gamm": 1, "weights": {"strat": 1}}, prefix="some.loss")
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    for beginning in (
        "some.loss.gamma: -1 is not possible; allowed: a number ≥ 0",
        "unknown key some.loss.gamm (did you mean gamma?); the keys of some.loss are kind, start, end",
        "unknown key some.loss.weights.strat (did you mean start?); the keys of some.loss.weights are start, end",
    ):
        assert any(line.startswith(beginning) for line in lines), beginning
    with pytest.raises(InputError, match=r"^some\.loss: loss\.kind naive needs loss\.start"):
        parse(LossConfig, {"kind": "naive"}, prefix="some.loss")


def test_every_wrong_key_is_named_at_once() -> None:
    with pytest.raises(InputError) as error:
        parse(StudyConfig, {"training": {"lr": -1, "epochs": 0}, "los": {}})
    assert {line.split(":")[0].split(";")[0] for line in str(error.value).splitlines()} == {
        "training.lr",
        "training.epochs",
        "unknown key los (did you mean loss?)",
    }


def test_a_schedule_out_of_order_with_the_default_of_its_kind_is_refused() -> None:
    loss = {"kind": "naive", "start": "dice", "end": "ce"}
    with pytest.raises(InputError, match=r"start 0\.95 and end 0\.9"):
        parse(TrialConfig, {"loss": loss, "schedule": {"start": 0.95}})
    with pytest.raises(InputError, match=r"above 0 for an alternating"):
        parse(TrialConfig, {"loss": loss | {"kind": "alternating"}, "schedule": {"start": 0.0}})


def test_overrides_change_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("training: {epochs: 3}\nspace: {training.lr: {float: [0.1, 0.2]}, acw: {choice: [true, false]}}\n")
    config = load_config(
        path,
        overrides={"training.epochs": 7, "search.trials": 5, "compute.cpus_per_trial": 2, "training.lr": 1e-3},
    )
    assert (config.training.epochs, config.search.trials, config.training.lr) == (7, 5, 1e-3)
    assert set(config.space) == {"acw"}  # a key that is set no longer varies
    assert config.training.threads == 2


def test_setting_a_section_fixes_each_of_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("space: {schedule.start: {float: [0.1, 0.2]}, training.epochs: {int: [1, 2]}, acw: {choice: [true]}}\n")
    config = configured(path, "training.epochs=3", "schedule={start: 0.3, end: 0.8}")
    assert set(config.space) == {"acw"}
    assert (config.schedule.start, config.schedule.end, config.training.epochs) == (0.3, 0.8, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {lr: 0.1}\ntraining: {epochs: 3}\n", "the key training appears twice"),
        ("data: 3\n", "data is a section with keys of its own, got 3"),
        ("baselines: [x]\n", "baselines is a list of"),
        ("[1, 2]\n", "expected keys such as data"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_file_of_another_shape_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        configured(path, "acw=true", data="somewhere")


def test_empty_sections_are_no_sections(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("data:\ntraining:\nspace:\nbaselines:\n")
    config = configured(path, "training.epochs=3", "acw=true", data="somewhere")
    assert (config.training.epochs, config.acw) == (3, True)


def test_data_replaces_the_generated_images_of_a_preset() -> None:
    assert load_config().data.format == "synthetic"
    config = load_config(data="somewhere")
    assert (config.data.format, config.data.root) == (None, Path("somewhere").absolute())


def test_every_preset_is_a_valid_study() -> None:
    assert {"default", "loss_schedule"} <= set(presets())
    for name in presets():
        load_config(name, data=".")


def test_a_missing_file_names_the_presets() -> None:
    with pytest.raises(InputError, match=r"^nosuch: neither a file nor a preset; the presets are .*loss_schedule"):
        load_config("nosuch")
    with pytest.raises(InputError, match=r"^loss_shedule: neither a file nor a preset \(did you mean loss_schedule\?\)$"):
        load_config("loss_shedule")


def test_a_mapping_is_as_good_as_a_file_and_stays_as_it_is() -> None:
    mapping: dict[str, Any] = {"loss": {"params": {}}, "space": {"acw": {"choice": [True, False]}}, "training": None}
    options: dict[str, Any] = {"loss": {"params": {"focal": {"gamma": 1.5}}}, "loss.params.focal.gamma": 2.5}
    before = copy.deepcopy((mapping, options))
    config = load_config(mapping, overrides={**options, "acw": True})
    assert (config.loss.params, config.acw, config.space) == ({"focal": {"gamma": 2.5}}, True, {})
    assert (mapping, options) == before
    with pytest.raises(InputError, match=r"^the configuration: loss is a section with keys of its own, got 3"):
        load_config({"loss": 3})


def test_a_dumped_configuration_reads_back_the_same() -> None:
    config = load_config()
    assert parse(StudyConfig, yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


def test_trial_replaces_dotted_keys() -> None:
    config = load_config()
    trial = config.trial({"loss.kind": "naive", "loss.start": "dice", "schedule.start": 0.25, "acw": True})
    assert trial.loss_name == "dice>ce naive acw"
    assert trial.schedule.fractions(trial.loss.kind) == (0.25, 0.9)
    assert trial.loss_params == {
        "loss": "dice>ce naive acw",
        "loss.kind": "naive",
        "loss.start": "dice",
        "loss.end": "ce",
        "schedule.start": 0.25,
        "schedule.end": 0.9,
        "acw": True,
    }


def test_flatten_gives_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}


PROGRAM = """
loss:
  kind: program
  params: {"focal": {alpha: [0.25, 0.75]}}
  components:
    overlap: {loss: wdice, keyframes: [{at: 0.0, weight: 1.0}, {at: 0.5, weight: 0.2, move: cosine}, {at: 0.9, weight: 0.0}]}
    entropy: {loss: focal, params: {gamma: 1.5e-0}, weight: 1.0}
    calib:   {loss: ml1_ace, keyframes: [{at: 0.3, weight: 0.0, move: oscillating, cycles: 3}, {at: 0.9, weight: 1.0}]}
"""


def test_a_program_reads_back_the_same_and_offers_its_components(tmp_path: Path) -> None:
    path = tmp_path / "program.yaml"
    path.write_text(PROGRAM)
    config = load_config(path)
    assert parse(StudyConfig, yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config
    calib, entropy, overlap = config.components  # whatever their order in the file
    assert (overlap.name, overlap.loss, overlap.params) == ("overlap", "wdice", {})
    assert overlap.keyframes == (Keyframe(0.0, 1.0), Keyframe(0.5, 0.2, "cosine"), Keyframe(0.9, 0.0))
    assert entropy.params == {"gamma": 1.5, "alpha": (0.25, 0.75)}
    assert entropy.keyframes == (Keyframe(0.0, 1.0),)
    assert calib.keyframes[0] == Keyframe(0.3, 0.0, "oscillating", 3)
    assert config.loss_name == "ml1_ace*+focal+wdice*"
    assert config.loss_params == {
        "loss": "ml1_ace*+focal+wdice*",
        "loss.kind": "program",
        "loss.components.entropy.params.gamma": 1.5,
        "loss.params.focal.alpha": (0.25, 0.75),
        "acw": False,
    }


def test_the_keys_of_a_program_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "program.yaml"
    space = {
        "loss.components.overlap.keyframes.1.at": {"float": [0.2, 0.8]},
        "loss.components.entropy.weight": {"int": [1, 2]},
    }
    path.write_text(f"{PROGRAM}\nspace: {space}\nbaselines: [{{loss.components.overlap.keyframes.1.at: 0.4}}]")
    config = configured(
        path,
        "loss.components.overlap.keyframes.1.at=0.4",
        "loss.components.entropy.loss=tao_dual_focal",
        "loss.components.calib.keyframes.0={at: 0.1, weight: 0.5}",
    )
    assert config.loss.components["overlap"].curve[1] == Keyframe(0.4, 0.2, "cosine")
    assert config.loss.components["entropy"].loss == "tao_dual_focal"
    assert config.loss.components["calib"].curve[0].weight == 0.5
    assert set(config.space) == {"loss.components.entropy.weight"}
    assert config.baselines == ({},)
    replaced = configured(path, "loss.components={only: {loss: ce, weight: 1}}")
    assert (set(replaced.loss.components), replaced.space) == ({"only"}, {})
    for key, message in (
        ("overlap.keyframes.3.at", "keyframes has no entry 3; its entries are 0 to 2"),
        ("overlap.keyframes.first.at", "keyframes has no entry first; its entries are 0 to 2"),
        ("overlap.loss.x", "loss is a value, not a section"),
    ):
        with pytest.raises(InputError, match=f"loss.components.{key}: {message}"):
            configured(path, f"loss.components.{key}=0.4")


@pytest.mark.parametrize(
    ("keyframes", "message"),
    [
        ({"a": [(0.2, 0.0, "hold"), (0.6, 1.0)], "b": [(0.3, 1.0), (0.5, 0.0)]}, "every weight is 0 from 0.5 to 0.6"),
        ({"a": [(0.25, 0.0), (0.5, 1.0)], "b": [(0.75, 0.0), (1.0, 1.0)]}, "every weight is 0 from 0 to 0.25"),
        ({"a": [(0.0, 1.0), (0.5, 0.0)]}, "every weight is 0 from 0.5 to 1"),
        ({"a": [(0.0, 0.0)], "b": [(0.0, 0.0)]}, "every weight is 0 from 0 to 1"),
    ],
)
def test_a_program_that_learns_nothing_for_a_while_is_refused(keyframes: dict[str, Any], message: str) -> None:
    components = {
        name: {"loss": "ce", "keyframes": [dict(zip(("at", "weight", "move"), entry, strict=False)) for entry in entries]}
        for name, entries in keyframes.items()
    }
    with pytest.raises(InputError, match=f"loss.components: {message} of the training"):
        parse(TrialConfig, {"loss": {"kind": "program", "components": components}})


def test_a_weight_that_is_0_for_a_moment_alone_is_no_such_program() -> None:
    keyframes = [{"at": 0.2, "weight": 1.0}, {"at": 0.5, "weight": 0.0}, {"at": 0.7, "weight": 1.0}]
    parse(TrialConfig, {"loss": {"kind": "program", "components": {"a": {"loss": "ce", "keyframes": keyframes}}}})


def test_the_old_kinds_offer_their_components_too() -> None:
    static = parse(TrialConfig, {"loss": {"end": "wce"}})
    assert [(term.name, term.loss, term.keyframes) for term in static.components] == [("end", "wce", (Keyframe(0.0, 1.0),))]
    moving = {"kind": "naive", "start": "dice", "end": "ce"}
    start, end = parse(TrialConfig, {"loss": moving, "schedule": {"start": 0.25}}).components
    assert (start.name, start.complement, end.name, end.complement) == ("start", True, "end", False)
    assert start.keyframes == end.keyframes == (Keyframe(0.25, 0.0), Keyframe(0.9, 1.0))
    fixed = parse(TrialConfig, {"loss": moving | {"kind": "compound", "weights": {"start": 0.5}}}).components
    assert [term.keyframes for term in fixed] == [(Keyframe(0.0, 0.5),), (Keyframe(0.0, 1.0),)]


@pytest.mark.parametrize(
    ("loss", "shown"),
    [
        ({"end": "focal"}, {"loss.gamma": 2.0}),
        ({"end": "focal", "gamma": 0.5}, {"loss.gamma": 0.5}),
        ({"end": "focal", "params": {"focal": {"gamma": 0.5}}}, {"loss.params.focal.gamma": 0.5}),
        (
            # one is set, to what is the default of the other
            {"kind": "compound", "start": "sigmoid_focal", "end": "focal", "params": {"focal": {"gamma": 2.0}}},
            {"loss.params.focal.gamma": 2.0, "loss.params.sigmoid_focal.gamma": 2.0},
        ),
        ({"end": "dice", "gamma": 0.5}, {}),
        ({"end": "tversky", "gamma": 0.5, "alpha": [0.5, 1]}, {"loss.alpha": (0.5, 1.0)}),
        (
            {"kind": "compound", "start": "focal_tversky", "end": "focal"},
            {"loss.params.focal_tversky.gamma": 4 / 3, "loss.params.focal.gamma": 2.0},
        ),
        ({"kind": "compound", "start": "focal_tversky", "end": "focal", "gamma": 1.5}, {"loss.gamma": 1.5}),
    ],
)
def test_the_tables_show_the_parameters_of_the_active_losses(loss: dict[str, Any], shown: dict[str, Any]) -> None:
    always = {"loss", "loss.kind", "loss.start", "loss.end", "acw"}
    params = parse(TrialConfig, {"loss": loss}).loss_params
    assert {key: value for key, value in params.items() if key not in always} == shown


NAMES = st.sampled_from(["focal", "tversky", "my_pkg.losses:MyLoss", "my_pkg.losses:Outer.Inner", "a:B"])


@given(NAMES, st.sampled_from(["gamma", "alpha_2"]), st.integers())
def test_keys_that_flatten_gives_are_the_keys_that_set(loss: str, parameter: str, value: int) -> None:
    values = {"loss": {"params": {loss: {parameter: 0}}, "end": "ce"}, "list": [{"at": 1}, {"at": {"deep": [2, 3]}}]}
    flat = flatten(values)
    assert flat == {f"loss.params.{loss}.{parameter}": 0, "loss.end": "ce", "list.0.at": 1, "list.1.at.deep": [2, 3]}
    for key in flat:
        set_key(values, key, value)
    assert flatten(values) == dict.fromkeys(flat, value)


@given(st.sampled_from(["naive", "alternating"]), st.floats(0.0, 0.9), st.floats(0.02, 1.0), st.integers(2, 40))
def test_a_schedule_in_whole_epochs_is_the_nearest_that_fits(kind: str, start: float, length: float, epochs: int) -> None:
    assume(start + length <= 1.0 and (kind == "naive" or start > 0.0))
    study = parse(
        StudyConfig,
        {"training": {"epochs": epochs}, "loss": {"start": "dice"}, "search": {"whole_epochs": True}},
    )
    chosen = {"loss.kind": kind, "schedule.start": start, "schedule.end": start + length}
    rounded = study.trial(chosen).schedule
    assert rounded.start is not None and rounded.end is not None
    whole = rounded.start * epochs, rounded.end * epochs
    assert [round(end) for end in whole] == pytest.approx(whole)
    assert rounded.start < rounded.end
    if length * epochs > 1 and start * epochs >= 1:
        assert abs(rounded.start - start) <= 0.5 / epochs + 1e-9
        assert abs(rounded.end - start - length) <= 0.5 / epochs + 1e-9
    assert study.trial({**chosen, "schedule.start": rounded.start, "schedule.end": rounded.end}).schedule == rounded


def test_the_keyframes_of_a_program_come_to_lie_at_epochs_in_their_order() -> None:
    def ats(keyframes: list[float], epochs: int) -> list[float]:
        weights = [{"at": at, "weight": index + 1.0} for index, at in enumerate(keyframes)]
        values = {
            "training": {"epochs": epochs},
            "search": {"whole_epochs": True},
            "loss": {"kind": "program", "components": {"a": {"loss": "ce", "keyframes": weights}}},
        }
        (component,) = parse(StudyConfig, values).trial({}).components
        return [keyframe.at for keyframe in component.keyframes]

    assert ats([0.0, 0.32, 0.38, 0.99], 10) == [0.0, 0.3, 0.4, 1.0]
    assert ats([0.97, 0.98, 1.0], 10) == [0.8, 0.9, 1.0]
    assert ats([0.1, 0.2, 0.3, 0.4], 2) == [0.1, 0.2, 0.3, 0.4]  # no room
