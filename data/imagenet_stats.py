"""ImageNet's statistics that stage 1 compares with: those the user names, else those beside the tokenizer."""

from __future__ import annotations

from pathlib import Path

from configs.command_line import say
from configs.errors import UserError
from data.latent_stats import LatentStatistics

FILE = "latents_stats.pt"


def imagenet_statistics(named: str | None, tokenizer: Path, output: Path) -> LatentStatistics | None:
    """The file `named`; without one, that under the published name in the folder of `tokenizer`'s file, of
    which a line tells, also where it cannot be used. Stage 1's own file, in `output`, is none of them.

    UserError: the file named is absent or damaged.
    """
    if named:
        return _named(named)
    path = tokenizer.parent / FILE
    if not path.is_file() or path.parent.resolve() == output.resolve():
        return None
    try:
        statistics = LatentStatistics.load(path)
    except (UserError, OSError) as error:
        say(f"warning: {_reason(error)}; it lies beside the tokenizer and is not compared with")
        return None
    say(f"compared with {path}, which lies beside the tokenizer (--imagenet_stats names another)")
    return statistics


def with_channels(
    statistics: LatentStatistics | None, channels: int, named: str | None
) -> LatentStatistics | None:
    """`statistics` of a tokenizer of so many channels; others are refused (UserError) where the user named
    them, else left out, in a line.
    """
    if statistics is None or statistics.num_channels == channels:
        return statistics
    reason = f"{statistics.num_channels} channels, the tokenizer has {channels}"
    if named:
        raise UserError(f"--imagenet_stats {named}: {reason}; give the statistics of the same tokenizer")
    say(f"warning: {FILE} beside the tokenizer: {reason}; it is not compared with")
    return None


def _named(path: str) -> LatentStatistics:
    try:
        return LatentStatistics.load(path)
    except (UserError, FileNotFoundError) as error:  # the user's file: the way out is not this stage
        raise UserError(
            f"--imagenet_stats {_reason(error)}; give another copy, or leave the flag out"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).rpartition(";")[0] or str(error)
