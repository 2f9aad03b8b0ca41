"""The form that every result fills: hardware, versions, commit, command, tables."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from configs.command_line import say
from data.atomic import write_text

RESULTS = Path(__file__).parent / "results"


def hardware() -> str:
    """The GPU where there is one, else the processor with the cores that torch uses; memory in GiB."""
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    info, cores = Path("/proc/cpuinfo"), torch.get_num_threads()
    named = re.search(r"model name\s*: (.*)", info.read_text()) if info.is_file() else None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    capability = torch.backends.cpu.get_cpu_capability()
    name = named[1] if named else platform.machine()
    return f"{cores} core{'s' if cores > 1 else ''} of {name} ({capability}, {bf16_unit()}), {memory:.0f} GiB"


def bf16_unit() -> str:
    """What multiplies in bf16 on this processor, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.is_file() else []
    units = {"amx_bf16": "bf16 by AMX", "avx512_bf16": "bf16 by AVX-512, no AMX"}
    return next((text for flag, text in units.items() if flag in flags), "no bf16 unit")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def write_form(what: str, title: str, command: str, body: str) -> Path:
    """Print the form and write it to results/<what>_<hardware>_<date>.md; its path."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent
    )
    text = (
        f"# {title}\n\n- **Hardware** {hardware()}\n"
        f"- **Versions** Python {sys.version.split()[0]}, torch {torch.__version__}\n"
        f"- **Commit** {commit.stdout.strip() or 'unknown'}\n- **Command** `{command}`\n\n{body}\n"
    )
    gpu = torch.cuda.is_available()
    kind = torch.cuda.get_device_name(0) if gpu else f"{torch.get_num_threads()} cpu cores"
    kind = re.sub(r"\W+", "_", kind)
    path = RESULTS / f"{what}_{kind}_{datetime.date.today().isoformat()}.md"
    write_text(path, text)
    say(f"{text}\nwrote {path}")
    return path
