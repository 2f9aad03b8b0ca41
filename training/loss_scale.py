"""The loss scaler of fp16 (arXiv 1710.03740, section 3.2): which steps it skips, and when to give up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from configs.errors import UserError

MOST_IN_A_ROW = 30  # each halves the scale: by then it is below a billionth


class SkippedSteps:
    """Knows whether the scaler skipped the optimizer step, for its gradients were not finite.

    The host has to wait for that once a step, since the learning rate depends on it; it waits for the
    gradients only, while the device has clipping and update still before it. UserError after MOST_IN_A_ROW
    steps, or `limit` if that is less, of which none was taken.
    """

    def __init__(self, limit: int) -> None:
        self.limit = min(limit, MOST_IN_A_ROW)
        self.in_a_row = 0
        self._overflow: Callable[[], bool] | None = None

    @property
    def last(self) -> bool:
        """Whether the last step was skipped."""
        return self.in_a_row > 0

    def unscale_(self, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
        """Take the scale from the gradients; what the scaler found in them is asked for by `settle`."""
        scaler.unscale_(optimizer)
        infinite = scaler._found_inf_per_device(optimizer).values()
        self._overflow = read_later(torch.stack(list(infinite)).sum())

    def settle(self) -> bool:
        """Whether the step just made was skipped; never without a scaler."""
        overflow, self._overflow = self._overflow, None
        self.in_a_row = self.in_a_row + 1 if overflow is not None and overflow() else 0
        if self.in_a_row == self.limit:
            raise UserError(
                f"--precision 16-mixed: no loss scale gave finite gradients in {self.limit} steps; go on "
                "with --precision 32 (bf16-mixed where the GPU has it)"
            )
        return self.last


def scaler_of(trainer: Any) -> torch.amp.GradScaler | None:
    """The loss scaler of a Lightning trainer, which has one for fp16 alone."""
    return getattr(trainer.precision_plugin, "scaler", None)


def read_later(flag: Tensor) -> Callable[[], bool]:
    """A function that gives the flag's value, waiting for what its device was given before, not since."""
    copy = flag.to("cpu", non_blocking=True)
    copied = torch.cuda.Event() if flag.is_cuda else None
    if copied is not None:
        copied.record()

    def read() -> bool:
        if copied is not None:
            copied.synchronize()
        return bool(copy)

    return read
