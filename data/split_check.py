"""What a finished split must be before anything is learnt from it or measured on it."""

from __future__ import annotations

from configs.command_line import say
from data.cropping import refuse_margins
from data.duplicates import refuse_leaks
from data.examination import Examination, examine_files
from data.images import Splits


def check_split(splits: Splits, folder: str, margins: str = "refuse") -> Examination:
    """What the images of `folder` look like, which is said.

    UserError: figures with margins, unless `margins` is "keep"; images of val or test that are, equal or
    nearly, among the training ones.
    """
    seen = examine_files([record for part in splits.records.values() for record in part])
    say("\n".join(seen.lines()))
    if margins == "refuse":
        refuse_margins(
            seen,
            folder,
            "split the images anew by stage0_prepare.py split --crop auto, which cuts them to their plot "
            "areas, or take them as they are by --margins keep",
        )
    refuse_leaks(
        splits.records["train"],
        [record for name, part in splits.records.items() if name != "train" for record in part],
        "split anew by stage0_prepare.py split, which puts copies on one side, or --leave_out them",
        seen.several_maps,
    )
    return seen
