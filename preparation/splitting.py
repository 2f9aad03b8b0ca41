"""People's images divided into train, val and perhaps test, in a folder of links or copies."""

from __future__ import annotations

from pathlib import Path

from configs.command_line import say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.schema import SplitConfig
from data.axes import common_axes, read_axes
from data.cropping import SHEET, boxes_of, refuse_margins
from data.duplicates import firsts
from data.examination import examine_files
from data.folders import FileRecord, Rules
from data.images import find_images, inputs_digest, scan_images
from data.labels import listing
from data.progress import progress
from data.split_files import materialise
from data.splits import GUARD, Split, enough_recordings, split_records
from data.tree import SPLIT_NAMES, account, leave_out_flag


def split(config: SplitConfig) -> None:
    """Divide people's images into train, val and perhaps test; see `data.splits` for the rules."""
    # The images: whose they are, whether they can be read, what they look like
    entries = find_images(config.input_dir, Rules(config.name, config.labels, config.leave_out))
    labels, records = entries.labels, entries.records
    scan = scan_images(records)
    refuse_unreadable(records, scan.bad)
    seen = examine_files(records)
    say("\n".join(seen.lines()))
    if config.crop == "refuse":
        refuse_margins(
            seen,
            config.input_dir,
            "cut them to their plot areas by --crop auto, or take them as they are by --crop none",
        )
    boxes = boxes_of(records) if config.crop == "auto" else {}

    # The side of each
    result = divided(config, records, firsts(records, seen.several_maps))
    kept = len(records) - result.counts().get(GUARD, 0)
    tell_axes(records, config.input_dir)

    # Placing
    with progress(total=kept, description="placing", unit="img") as bar:
        materialise(
            result,
            config.output_dir,
            link=not config.copy,
            inputs=inputs_digest(records, scan.digests),
            bar=bar,
            dry_run=config.dry_run,
            boxes=boxes,
            axes=read_axes(config.input_dir),
        )

    # What was done, and what comes next
    if boxes:
        say(f"cut {len(boxes)} figures to their plot areas; look at {Path(config.output_dir) / SHEET}")
    for line in split_table(result, labels.names):
        say(line)
    read = account(len(records), "image", entries.left_out)
    say(f"{read}; {len(labels)} people, divided by {result.settings['method']}")
    if len(labels) == 1:
        say("warning: one person, whom there is nobody to be told from: stage 4 requires two or more")
    if config.dry_run:
        return tell_plan(
            {"split": config},
            reads=[f"{config.input_dir}: {len(records)} images"],
            writes=[config.output_dir],
            does=f"{'copy' if config.copy else 'link'} {kept} images",
        )
    say(
        f"wrote {config.output_dir}; next: python stage1_extract_features.py --data_dir {config.output_dir} "
        "--vavae_path <tokenizer> --output_path latent_features"
    )


def divided(config: SplitConfig, records: list[FileRecord], same: dict[str, str]) -> Split:
    """The side of every image as the settings ask, of copies (`same`) that of the first; both are said, and
    warnings.
    """
    method = split_method(config, records)
    if method != "blocks" and "guard" in config.given:
        say(f"note: --guard {config.guard}: does nothing here, blocks alone have guards")
    result = split_records(
        records,
        method,
        config.recordings,
        config.val_fraction,
        config.test_fraction,
        config.guard,
        config.seed,
        config.hold_out,
        same,
    )
    result.settings.update({"crop": config.crop} if config.crop != "refuse" else {})
    tell_copies(result, same)
    if result.warning:
        say(f"warning: {result.warning}")
    return result


def tell_axes(records: list[FileRecord], folder: str) -> None:
    """Say which axes the images have; a warning where these are of several kinds."""
    try:
        if axes := common_axes(folder, [record.path for record in records]):
            say(f"axes of all images: {axes}")
    except UserError as error:
        say(f"warning: {error}; stage 1 refuses them as they are")


def refuse_unreadable(records: list[FileRecord], bad: dict[str, str]) -> None:
    """UserError with the command that goes on without images that cannot be read."""
    if not bad:
        return
    kept = {record.user for record in records if record.relative not in bad}
    lost = [user for user in dict.fromkeys(record.user for record in records) if user not in kept]
    rest = [record.relative for record in records if record.relative in bad and record.user in kept]
    raise UserError(
        f"{len(bad)} images cannot be read: {listing([f'{name}: {bad[name]}' for name in bad], 5)}; repair "
        f"them, or go on without them by {leave_out_flag(lost, rest)}"
    )


def tell_copies(result: Split, same: dict[str, str]) -> None:
    """Say which images repeat others; UserError where one is on another side than what it repeats, which no
    method but a held-out group brings about.
    """
    side = {item.record.relative: item.split for item in result.assignments}
    apart = [f"{copy} = {first}" for copy, first in same.items() if side[copy] != side[first]]
    if apart:
        raise UserError(
            f"{len(apart)} images of what is held out are among the others too, equal or nearly: "
            f"{listing(apart, 3)}; remove one of each, or go on without the first of each pair by "
            f"{leave_out_flag((), [copy for copy, first in same.items() if side[copy] != side[first]])}"
        )
    if same:
        named = listing([f"{copy} = {first}" for copy, first in same.items()], 3)
        say(
            f"{len(same)} images repeat others of the same person, equal or nearly ({named}): each is on the "
            "side of the one it repeats"
        )


def split_method(config: SplitConfig, records: list[FileRecord]) -> str:
    """The method asked for; without one, whole recordings where each person has enough known ones."""
    if config.method != "blocks" or "method" in config.given:
        return config.method
    parts = 2 if config.hold_out or not config.test_fraction else 3
    known = config.recordings or enough_recordings(records, parts, config.hold_out)
    return "recordings" if known else "blocks"


def split_table(result: Split, users: tuple[str, ...]) -> list[str]:
    """A line per person: how many images went where."""
    columns = [name for name in (*SPLIT_NAMES, GUARD) if name in result.counts()]
    counts = {(user, name): 0 for user in users for name in columns}
    for item in result.assignments:
        counts[item.record.user, item.split] += 1
    width = max(len(user) for user in users)
    return [
        f"{user:<{width}}  " + "  ".join(f"{name} {counts[user, name]:>5}" for name in columns)
        for user in users
    ]
