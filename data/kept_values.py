"""Values that a command has found out for a folder, kept for the commands that go on in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.atomic import read_object, write_text


class KeptValues:
    """Named mappings of JSON values in the file `path`, which is there from the first `put` on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> Mapping[str, Any]:
        """The mapping of that name, empty where there is none; UserError for a damaged file."""
        return self._read().get(name, {})

    def put(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep `value` under that name, beside the others."""
        write_text(self.path, json.dumps({**self._read(), name: value}, indent=1, sort_keys=True) + "\n")

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.path.is_file():
            return {}
        return read_object(self.path, "delete it, and its values are measured again", values=dict)
