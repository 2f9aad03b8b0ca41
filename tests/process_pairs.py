"""Scripts in processes of their own: in two as torchrun starts them, forked from one that has imported
everything, and as a user starts them.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from conftest import PROJECT

from configs.command_line import run_script

PRELOADED = (
    "stage1_extract_features",
    "stage2_train_dit",
    "stage3_inference",
    "train_tokenizer",
    "lightning_fabric",
    "pytorch_lightning",
    "tensorboard",
)
LAUNCHER = {"LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload([*PRELOADED])


def run_as_pair(main: Callable, *argv, seconds: float = 240) -> tuple[int, str, str]:
    """Exit status, stdout and stderr (of the main process, then of the other) of `python script argv` in two
    processes that have each other's address; both are killed after `seconds`.
    """
    with tempfile.TemporaryDirectory() as name:
        given = main.__module__, [*map(str, argv)], free_port(), Path(name)
        pair = [context.Process(target=run_as_rank, args=(rank, *given)) for rank in (0, 1)]
        limit = time.monotonic() + seconds
        try:
            for process in pair:
                process.start()
            for process in pair:
                process.join(max(0, limit - time.monotonic()))
        finally:
            for process in pair:
                process.kill()
                process.join()
        said = (
            "".join((Path(name) / f"{kind}{rank}").read_text() for rank in (0, 1)) for kind in ("out", "err")
        )
        status = next((process.exitcode for process in pair if process.exitcode), 0)
        return status, *said


def run_as_rank(rank: int, script: str, argv: list[str], port: int, folder: Path) -> None:
    """What one of the two processes does."""
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(folder / f"{name}{rank}", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    sys.argv = [f"{script}.py", *argv]
    run_script(importlib.import_module(script).main)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Scripts that start their further processes themselves


def launch(arguments: list[str]) -> subprocess.Popen:
    """`python arguments` in the project's folder, without what an earlier launch here may have left."""
    kept = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env={**kept, "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: subprocess.Popen, seconds: float = 900) -> tuple[int, str, str]:
    """Exit status and output; whatever is left of the process group is ended."""
    try:
        output, errors = process.communicate(timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output, errors


def kill_one_of_two(main: subprocess.Popen, rank: int, seconds: float = 120) -> None:
    """Kills the process of `rank`; both must be gone after so many seconds, the first one with an error."""
    children = Path(f"/proc/{main.pid}/task/{main.pid}/children").read_text().split()
    workers = [int(pid) for pid in children if b"LOCAL_RANK=1" in Path(f"/proc/{pid}/environ").read_bytes()]
    assert len(workers) == 1
    os.kill([main.pid, workers[0]][rank], signal.SIGKILL)
    try:
        assert main.wait(timeout=seconds) != 0
        wait_until(lambda: not is_alive(workers[0]), seconds)
    finally:
        finish(main, 10)


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.2)


def is_alive(pid: int) -> bool:
    """True for a process that runs; False for one that is gone or only waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
