"""A small record of the settings that made a folder, so that outputs of two configurations are never
mixed."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.command_line import is_main_process
from configs.errors import UserError
from data.atomic import write_text

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

RECORD = "run.json"
WAY_OUT = "use another --output_dir, or delete the folder to start anew"


class FolderLock:
    """A folder that this process alone writes to, until the object is gone or the process has died."""

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder}: another process is writing into it; wait for its end, or use another folder"
            ) from error
        except OSError:
            pass  # a file system without locks


_locks: weakref.WeakValueDictionary[tuple[int, int], FolderLock] = weakref.WeakValueDictionary()


def lock_folder(folder: Path) -> FolderLock | None:
    """Keep other processes out of an existing folder for as long as the result is kept; UserError: one is
    in it.

    Within a process the same folder gives the same lock. None where another process of this run holds it.
    """
    if fcntl is None or not is_main_process():
        return None
    entry = os.stat(folder)
    name = entry.st_dev, entry.st_ino
    lock = _locks.get(name) or FolderLock(folder)
    _locks[name] = lock
    return lock


def claim_folder(
    folder: Path, settings: Mapping[str, Any], outputs: str, way_out: str = WAY_OUT
) -> FolderLock | None:
    """Refuse (UserError) a folder made with other settings, else record `settings` in its run.json.

    `settings` is a flat mapping of JSON values that determine the outputs; `outputs` is a glob pattern of
    files that may only be there together with a record. The message names the first keys that differ. Calling
    again changes nothing. Keep the lock that is returned while you write.
    """
    record, wanted = folder / RECORD, json.loads(json.dumps(dict(settings)))
    if not record.is_file():
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: is a file, expected a folder; {way_out}")
        stranger = next(folder.glob(outputs), None) if folder.is_dir() else None
        if stranger is not None:
            raise UserError(
                f"{folder}: holds {stranger.name} but no {RECORD} that says how it was made; {way_out}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder)
        if is_main_process():  # under SLURM all processes come here at once
            write_text(record, json.dumps(wanted, indent=1, sort_keys=True) + "\n")
        return lock
    try:
        earlier = dict(json.loads(record.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{record}: damaged; {way_out}") from error
    changed = [key for key in {**earlier, **wanted} if earlier.get(key) != wanted.get(key)]
    if changed:
        listed = "; ".join(f"{key} was {earlier.get(key)!r}, now {wanted.get(key)!r}" for key in changed[:4])
        raise UserError(f"{folder} was made with other settings: {listed}; {way_out}")
    return lock_folder(folder)
