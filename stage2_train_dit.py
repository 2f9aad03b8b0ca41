"""Stage 2: fit a user-conditioned LightningDiT to the latents of stage 1. The same command again resumes.

python stage2_train_dit.py --latent_dir latent_features --output_dir trained_models --max_epochs 100
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from configs.command_line import PROJECT, parse, preset_of, run_script, say

SMALL_DATA = PROJECT / "configs" / "microdoppler_s.yaml"


def run(configs: dict[str, Any], preset: str | None = None) -> None:
    """`stages.train_dit.run`, imported with torch only when the command line has been read."""
    from stages import train_dit

    train_dit.run(configs, preset)


def settings(argv: list[str]) -> dict[str, Any]:
    """The sections train, model and transport of a command line; for few latents, where it names neither a
    preset nor a model nor weights to start from, over those of `SMALL_DATA`.
    """
    read = partial(
        parse, "train", ("train", "model", "transport"), prog="stage2_train_dit.py", description=__doc__
    )
    configs = read(argv)
    if preset_of(argv) or configs["train"].init_from or configs["model"].preset != "auto":
        return configs
    from data.latents import read_metadata
    from training.start import preset_for

    count = (read_metadata(Path(configs["train"].latent_dir), "train") or {}).get("num_samples")
    if not isinstance(count, int) or preset_for(count) != "LightningDiT-S/2":
        return configs  # without a count the latents are refused later, by name
    say(f"preset: {SMALL_DATA.parent.name}/{SMALL_DATA.name}")
    return read(["--config", str(SMALL_DATA), *argv])


def main(argv: list[str]) -> None:
    run(settings(argv), preset_of(argv))


if __name__ == "__main__":
    run_script(main)
