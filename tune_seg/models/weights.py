"""Initial weights from a file: tensors by name, matched with a model, and never code.

A file is what ``torch.save(model.state_dict(), path)`` writes, a `.safetensors` file, or a file of the checkpoint store,
which holds the state of a former study's training. Names may carry the prefixes of wrappers (`module.`, `model.`,
`_orig_mod.`).

The tensors are those of the whole model, or those of its encoder alone, as networks that classify images have them. Layers
that depend on the number of classes are left out where the file has another number, and start as without a file. An
auxiliary classifier and adaptive class weights are left out: the models here have no such classifier, and the weights start
at 1 (Hossain eq. (21)). The first convolution is adapted to the channels of the images as SMP does it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from tune_seg.errors import InputError, first_line
from tune_seg.models.split_model import SplitModel

State = Mapping[str, Tensor]

_CONTAINERS: Final = ("state", "model", "state_dict")
_WRAPPERS: Final = ("module.", "model.", "_orig_mod.")
_WITH_ACW: Final = ("0.", "1.")
"""The prefixes that :func:`~tune_seg.models.build_model` gives a model's names and those of its adaptive class weights."""
_ACW: Final = "adaptive_class_weight."
_AUXILIARY: Final = "aux_classifier."
_CLASSIFIERS: Final = ("fc.", "classifier.", "last_linear.")
"""Prefixes of the layers after the encoder in networks that classify images."""
_SMP_CLASS_LAYERS: Final = ("segmentation_head.",)
_MAX_SHOWN: Final = 8


def read_weights(path: Path) -> State:
    """The tensors in a file, by name without the prefixes of wrappers.

    Raises:
        InputError: it cannot be read, holds something beside tensors, or none.
    """
    try:
        if path.suffix == ".safetensors" or is_safetensors(_beginning(path)):
            from safetensors.torch import load_file

            values: Any = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"model.weights {path}: cannot be read ({reason}); name a file of weights") from error
    except Exception as error:  # whatever a damaged file, or one that holds code, makes its readers raise
        raise InputError(
            f"model.weights {path}: cannot be read as tensors alone ({first_line(error)}); it is damaged, or holds other "
            f"objects, which are not loaded because that can execute code. Save model.state_dict() with torch.save, or as "
            f".safetensors, in the program that wrote it"
        ) from error
    return _unwrapped(_tensors(values, path))


def is_safetensors(beginning: bytes) -> bool:
    """Whether a file is safetensors whatever its name, by its first nine bytes: the length of a header in JSON, and that."""
    return beginning[8:9] == b"{"


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(9)


def load_weights(model: nn.Module, state: State, source: str) -> list[str]:
    """Set the weights of `model`, an SMP model or a :class:`~tune_seg.models.split_model.SplitModel`, in place.

    Args:
        model: not yet frozen, and without adaptive class weights.
        state: tensors by name, see the top of this file.
        source: where they are from, for messages.

    Returns:
        What is left out and what starts as it does without a file, a sentence each.

    Raises:
        InputError: with the missing, unexpected and wrongly shaped names.
    """
    own: dict[str, Tensor] = model.state_dict()
    encoder = next(name for name, module in model.named_modules() if module is model.encoder) + "."
    class_layers = model.class_layers if isinstance(model, SplitModel) else _SMP_CLASS_LAYERS
    notes = []
    for prefix in (_AUXILIARY, _ACW):
        if any(name.startswith(prefix) for name in state):
            notes.append(f"{source} has {_left_out(prefix)}, left out")
            state = {name: value for name, value in state.items() if not name.startswith(prefix)}
    if isinstance(model, SplitModel):
        state = model.from_classifier(state)
    if not own.keys() & state.keys() and any(encoder + name in own for name in state):
        state = {name if name.startswith(_CLASSIFIERS) else encoder + name: value for name, value in state.items()}
    classifier = {name for name in state.keys() - own.keys() if name.startswith(_CLASSIFIERS)}
    if all(name.startswith(encoder) for name in state.keys() - classifier):
        notes.append(f"{source} has weights of the encoder; all other layers start at random")
        state = {name: value for name, value in state.items() if name not in classifier}
        optional = {name for name in own if not name.startswith(encoder)}
    else:
        optional = {name for name in own if name.startswith(class_layers)}
        notes.append(f"{source} has {_last_layers(state, optional)}")
    state = _with_channels(model, own, state)
    if any(name in state and state[name].shape != own[name].shape for name in optional):
        state = {name: value for name, value in state.items() if name not in optional}
    _check_names(own, state, optional, source)
    model.load_state_dict(dict(state), strict=False)
    return notes


