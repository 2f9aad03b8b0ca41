"""Stage 0: prepare data.

python stage0_prepare.py split --input_dir raw --output_dir data_split    # people's folders to train/, val/
python stage0_prepare.py simulate --output_dir sim                        # drawn toy walkers to try things on
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from configs.command_line import parse, run_script, say
from configs.schema import SimulateConfig, SplitConfig
from data.atomic import replacing
from data.images import SPLIT_NAMES, find_users, list_images
from data.progress import progress
from data.run_record import claim_folder
from data.splits import GUARD, Split, materialise, split_records
from radar.drawing import draw_recording, draw_walker

RECORDINGS_PER_USER = 4


def split(config: SplitConfig) -> None:
    """Divide people's images into train, val and perhaps test; see `data.splits` for the rules."""
    labels = find_users(config.input_dir)
    records = list_images(config.input_dir, labels)
    method = "recordings" if config.recordings and config.method == "blocks" else config.method
    result = split_records(
        records,
        method,
        config.recordings,
        config.val_fraction,
        config.test_fraction,
        config.guard,
        config.seed,
    )
    if result.warning:
        say(f"warning: {result.warning}")
    kept = len(records) - result.counts().get(GUARD, 0)
    with progress(total=kept, description="placing", unit="img") as bar:
        materialise(
            result,
            config.output_dir,
            link=not config.copy,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    for line in split_table(result, labels.names):
        say(line)
    say(
        f"wrote {config.output_dir}; next: python stage1_extract_features.py --data_dir {config.output_dir} "
        "--vavae_path <tokenizer> --output_path latent_features"
    )


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


def simulate(config: SimulateConfig) -> None:
    """Draw toy walkers into ID_1, ID_2, ...; file names carry the recording (rec1_004.png)."""
    folder = Path(config.output_dir)
    settings = {name: getattr(config, name) for name in ("num_users", "samples_per_user", "seed")}
    claim_folder(folder, settings, "ID_*")
    with progress(total=config.num_users * config.samples_per_user, description="drawing", unit="img") as bar:
        for user in range(1, config.num_users + 1):
            draw_user(folder / f"ID_{user}", user, config, bar)
    say(
        f"wrote {folder}; next: python stage0_prepare.py split --input_dir {folder} --output_dir data_split "
        r"--recordings 'rec(\d+)'"
    )


def draw_user(folder: Path, user: int, config: SimulateConfig, bar: Any) -> None:
    """All recordings of one toy walker; images that are there already were drawn by the same seed and are
    kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    walker = draw_walker(config.seed, user)
    recordings = min(RECORDINGS_PER_USER, config.samples_per_user)
    for recording, share in enumerate(numpy.array_split(range(config.samples_per_user), recordings), start=1):
        windows = draw_recording(walker, len(share), numpy.random.default_rng((config.seed, user, recording)))
        for number, window in enumerate(windows, start=1):
            path = folder / f"rec{recording}_{number:03d}.png"
            if not path.exists():
                with replacing(path) as temporary:
                    window.save(temporary, format="PNG")
            bar.update(1)


COMMANDS = {"split": split, "simulate": simulate}


def main(argv: list[str]) -> None:
    if argv[:1] in (["-h"], ["--help"]):
        return print(__doc__)
    if not argv or argv[0] not in COMMANDS:
        given = argv[0] if argv else "nothing"
        raise ValueError(f"stage0_prepare.py: expected a command ({' | '.join(COMMANDS)}), got {given}")
    name = argv[0]
    COMMANDS[name](
        parse(name, (name,), argv[1:], prog=f"stage0_prepare.py {name}", description=COMMANDS[name].__doc__)[
            name
        ]
    )


if __name__ == "__main__":
    run_script(main)
