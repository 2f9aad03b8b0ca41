"""Whether a folder is locked at every write below it, seen from outside the code that writes."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_watches: list[tuple[Path, list[tuple[str, bool]]]] = []


def is_locked(folder: Path) -> bool:
    """Whether a second process would be refused; locks belong to an opened folder, so this one may ask."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def held_by_another_process(folder: Path) -> Iterator[None]:
    """A process that keeps `folder` locked until the end of the block."""
    code = (
        "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); "
        "print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"in\n"
        yield
        holder.kill()


@contextmanager
def watched(folder: Path) -> Iterator[list[tuple[str, bool]]]:
    """A list that gets (name, whether `folder` was locked) at every write, renaming and removal below it."""
    writes: list[tuple[str, bool]] = []
    _watches.append((folder, writes))
    try:
        yield writes
    finally:
        _watches.pop()


def _look(event: str, arguments: tuple) -> None:
    if not _watches or event not in ("open", "os.rename", "os.remove"):
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    written = arguments[1] if event == "os.rename" else arguments[0]
    for folder, writes in _watches:
        if isinstance(written, (str, os.PathLike)) and folder in Path(written).parents:
            writes.append((Path(written).name, is_locked(folder)))


sys.addaudithook(_look)  # for good, as Python has it; it does nothing while nothing is watched