def _tensors(values: Any, path: Path) -> State:
    if isinstance(values, Mapping) and "history" in values and values.get("state") is None:
        raise InputError(
            f"model.weights {path}: it holds the results of a training and no weights; name the file that the column "
            f"checkpoint of the study's results.parquet has for the trial; where that is empty, the store no longer has the "
            f"weights: train the trial again with another --store"
        )
    while isinstance(values, Mapping):
        inner = next((values[name] for name in _CONTAINERS if isinstance(values.get(name), Mapping)), None)
        if inner is None:
            break
        values = inner
    if not isinstance(values, Mapping) or not values:
        raise InputError(f"model.weights {path}: it holds no tensors by name; save model.state_dict()")
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(
                f"model.weights {path}: its entry {name!r} is a {type(value).__name__}, where a tensor is expected; save "
                f"model.state_dict()"
            )
    return values


def _unwrapped(state: State) -> State:
    of_model = [name for name in state if not name.startswith(_ACW)]
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in of_model):
            return _unwrapped({name if name.startswith(_ACW) else name.removeprefix(wrapper): state[name] for name in state})
    model, acw = _WITH_ACW
    if {name.partition(".")[0] + "." for name in of_model} == {model, acw}:
        return _unwrapped(
            {name.removeprefix(model) if name.startswith(model) else _ACW + name: value for name, value in state.items()}
        )
    return state


def _left_out(prefix: str) -> str:
    return {_AUXILIARY: "an auxiliary classifier", _ACW: "adaptive class weights"}[prefix]


def _last_layers(state: State, class_layers: Iterable[str]) -> str:
    """A note on the layers that depend on the number of classes."""
    biases = [state[name] for name in sorted(class_layers) if name in state and state[name].ndim == 1]
    if not biases:
        return "no last layer; it starts at random"
    classes = len(biases[0])
    return f"a last layer of {classes} classes; it starts at random where the data have another number"


def _with_channels(model: nn.Module, own: State, state: State) -> State:
    """`state` with a first convolution for RGB images changed to the channels of the model, as SMP's encoders do it."""
    first = next(name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)) + ".weight"
    channels = own[first].shape[1]
    if first not in state or state[first].ndim != 4 or state[first].shape[1] != 3 or channels == 3:
        return state
    rgb = state[first]
    # the sum over all channels of an image that is equal in all of them stays what it was
    repeated = rgb[:, [channel % 3 for channel in range(channels)]] * (3 / channels)
    return {**state, first: rgb.sum(dim=1, keepdim=True) if channels == 1 else repeated}


def _check_names(own: State, state: State, optional: set[str], source: str) -> None:
    # files of before 2018 lack the number of batches, which nothing here depends on
    missing = [name for name in own.keys() - state.keys() - optional if not name.endswith(".num_batches_tracked")]
    unexpected = state.keys() - own.keys()
    shaped = [_shapes(name, own, state) for name in own.keys() & state.keys() if state[name].shape != own[name].shape]
    if missing or unexpected or shaped:
        raise InputError(
            f"{source}: it does not fit model.architecture and model.encoder; choose those that it was made with.\n"
            f"missing: {_listed(missing)}\nunexpected: {_listed(unexpected)}\nwrongly shaped: {_listed(shaped)}"
        )


def _shapes(name: str, own: State, state: State) -> str:
    return f"{name} {list(state[name].shape)}, expected {list(own[name].shape)}"


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f", and {len(shown) - _MAX_SHOWN} more" if len(shown) > _MAX_SHOWN else ""
    return ", ".join(shown[:_MAX_SHOWN]) + more or "none"
