"""A pretend GPU: tensors that lie in this machine's memory, say that they do not, and refuse to meet one that does.

It shows wrong devices, and where the host has to wait for the device. It knows nothing of kernels, streams and NCCL.
Its device is called ``meta``, because torch makes such tensors without one.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

GPU = torch.device("meta")
aten: Any = torch.ops.aten
TAKE_INDICES = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
}
"""CUDA lets their indices lie in the host's memory."""
WAIT = {
    aten.nonzero.default,
    aten._local_scalar_dense.default,
    aten.unique_dim.default,
    aten._unique2.default,
    aten.masked_select.default,
    aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
    aten.equal.default,
    aten.is_nonzero.default,
}
"""What they give, or its size, is known to the host only when the device is done."""


class WrongDevice(Exception):
    """Tensors of the host and of the device in one operation."""


class OnGpu(Tensor):
    """A tensor of the pretend GPU.

    Attributes:
        inner: its values.
    """

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, requires_grad: bool = False) -> OnGpu:
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=GPU,
            requires_grad=requires_grad,
        )
        made.inner = inner
        return made  # type: ignore[no-any-return]

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise WrongDevice(f"{func} outside of the pretend GPU")


class PretendGpu(TorchDispatchMode):
    """While it is entered, ``.to("meta")`` gives tensors of the pretend GPU.

    Attributes:
        waits: where the host waited for the device: file and line of our code, and the operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        device = None if options.get("device") is None else torch.device(options["device"])
        if func is aten._to_copy.default:
            return self._moved(func, args[0], device, options)
        if func is aten.copy_.default:
            return self._filled(*args[:2])
        tensors = [value for value in tree_flatten((args, options))[0] if isinstance(value, Tensor)]
        if not any(isinstance(tensor, OnGpu) for tensor in tensors):
            if device != GPU:
                return func(*args, **options)
            options.pop("pin_memory", None)
            return _wrapped(func(*args, **{**options, "device": "cpu"}))
        self._check(func, args, tensors)
        if func in WAIT or (func in TAKE_INDICES and any(_is_mask(index) for index in args[1] or ())):
            self._wait(str(func))
        if device is not None:
            options["device"] = "cpu"
        found = func(*tree_map(_inner, args), **tree_map(_inner, options))
        if func._schema.is_mutable and args and isinstance(args[0], OnGpu) and found is args[0].inner:
            return args[0]
        return found if device is not None and device.type == "cpu" else _wrapped(found)

    def _moved(self, func: Any, source: Tensor, device: torch.device | None, options: dict[str, Any]) -> Tensor:
        there = isinstance(source, OnGpu) if device is None else device == GPU
        if isinstance(source, OnGpu) and not there:
            self._wait("copy to the host")
        plain = {name: value for name, value in options.items() if name not in ("device", "non_blocking", "pin_memory")}
        found: Tensor = func(_inner(source), **plain)
        found = found.clone() if found is _inner(source) else found
        return OnGpu(found) if there else found

    def _filled(self, target: Tensor, source: Tensor) -> Tensor:
        if isinstance(source, OnGpu) and not isinstance(target, OnGpu):
            self._wait("copy to the host")
        _inner(target).copy_(_inner(source))
        return target

    def _check(self, func: Any, args: Any, tensors: list[Tensor]) -> None:
        apart = [tensor for tensor in tensors if not isinstance(tensor, OnGpu) and tensor.ndim > 0]
        indices = args[1] if func in TAKE_INDICES and isinstance(args[0], OnGpu) else ()
        if any(all(tensor is not index for index in indices) for tensor in apart):
            shapes = [tuple(tensor.shape) for tensor in apart]
            raise WrongDevice(f"{func}: host tensors of {shapes} meet the device's, {_where()}")

    def _wait(self, what: str) -> None:
        self.waits[f"{_where()} {what}"] += 1


@contextmanager
def pretend_gpu() -> Iterator[PretendGpu]:
    """A machine with a pretend GPU: modules and tensors move to it by ``.to(GPU)``; there is no autocast on it."""
    plain_new = Tensor.new_tensor

    def new_tensor(self: Tensor, data: Any, **options: Any) -> Tensor:
        if not isinstance(self, OnGpu):
            return plain_new(self, data, **options)
        return OnGpu(torch.tensor(data, dtype=options.get("dtype", self.dtype)))

    with pytest.MonkeyPatch.context() as patch, PretendGpu() as mode:
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        patch.setattr(Tensor, "new_tensor", new_tensor)
        for name in ("torch.optim.adam", "torch.optim.adamw"):  # whether it has fused kernels
            patch.setattr(import_module(name), "_device_dtype_check_for_fused", lambda _: None, raising=False)
        patch.setattr(torch, "inference_mode", torch.no_grad)  # operations would not arrive one by one
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            yield mode
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before)


def on_gpu(module: nn.Module) -> bool:
    """Whether all of a module lies there."""
    return all(isinstance(tensor.data, OnGpu) for tensor in (*module.parameters(), *module.buffers()))


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OnGpu) else value


def _wrapped(found: Any) -> Any:
    return tree_map(lambda value: OnGpu(value) if isinstance(value, Tensor) else value, found)


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype == torch.bool


def _where() -> str:
    """The innermost line of ours."""
    frames = (frame for frame in reversed(traceback.extract_stack()) if "/ahnpl/" in frame.filename)
    frame = next(frames, None)
    return "elsewhere" if frame is None else f"{frame.filename.partition('/ahnpl/')[2]}:{frame.lineno}"
