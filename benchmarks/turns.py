"""Timing in turn, and the verdict with which a benchmark ends."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.form import write_form
from configs.command_line import say
from data.progress import progress


def in_turn(functions: dict[str, Callable[[], object]], repeats: int, what: str) -> dict[str, float]:
    """Median seconds of each function, called one after the other (A B A B ...) after one call to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in progress(range(repeats + 1), description=what):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def report(what: str, title: str, command: str, body: str, faults: Sequence[str], write: bool) -> int:
    """Print the table, write the form where asked, and return the exit status: 1 where something is wrong."""
    body += "".join(f"\n\nWRONG: {fault}" for fault in faults)
    if write:
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        write_form(what, title, command, f"{body}\n\nLoad of the machine (1, 5, 15 minutes): {load}.")
    else:
        say(body)
    return 1 if faults else 0
