"""A small record of the settings that made a folder, so that outputs of two configurations are never
mixed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.command_line import is_main_process
from data.atomic import write_text

RECORD = "run.json"


def claim_folder(folder: Path, settings: Mapping[str, Any], outputs: str) -> None:
    """Refuse (ValueError) a folder made with other settings, else record `settings` in its run.json.

    `settings` is a flat mapping of JSON values that determine the outputs; `outputs` is a glob pattern of
    files that may only be there together with a record. The message names the first keys that differ. Calling
    again changes nothing.
    """
    record, wanted = folder / RECORD, json.loads(json.dumps(dict(settings)))
    way_out = "use another --output_dir, or delete the folder to start anew"
    if not record.is_file():
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: is a file, expected a folder; {way_out}")
        stranger = next(folder.glob(outputs), None) if folder.is_dir() else None
        if stranger is not None:
            raise ValueError(
                f"{folder}: holds {stranger.name} but no {RECORD} that says how it was made; {way_out}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        if is_main_process():  # under SLURM all processes come here at once
            write_text(record, json.dumps(wanted, indent=1, sort_keys=True) + "\n")
        return
    try:
        earlier = dict(json.loads(record.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{record}: damaged; {way_out}") from error
    changed = [key for key in {**earlier, **wanted} if earlier.get(key) != wanted.get(key)]
    if changed:
        listed = "; ".join(f"{key} was {earlier.get(key)!r}, now {wanted.get(key)!r}" for key in changed[:4])
        raise ValueError(f"{folder} was made with other settings: {listed}; {way_out}")
