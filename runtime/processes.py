"""Stages 1 and 3 on several processes, which Lightning's launcher starts, one for each device."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch

from configs.errors import UserError
from runtime.devices import resolve_devices

Item = TypeVar("Item")
LONGEST_WAIT = timedelta(days=2)  # at a barrier, for the slowest process; a dead one is noticed in seconds


class ProcessGroup:
    """This process among `size` equal ones: its `rank` and `device`. `fabric` is None for a process alone."""

    def __init__(self, device: torch.device, fabric: Any = None) -> None:
        self.device, self._fabric, self._parent = device, fabric, os.getppid()
        self.rank: int = fabric.global_rank if fabric else 0
        self.size: int = fabric.world_size if fabric else 1

    def broadcast(self, value: Any) -> Any:
        """The main process's value, in every process. Collective."""
        return self._fabric.broadcast(value) if self._fabric else value

    def barrier(self) -> None:
        """Wait until every process is here. Collective; it fails where another process has ended."""
        if self._fabric:
            self._fabric.barrier()

    def shard(self, items: Sequence[Item]) -> list[Item]:
        """Every `size`-th item, from item `rank` on: each item goes to exactly one process."""
        return list(items[self.rank :: self.size])

    def end_with_the_main_process(self) -> None:
        """To be called now and then during the work: a further process must not go on alone."""
        if self.rank and os.getppid() != self._parent:
            raise RuntimeError("the main process has ended; run the same command again")


def start_process_group(device: torch.device, devices: str) -> ProcessGroup:
    """Start the further processes that `devices` (a number, or auto) asks for; each runs the whole script.

    UserError, before anything is started, for what this machine does not have.
    """
    _, count = resolve_devices(device.type, devices)
    if count == 1:
        return ProcessGroup(device)
    if device.index is not None or device.type == "mps":
        raise UserError(f"--devices {devices}: with --device {device} there is one; use --device auto")
    # Not at the top: importing it costs seconds that a process alone saves.
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    for name in ("lightning_fabric", "pytorch_lightning"):  # their news of every process
        logging.getLogger(name).setLevel(logging.WARNING)
    # gloo on every device: the processes only broadcast a plan and meet at barriers.
    strategy = DDPStrategy(process_group_backend="gloo", timeout=LONGEST_WAIT)
    fabric = Fabric(accelerator=device.type, devices=count, strategy=strategy)
    fabric.launch()
    return ProcessGroup(fabric.device, fabric)
