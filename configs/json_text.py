"""JSON that somebody else may have written, or that a disk may have damaged."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """What the JSON `text` says; ValueError for whatever else it is, nesting beyond Python's stack included,
    which `json.loads` alone meets with a RecursionError.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deep", "", 0) from error
