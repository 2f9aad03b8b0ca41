"""A script in two processes, as torchrun starts them, forked from one that has imported everything."""

import importlib
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

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
