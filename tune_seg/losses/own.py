"""Losses of the user's own, by a module path or an entry point, described by their own signature.

`package.module:ClassOrFactory` names a loss in whatever the process can import. An installed package may give its loss a
short name instead, as an entry point of the group `tune_seg.losses`; a built-in loss of the same name goes before it:

    [project.entry-points."tune_seg.losses"]
    my_loss = "my_package.losses:MyLoss"

The class, or a function that returns a :class:`torch.nn.Module`, is called as

    MyLoss(num_classes, class_weights=..., ignore_index=..., PARAMETER=...)

and the module's `forward(logits (N, C, H, W), target (N, H, W))` returns a scalar. The class weights are given only where
the signature has them. Every other argument needs a default, and is a parameter that a configuration can set: a finite
number (or None) where the default is a number or None, true or false where it is one of these, a text where it is a text.
An attribute `parameters`, a tuple of :class:`~tune_seg.losses.spec.Parameter`, gives them ranges; an attribute `spec`, a
:class:`~tune_seg.losses.spec.LossSpec`, gives these and all else that a loss says of itself.

On a GPU a step with such a loss waits for the device, which is asked whether the batch has a valid pixel, and is not
recorded as a CUDA graph. The package's own losses ask nothing.

Nothing here imports torch, but what it imports for the user may.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import inspect
import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from tune_seg.errors import InputError
from tune_seg.losses.spec import LossSpec, Parameter

GROUP: Final = "tune_seg.losses"
"""The group of entry points whose objects are losses."""

_EXPECTED = (
    "expected (num_classes, *, class_weights=None, ignore_index=255, PARAMETER=DEFAULT, ...), where class_weights may be "
    "left out and every parameter has a default"
)


def entry_points() -> Mapping[str, str]:
    """The losses that installed packages offer: name to `module:attribute`."""
    return _entry_points(tuple(sys.path))


@functools.cache
def _entry_points(path: tuple[str, ...]) -> Mapping[str, str]:
    # reading every package's metadata takes a while; what they hold changes only with the path
    found: dict[str, str] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        found.setdefault(point.name, point.value)
    return found


def load(name: str, path: str) -> Callable[..., Any]:
    """Import the class or function that builds a loss.

    Args:
        name: The name of the loss, for the message.
        path: `package.module:ClassOrFactory`.

    Raises:
        InputError: There is no such module or attribute, importing it fails, or it cannot be called.
    """
    module_name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise InputError(f"loss {name!r}: {path!r} names no loss; expected package.module:ClassOrFactory")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"loss {name!r}: there is no module {error.name}; it must be installed, or lie in the directory that the "
                f"command is run from or in one that PYTHONPATH names"
            ) from error
        raise InputError(f"loss {name!r}: importing {module_name} fails: {type(error).__name__}: {error}") from error
    try:
        found: Callable[..., Any] = operator.attrgetter(attribute)(module)
    except AttributeError:
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        raise InputError(
            f"loss {name!r}: {module_name} has no {attribute}; it defines {', '.join(own) or 'nothing'}"
        ) from None
    if not callable(found):
        raise InputError(f"loss {name!r}: {path} is {found!r}; expected a class or a function that builds the loss")
    return found


@functools.cache
def describe(name: str, path: str) -> LossSpec:
    """The description of a loss of the user's own.

    Args:
        name: The name under which the user asks for it.
        path: `package.module:ClassOrFactory`.

    Returns:
        Its attribute `spec`, or what its signature and the first line of its docstring say.

    Raises:
        InputError: As :func:`load`, or its signature is not that of a loss.
    """
    loss = load(name, path)
    try:
        signature = inspect.signature(loss)
        class_weights = signature.parameters.get("class_weights")
        weights = {} if class_weights is None else {"class_weights": None}
        signature.bind(2, ignore_index=255, **weights)
    except (TypeError, ValueError) as error:
        raise InputError(f"loss {name!r}: {path} has another signature ({error}); {_EXPECTED}") from error
    spec = getattr(loss, "spec", None)
    if not isinstance(spec, LossSpec):
        summary = (loss.__doc__ or "").strip().split("\n")[0]
        spec = LossSpec(name, path, formula=summary or "not given", source=path, parameters=_declared(name, loss))
    parameters = _parameters(name, signature, spec.parameters)
    needs: Literal["unused", "optional", "required"] = "unused"
    if class_weights is not None:
        needs = "required" if class_weights.default is inspect.Parameter.empty else "optional"
    return dataclasses.replace(spec, name=name, implementation=path, class_weights=needs, parameters=parameters)


def _declared(name: str, loss: Callable[..., Any]) -> tuple[Parameter, ...]:
    declared = getattr(loss, "parameters", ())
    if not isinstance(declared, list | tuple):
        return ()  # every torch.nn.Module has a method of this name
    if not all(isinstance(parameter, Parameter) for parameter in declared):
        raise InputError(f"loss {name!r}: its `parameters` are {declared!r}; expected a tuple of tune_seg.losses.Parameter")
    return tuple(declared)


def _parameters(name: str, signature: inspect.Signature, declared: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The keyword arguments of `signature` that a configuration can set, with the ranges that `declared` gives them."""
    _, *others = signature.parameters.values()
    ranges = {parameter.name: parameter for parameter in declared}
    found: dict[str, Parameter] = {}
    for argument in others:
        if argument.name in ("class_weights", "ignore_index") or argument.kind in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        ):
            continue
        if argument.name in ranges:
            found[argument.name] = dataclasses.replace(ranges[argument.name], default=argument.default)
        elif (parameter := _parameter(argument.name, argument.default)) is not None:
            found[argument.name] = parameter
    any_keyword = any(argument.kind is inspect.Parameter.VAR_KEYWORD for argument in others)
    for parameter in declared:
        if parameter.name not in found and not any_keyword:
            raise InputError(f"loss {name!r}: it declares {parameter.name!r}, which its signature lacks; {_EXPECTED}")
        found.setdefault(parameter.name, parameter)
    return tuple(found.values())


def _parameter(name: str, default: object) -> Parameter | None:
    if isinstance(default, bool):
        return Parameter(name, "", default, choices=(True, False))
    if isinstance(default, str):
        return Parameter(name, "", default, text=True)
    if default is None or isinstance(default, int | float):
        return Parameter(name, "", default)
    return None  # a value that a configuration cannot hold
