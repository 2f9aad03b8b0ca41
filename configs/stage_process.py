"""Stages as processes of their own, for commands that chain them."""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from configs.command_line import PROJECT, read_by, say

# Flags that name what another stage makes
MADE_BEFORE = ("input_dir", "data_dir", "latent_dir", "dit_checkpoint", "select", "real", "generated")


def run_stage(
    name: str, command: list[str], flags: dict[str, Any], further: list[str], deadline: float
) -> None:
    """Run one stage, a script with or without a command of it; on failure end this process with its status,
    its own message being on stderr already.

    At `deadline` (of time.monotonic) it is killed, which no stage minds, and this process ends well; training
    is told to end by itself, with its last step saved.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        stop_for_time()
    limit = None if seconds == math.inf else seconds
    if name == "training" and limit:
        flags, limit = {**flags, "max_hours": f"{max(1.0, limit) / 3600:.9f}"}, None
    script, *arguments = *command, *read_by(command, further)
    for key, value in flags.items():
        if value is True:
            arguments.append(f"--{key}")
        elif value is not None:
            words = [*map(str, value)] if isinstance(value, list) else [str(value)]
            pattern = isinstance(value, str) and value.startswith("-")  # no flag
            arguments += [f"--{key}={value}"] if pattern else [f"--{key}", *words]
    say(f"== {name}: python {script} {shlex.join(arguments)} ==")
    absent = [str(flags[key]) for key in MADE_BEFORE if flags.get(key) and not Path(flags[key]).exists()]
    if absent and "--dry_run" in further:
        return say(f"would run when the stages before it have made {', '.join(absent)}")
    started = time.monotonic()
    try:
        status = subprocess.run([sys.executable, str(PROJECT / script), *arguments], timeout=limit).returncode
    except subprocess.TimeoutExpired:
        stop_for_time()
    if status:
        print(f"{name} ended with status {status}; the same command continues from there", file=sys.stderr)
        sys.exit(status if status > 0 else 128 - status)
    say(f"== {name}: {time.monotonic() - started:.0f} s ==")


def stop_for_time() -> NoReturn:
    say("== time is up; the same command goes on ==")
    sys.exit(0)
