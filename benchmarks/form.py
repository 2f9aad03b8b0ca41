"""What every benchmark shares: timing in turn, and the form that its figures fill."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from configs.command_line import say
from data.atomic import write_text
from data.progress import progress

PROJECT = Path(__file__).resolve().parents[1]


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


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def hardware() -> str:
    """The GPU, or the processor with the instructions that matter, and the cores this process may use."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    name = re.search(r"model name\s*: (.*)", text)
    has = [label for label, flag in (("AVX2", "avx2"), ("AVX512", "avx512f"), ("AMX", "amx_bf16"))
           if flag in text]
    processor = name[1] if name else platform.processor()
    return f"{processor} ({', '.join(has)}), {torch.get_num_threads()} threads"


def report(what: str, command: str, body: str, faults: Sequence[str], write: bool) -> int:
    """Print the table, write the form where asked, and return the exit status: 1 where something is wrong."""
    for fault in faults:
        body += f"\n\nWRONG: {fault}"
    say(body)
    if write:
        label = re.sub(r"\W+", "_", hardware().split("(")[0]).strip("_").lower()
        date = datetime.date.today().isoformat()
        path = PROJECT / "benchmarks" / "results" / f"{what}_{label}_{date}.md"
        write_text(path, form(what, command, body))
        say(f"wrote {path.relative_to(PROJECT)}")
    return 1 if faults else 0


def form(what: str, command: str, body: str) -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    return (
        f"# {what}\n\n- **Hardware** {hardware()}\n"
        f"- **Load** {load} (1, 5 and 15 minutes, this run included)\n"
        f"- **Versions** Python {platform.python_version()}, torch {torch.__version__}\n"
        f"- **Commit** {done.stdout.strip() or 'unknown'}\n- **Command** `{command}`\n\n{body}\n"
    )
