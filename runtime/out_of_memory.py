"""Going on with smaller batches when memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from configs.command_line import say
from configs.errors import UserError


def is_out_of_memory(error: BaseException) -> bool:
    """True where a GPU's or this machine's memory was not enough."""
    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


class Fitting:
    """`function` of batches, called on parts that the memory takes; they are halved when it runs out.

    `function` turns tensors (n, ...) into tensors (n, ...). `tell` takes the line that says so, which
    `warning` ends. UserError: the memory is not enough for one sample.
    """

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        size: int,
        warning: str = "",
        tell: Callable[[str], None] = say,
    ) -> None:
        self.function, self.size, self.warning, self.tell = function, size, warning, tell

    def __call__(self, *batch: Tensor) -> tuple[Tensor, ...]:
        self.size = min(self.size, len(batch[0]))
        while True:
            parts = zip(*(tensor.split(self.size) for tensor in batch))
            try:
                return tuple(map(torch.cat, zip(*(self.function(*part) for part in parts))))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            if self.size == 1:  # out here the failed call's tensors are gone
                raise UserError(
                    f"out of memory with one image ({reason}); end other programs that use this device, "
                    "or choose --device cpu"
                )
            self.size //= 2
            self.tell(f"out of memory: going on with {self.size} images at once{self.warning}")
