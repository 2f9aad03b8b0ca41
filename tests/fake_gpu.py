"""A GPU that `FakeTensorMode` only pretends to have: tensors have shapes and a device, but no values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.torch_version import TorchVersion
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda:0")
OLDEST = TorchVersion("2.10")


class Copies(TorchDispatchMode):
    """Counts the tensors that are brought from the host to a device."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        given = [value for value in arguments if isinstance(value, Tensor)]
        moved = isinstance(result, Tensor) and any(one.device != result.device for one in given)
        self.count += moved or "lift_fresh" in str(function)
        return result


def _replace(self: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """`Module.to` with new parameters: torch cannot move fake ones in place."""
    for child in self.children():
        child._apply(function)
    for name, value in self._parameters.items():
        if value is not None and (moved := function(value)) is not value:
            self._parameters[name] = nn.Parameter(moved.detach(), value.requires_grad)
    for name, value in self._buffers.items():
        self._buffers[name] = None if value is None else function(value)
    return self


@contextmanager
def fake_gpu() -> Iterator[Copies]:
    """Tensors may say that they lie on `GPU`; real ones of the host become fake ones there, of the host."""
    if torch.__version__ < OLDEST:
        pytest.skip(f"torch {torch.__version__} asks for a driver, or aborts, where {OLDEST} pretends")
    with (
        mock.patch.object(nn.Module, "_apply", _replace),
        FakeTensorMode(allow_non_fake_inputs=True),
        Copies() as copies,
    ):
        yield copies
