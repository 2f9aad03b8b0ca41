"""What --dry_run says in place of doing it, for every command in the same words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from configs.command_line import say
from configs.load import to_yaml

LAST_LINE = "dry run: nothing was written"


def tell_plan(
    configs: Mapping[str, Any], *, reads: Iterable[object], writes: Iterable[object], does: str
) -> None:
    """The resolved sections, then what would be read, written and done, with counts.

    A command calls it where it would begin to write: after all its refusals, in `lock_folder` or
    `claim_folder`, which leave the disk alone in a dry run; and returns.
    """
    if configs:
        say(to_yaml(configs).rstrip())
    for verb, things in (("read", reads), ("write", writes)):
        for thing in things:
            say(f"would {verb} {thing}")
    say(f"would {does}")
    say(LAST_LINE)
