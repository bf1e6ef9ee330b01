"""A GPU that is pretended on a CPU, to see what would wait for it.

Tensors on it say that their device is `cuda` and hold their values on the CPU. Every operation on them is seen: those that
would make the host wait until a GPU has done all that it was asked for are noted, with the place in the package that asked.
PyTorch's own fake tensors have no values, so that nothing behind the first read can run, and no backward pass without a GPU.

It is strict: what PyTorch does without a wait in some cases only (writing a number through a mask) is noted as well. It is
blind to what is no operation on tensors: autocast, which is off here, streams, the recording of a graph and its end.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_map

import tune_seg.training.step
from tune_seg.data.loading import augmentation, resident

DEVICE: Final = torch.device("cuda", 0)
Waits = Counter[tuple[str, str]]
"""How often something waited, by the function that asked for it, `file:function`, and by what it was."""

_BELOW: Final = torch.device("meta")  # of which autograd asks for no driver
_READS: Final = {
    *("_local_scalar_dense", "equal", "is_nonzero"),  # a number for Python
    *("nonzero", "nonzero_static", "masked_select", "repeat_interleave"),  # a shape that depends on the values
    *("_unique", "_unique2", "unique_dim", "unique_consecutive", "unique_dim_consecutive", "bincount", "histc"),
}
_COMPOSITE: Final = torch._C.DispatchKey.CompositeImplicitAutograd  # type: ignore[attr-defined]
_PACKAGE: Final = Path(tune_seg.__file__).parent


class _OnGPU(Tensor):
    """A tensor that says it is on a GPU."""

    value: Tensor

    @staticmethod
    def __new__(cls, value: Tensor) -> "_OnGPU":
        with torch.inference_mode(False):  # a view in inference mode is of the kind that its base is
            made: _OnGPU = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                value.size(),
                strides=value.stride(),
                storage_offset=value.storage_offset(),
                dtype=value.dtype,
                device=_BELOW,
            )
        made.value = value.detach()
        return made

    device = property(lambda self: DEVICE)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise AssertionError(f"{func} outside of `pretended_gpu`")


@contextmanager
def pretended_gpu(memory: int = 2**30) -> Iterator[Waits]:
    """Inside this context `torch.device("cuda")` can be used; the counter notes all that waits for it.

    Args:
        memory: bytes, all of them free.
    """
    waits: Waits = Counter()
    kept = augmentation._scale_and_shift
    with ExitStack() as stack:
        stack.callback(kept.cache_clear)
        kept.cache_clear()
        for owner, name, value in (
            (torch.cuda, "mem_get_info", lambda device=None: (memory, memory)),
            (torch.cuda, "stream", lambda stream: nullcontext()),
            (torch.cuda, "current_stream", _Stream),
            (tune_seg.training.step, "_side_stream", lambda thread: _Stream()),
            (resident, "_resident", {}),
        ):
            stack.enter_context(patch.object(owner, name, value))
        stack.enter_context(_Python())
        stack.enter_context(_Operations(waits))
        yield waits


class _Stream:
    """Does nothing: one thing after another is done here anyway."""

    def wait_stream(self, other: "_Stream") -> None:
        pass


class _Python(TorchFunctionMode):
    """What PyTorch's functions are given: the device, and Python's numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.device or "autocast" in getattr(func, "__name__", ""):
            return func(*args, **kwargs)  # whose result or effect is a name of the device
        args, kwargs = tree_map(_below, args), tree_map(_below, kwargs)
        if func is torch.Tensor.pin_memory:
            pinned = args[0].clone()
            pinned.is_pinned_memory = True
            return pinned
        if func is torch.Tensor.tolist and isinstance(args[0], _OnGPU):
            return args[0].cpu().tolist()
        if func is torch.Tensor.new_tensor and isinstance(args[0], _OnGPU):
            kwargs = {"dtype": args[0].dtype, "device": _BELOW, **kwargs}
            func, args = torch.tensor, args[1:]
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == _BELOW and not isinstance(args[0], Tensor):
            return torch.tensor(*args, **{**kwargs, "device": "cpu"}).to(_BELOW)
        return func(*args, **kwargs)


