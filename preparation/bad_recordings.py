"""Recordings that cannot be read: listed together with the command that goes on without them."""

from __future__ import annotations

import time

from configs.command_line import say
from configs.errors import UserError
from configs.schema import SpectrogramConfig
from data.folders import FileRecord
from data.labels import listing, natural_key
from data.tree import leave_out_flag
from radar.captures import NoCapture

LOOK_ON_S = 20.0  # after the first bad recording others are read to tell of all bad ones at once
NAMED = 6


class BadRecordings:
    """What cannot be read of a folder, and of whom something can (`read`, filled by the caller)."""

    def __init__(self, config: SpectrogramConfig) -> None:
        self.config = config
        self.read: set[str] = set()
        self.refused: list[tuple[FileRecord, str]] = []
        self.skipped: dict[str, str] = {}  # person → the first reason
        self.stop = float("inf")

    def add(self, record: FileRecord, error: Exception) -> str:
        """Why the file is left out, for the account: it holds no recording, or it cannot be read."""
        if isinstance(error, NoCapture) or self.config.skip_bad_recordings:
            say(f"skipped {error}")
            self.skipped.setdefault(record.user, str(error))
            return "no recording" if isinstance(error, NoCapture) else "unreadable"
        self.refused.append((record, str(error)))
        self.stop = min(self.stop, time.monotonic() + LOOK_ON_S)
        return "unreadable"

    def enough(self) -> bool:
        """Whether the refusal need not wait for more."""
        return time.monotonic() > self.stop

    def refuse(self) -> None:
        """UserError where recordings cannot be read and nobody said to go on without them, or where nothing
        of a person was read.
        """
        people = {record.user for record, _ in self.refused} | self.skipped.keys()
        missing = sorted(people - self.read, key=natural_key)
        if self.refused:
            raise UserError(self._refusal(missing))
        if missing:
            raise UserError(
                f"--input {self.config.input}: no recording of {listing(missing)} can be read "
                f"({self.skipped[missing[0]]}); export them again, or go on without these people by "
                f"{leave_out_flag(missing, ())}"
            )

    def _refusal(self, missing: list[str]) -> str:
        (_, reason), *others = self.refused
        if not self.read:  # mostly one setting that fits none of them
            return reason + f" (so are {len(others)} more: none can be read)" * bool(others)
        files = [record.relative for record, _ in self.refused if record.user not in missing]
        flag = leave_out_flag(missing, files[:NAMED])
        rest = " --skip_bad_recordings" * (len(files) > NAMED)
        listed = listing([reason, *(record.relative for record, _ in others)], NAMED)
        return f"{listed}; or go on without {'them' if others else 'it'} by {flag}{rest}"
