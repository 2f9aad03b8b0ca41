"""Public data sets of walkers, each taken in the layout in which its authors publish it; a module a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from configs.command_line import say
from configs.errors import UserError
from configs.schema import DrawingConfig, ImportConfig, SpectrogramConfig
from preparation.drawing import draw_recordings
from preparation.public_sets import glasgow, idrad, mmrgait, mvdoppler, sense2gol
from preparation.public_sets.contract import PublicSet
from preparation.spectrograms import check_pair

SETS: Mapping[str, PublicSet] = {
    "glasgow": glasgow.SET,
    "idrad": idrad.SET,
    "mmrgait": mmrgait.SET,
    "mvdoppler": mvdoppler.SET,
    "sense2gol": sense2gol.SET,
}


def import_set(config: ImportConfig) -> None:
    """Draw a set as images with axes.csv and labels.csv (person, condition, recording, ...), after saying
    whose it is.

    UserError: not one set, or a key not given that nothing else states, or as `draw_recordings`.
    """
    check_pair("import", config)
    if len(config.public_set) != 1:
        given = " ".join(config.public_set) or "nothing"
        raise UserError(f"import: expected one set ({' | '.join(SETS)}), got {given}")
    name = config.public_set[0]
    one = SETS[name]
    missing = [f"--{key}" for key in one.asked if key not in config.given]
    if missing:
        raise UserError(
            f"import {name} requires {', '.join(missing)}: its files do not state it, see docs/public_sets.md"
        )
    files = one.find(Path(config.input), config.leave_out)
    say(f"{one.title}; cite: {one.citation}; licence: {one.licence}")
    draw_recordings(files, with_settings(one, config), "import", config, one.read, one.whole)


def with_settings(one: PublicSet, config: ImportConfig) -> SpectrogramConfig:
    """What is drawn: the user's words before the set's."""
    asked = {item.name: getattr(config, item.name) for item in fields(DrawingConfig)}
    return SpectrogramConfig(**asked | {k: v for k, v in one.settings.items() if k not in config.given})