class _Operations(TorchDispatchMode):
    """Every operation, those of a backward pass too."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
            with self:  # in inference mode operations come whole that are made of others
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        wanted = kwargs.pop("device", None)
        given = tree_any(lambda value: isinstance(value, _OnGPU), (args, kwargs))
        if wanted == _BELOW:
            kwargs["device"] = torch.device("cpu")
        elif wanted is not None:
            kwargs["device"] = wanted
        if not given and wanted != _BELOW:
            return func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::")
        reason = _reason(name, func, args, kwargs, wanted)
        if reason is not None:
            _note(self._waits, reason)
        result = func(*tree_map(_value, args), **tree_map(_value, kwargs))
        if name == "copy_" and not isinstance(args[0], _OnGPU):
            return args[0]
        if name == "_to_copy" and wanted is not None and wanted != _BELOW:
            return result
        return _returned(func, args, kwargs, result)


def _reason(name: str, func: Any, args: Any, kwargs: Any, wanted: torch.device | None) -> str | None:
    """What an operation waits for, if it does."""
    if name in _READS:
        return name
    if name == "_to_copy":
        there = isinstance(args[0], _OnGPU)
        goes = there if wanted is None else wanted == _BELOW
        return _transfer(there, goes, getattr(args[0], "is_pinned_memory", False) and kwargs.get("non_blocking", False))
    if name == "copy_":
        source = args[1]
        free = getattr(source, "is_pinned_memory", False) and len(args) > 2 and args[2]
        return _transfer(isinstance(source, _OnGPU), isinstance(args[0], _OnGPU), free)
    if name in ("index", "index_put", "index_put_"):
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            return f"{name} with a mask"
        if any(not isinstance(index, _OnGPU) for index in indices):
            return f"{name} with numbers from the host"
        return None
    host = [value for value in _tensors((args, kwargs)) if not isinstance(value, _OnGPU)]
    if any(value.ndim for value in host):
        raise RuntimeError(f"{func}: tensors on a GPU and on the host")
    return f"{name} with a number from the host" if host and name == "where" else None


def _transfer(there: bool, goes: bool, free: bool) -> str | None:
    if there == goes or (goes and free):
        return None
    return "sent from the host" if goes else "read"


def _note(waits: Waits, reason: str) -> None:
    frame = sys._getframe()
    while frame.f_back is not None and not Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        frame = frame.f_back
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(_PACKAGE):
        waits[f"{path.relative_to(_PACKAGE).as_posix()}:{frame.f_code.co_name}", reason] += 1
    else:
        waits["outside", reason] += 1


def _below(value: Any) -> Any:
    if isinstance(value, str) and value.split(":")[0] == DEVICE.type:
        return _BELOW
    return _BELOW if isinstance(value, torch.device) and value.type == DEVICE.type else value


def _value(value: Any) -> Any:
    return value.value if isinstance(value, _OnGPU) else value


def _tensors(tree: Any) -> list[Tensor]:
    found: list[Tensor] = []
    tree_map(lambda value: found.append(value) if isinstance(value, Tensor) else None, tree)
    return found


def _returned(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Any:
    """The result on the GPU: where an operation returns what it has written to, that argument itself."""
    given = {
        alias: kwargs[argument.name] if argument.name in kwargs else args[number]
        for number, argument in enumerate(func._schema.arguments)
        if argument.is_write and (argument.name in kwargs or number < len(args))
        for alias in argument.alias_info.before_set
    }

    def back(returned: Any, value: Any) -> Any:
        if returned.alias_info is not None and returned.alias_info.is_write:
            return given[next(iter(returned.alias_info.before_set))]
        return tree_map(lambda leaf: _OnGPU(leaf) if isinstance(leaf, Tensor) else leaf, value)

    returns = func._schema.returns
    if len(returns) <= 1:
        return back(returns[0], result) if returns else None
    return tuple(map(back, returns, result))
