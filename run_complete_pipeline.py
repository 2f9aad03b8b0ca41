"""All stages with one command: latents, training, images. The same command again continues where it stopped.

    python run_complete_pipeline.py --data_dir data_split --vavae_path W.pt --output_dir out \\
        --batch_size 32 --max_epochs 50 --devices 2 --generate_user_ids 1 2 3 4 5 --num_samples_per_user 4
    python run_complete_pipeline.py --demo
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from configs.command_line import parse, preset_of, run_script, say, take_overrides
from configs.schema import PipelineConfig

PROJECT = Path(__file__).resolve().parent
DEMO_PRESET = PROJECT / "configs" / "demo_cpu.yaml"


def run(config: PipelineConfig, further: list[str]) -> None:
    """Run the stages that are not skipped, each in a process of its own; a stage skips what it finds
    complete.

    `further` are arguments every stage gets: `--config` and section.key=value. A failing stage ends the run
    with its status.
    """
    out = Path(config.output_dir)
    data, tokenizer = prepare_demo(out, config, further) if config.demo else inputs_of(config)
    for name, skipped, script, flags in stages_of(config, out, data, tokenizer):
        if skipped:
            say(f"== {name}: skipped, as asked ==")
        else:
            run_stage(name, script, [], flags, further)


def stages_of(
    config: PipelineConfig, out: Path, data: Any, tokenizer: Any
) -> list[tuple[str, bool, str, dict[str, Any]]]:
    """Name, whether it is skipped, script and flags of each stage; a flag of None is left to the stage."""
    latents, models = out / "latent_features", out / "trained_models"
    checkpoint = models / "checkpoints" / "best.ckpt"
    return [
        (
            "extraction",
            config.skip_extraction,
            "stage1_extract_features.py",
            {
                "data_dir": data,
                "vavae_path": tokenizer,
                "output_path": latents,
                "batch_size": config.batch_size,
                "precision": config.precision,
            },
        ),
        (
            "training",
            config.skip_training,
            "stage2_train_dit.py",
            {
                "latent_dir": latents,
                "output_dir": models,
                "batch_size": config.batch_size,
                "max_epochs": config.max_epochs,
                "max_steps": config.max_steps,
                "lr": config.lr,
                "devices": config.devices,
                "precision": config.precision,
                "seed": config.seed,
            },
        ),
        (
            "generation",
            config.skip_generation,
            "stage3_inference.py",
            {
                "dit_checkpoint": checkpoint,
                "vavae_path": tokenizer,
                "output_dir": out / "generated_images",
                "user_ids": config.generate_user_ids,
                "num_samples_per_user": config.num_samples_per_user,
                "guidance_scale": config.guidance_scale,
                "num_steps": config.num_steps,
                "precision": config.precision,
                "seed": config.seed,
            },
        ),
    ]


def inputs_of(config: PipelineConfig) -> tuple[str | None, str | None]:
    """Data and tokenizer as given; absent ones that a stage needs are refused before any stage has run."""
    needed = {
        "data_dir": not config.skip_extraction,
        "vavae_path": not (config.skip_extraction and config.skip_generation),
    }
    for key in (key for key in needed if needed[key]):
        value = getattr(config, key)
        if value is None:
            raise ValueError(f"--{key}: required, but not given (or run with --demo)")
        if not Path(value).exists():
            raise FileNotFoundError(f"--{key} {value}: no such file or folder")
    return config.data_dir, config.vavae_path


def prepare_demo(out: Path, config: PipelineConfig, further: list[str]) -> tuple[Path, Path]:
    """Toy walkers, their split, and a toy tokenizer trained on them."""
    if config.data_dir or config.vavae_path:
        raise ValueError(
            "--demo: draws its own data and trains its own tokenizer; leave --data_dir and --vavae_path out"
        )
    raw, data, tokenizer = out / "simulated", out / "data_split", out / "tokenizer"
    run_stage("toy walkers", "stage0_prepare.py", ["simulate"], {"output_dir": raw}, further)
    run_stage(
        "split",
        "stage0_prepare.py",
        ["split"],
        {"input_dir": raw, "output_dir": data, "recordings": r"rec(\d+)"},
        further,
    )
    run_stage(
        "tokenizer",
        "train_tokenizer.py",
        [],
        {"data_dir": data, "output_dir": tokenizer, "precision": config.precision},
        further,
    )
    return data, tokenizer / "tokenizer.safetensors"


def run_stage(name: str, script: str, command: list[str], flags: dict[str, Any], further: list[str]) -> None:
    """Run one stage; on failure end this process with its status, its own message being on stderr already."""
    arguments = [*command, *further]
    for key, value in flags.items():
        if value is not None:
            arguments += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    say(f"== {name}: python {script} {shlex.join(arguments)} ==")
    started = time.monotonic()
    status = subprocess.run([sys.executable, str(PROJECT / script), *arguments]).returncode
    if status:
        print(f"{name} ended with status {status}; the same command continues from there", file=sys.stderr)
        sys.exit(status if status > 0 else 128 - status)
    say(f"== {name}: {time.monotonic() - started:.0f} s ==")


def main(argv: list[str]) -> None:
    config = parse("pipeline", ("pipeline",), argv, prog="run_complete_pipeline.py", description=__doc__)[
        "pipeline"
    ]
    preset = preset_of(argv) or (str(DEMO_PRESET) if config.demo else None)
    overrides = [token for token in take_overrides("pipeline", argv)[1] if "." in token.partition("=")[0]]
    run(
        config,
        [*(["--config", preset] if preset else []), *(["--debug"] if "--debug" in argv else []), *overrides],
    )


if __name__ == "__main__":
    run_script(main)
