"""All stages with one command: latents, training, images. The same command again continues where it stopped.

    python run_complete_pipeline.py --data_dir data_split --vavae_path W.pt --output_dir out \\
        --batch_size 32 --max_epochs 50 --devices 2 --generate_user_ids 1 2 3 4 5 --num_samples_per_user 4
    python run_complete_pipeline.py --demo
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.command_line import (
    PROJECT,
    asked_of,
    parse,
    passed_to_stages,
    preset_of,
    run_script,
    say,
    unread_overrides,
)
from configs.dry_run import LAST_LINE
from configs.errors import UserError
from configs.keys import HUB_PREFIX
from configs.schema import STAGES, PipelineConfig
from configs.stage_process import run_stage, stop_for_time

DEMO_PRESETS = {False: PROJECT / "configs" / "demo_cpu.yaml", True: PROJECT / "configs" / "demo_quick.yaml"}
WALKERS = [["stage0_prepare.py", "simulate"], ["stage0_prepare.py", "split"]]  # what begins the demo
EMBEDDED_TOKENIZER = "compact"
FOLDERS = (
    "simulated",
    "data_split",
    "latent_features",
    "trained_models",
    "selector",
    "generated_images",
    "evaluation",
)


def run(config: PipelineConfig, further: list[str]) -> None:
    """Run the stages that are not skipped, each in a process of its own; a stage skips what it finds
    complete.

    `further` are arguments every stage gets: `--config` and section.key=value. A failing stage ends the run
    with its status. In a dry run every stage whose inputs are there runs dry, too; the others are told.
    """
    deadline = time.monotonic() + 3600 * (config.max_hours or math.inf)
    if config.quick and not config.demo:
        raise UserError("--quick: is the size of the demo; add --demo, or leave it out")
    out = Path(config.output_dir)
    data: str | Path | None
    if config.select is None:
        config = replace(config, select=config.demo and not config.quick)
    if config.evaluate is None:
        config = replace(config, evaluate=config.demo and not config.skip_generation)
    data, tokenizer = inputs_of(config)
    asked = asked_of("pipeline", further)
    if data and (pattern := asked["train"].get("conditions")):
        told_to = ("extract", "sample", "evaluate")
        axes_told = bool(config.axes) or any(asked[section].get("axes") for section in told_to)
        check_conditions(config, Path(data), pattern, axes_told)
    if config.resume_from:
        bring(Path(config.resume_from), out, config.dry_run)
    if config.demo:
        data = prepare_demo(out, config, further, deadline)
    stages = stages_of(config, out, data, tokenizer, asked)
    read = set().union(*(given_to(config, flags) for _, skipped, _, flags in stages if not skipped))
    commands = [command for _, skipped, command, _ in stages if not skipped]
    if idle := unread_overrides(commands + WALKERS * config.demo, further):
        say(f"note: {', '.join(idle)}: no stage of this run reads it")
    for name, skipped, command, flags in stages:
        if skipped:
            unread = ", ".join(f"--{key}" for key in sorted(given_to(config, flags) - read))
            say(f"== {name}: skipped, as asked{unread and '; not read: ' + unread} ==")
        else:
            run_stage(name, command, flags, further, deadline)
            late = (out / "trained_models" / "time_is_up.txt").is_file()
            if name == "training" and late and not config.dry_run:
                stop_for_time()
    if config.dry_run:
        say(LAST_LINE)


def stages_of(
    config: PipelineConfig, out: Path, data: Any, tokenizer: Any, asked: dict[str, dict[str, Any]]
) -> list[tuple[str, bool, list[str], dict[str, Any]]]:
    """Name, whether it is skipped, command and flags of each stage; a flag of None is left to the stage. What
    stages 1 and 2 are `asked` about margins and conditions, stage 4 is told, too.
    """

    def same(*names: str) -> dict[str, Any]:
        return {name: getattr(config, name) for name in names}

    def handed_on(stage: str, **sources: str) -> dict[str, Any]:
        lacking = {key: source for key, source in sources.items() if key not in asked[stage]}
        return {key: asked[source].get(key) for key, source in lacking.items()}

    latents, models, images = out / "latent_features", out / "trained_models", out / "generated_images"
    selector = out / "selector"
    extraction = {
        "data_dir": data,
        "vavae_path": tokenizer,
        **same("imagenet_stats"),
        "axes": config.axes or None,  # the latents tell the later stages
        "output_path": latents,
        **same("batch_size", "devices", "precision"),
    }
    training = {
        "latent_dir": latents,
        "output_dir": models,
        **same("batch_size", "max_epochs", "max_steps", "lr"),
        "use_checkpoint": config.use_checkpoint or None,
        **same("devices", "precision", "seed"),
        "generate_user_ids": None if config.skip_generation else config.generate_user_ids,
    }
    generation = {
        "dit_checkpoint": models / "checkpoints" / "best.ckpt",
        "vavae_path": tokenizer,
        "output_dir": images,
        "user_ids": config.generate_user_ids,
        **same("num_samples_per_user", "guidance_scale", "num_steps", "precision", "seed"),
        **({"select": selector / "judge.safetensors"} if config.select else same("devices")),
    }
    evaluation = {
        "real": data,
        "generated": images,
        "output_dir": out / "evaluation",
        "vavae_path": tokenizer,
        "axes": config.axes or None,
        **handed_on("evaluate", conditions="train", margins="extract"),
    }
    judging = {"real": data, "output_dir": selector, **handed_on("judge", margins="extract")}
    judge = ("judge", config.skip_generation, ["stage4_evaluate.py", "judge"], judging)
    selection = [judge] if config.select else []
    stages = [
        ("extraction", config.skip_extraction, ["stage1_extract_features.py"], extraction),
        ("training", config.skip_training, ["stage2_train_dit.py"], training),
        *selection,
        ("generation", config.skip_generation, ["stage3_inference.py"], generation),
    ]
    if config.evaluate:
        stages.append(("evaluation", False, ["stage4_evaluate.py"], evaluation))
    return stages


def given_to(config: PipelineConfig, flags: dict[str, Any]) -> set[str]:
    """Which of the flags given here a stage gets by its `flags`, some by another name."""
    usual = PipelineConfig()
    names = {"user_ids": "generate_user_ids", "real": "data_dir"}
    got = {names.get(name, name): value for name, value in flags.items() if value is not None}
    return {
        name
        for name, value in got.items()
        if hasattr(usual, name) and value == getattr(config, name) != getattr(usual, name)
    }


def inputs_of(config: PipelineConfig) -> tuple[str | None, str | None]:
    """Data and tokenizer as given; absent ones that a stage needs are refused before any stage has run."""
    if config.demo:
        if config.data_dir or config.vavae_path:
            raise UserError(
                "--demo: simulates its own walkers and brings its own tokenizer; "
                "leave --data_dir and --vavae_path out"
            )
        return None, EMBEDDED_TOKENIZER
    needed = {
        "data_dir": config.evaluate or config.select or not config.skip_extraction,
        "vavae_path": not (config.skip_extraction and config.skip_generation),
    }
    for key in (key for key in needed if needed[key]):
        value = getattr(config, key)
        if value is None:
            raise UserError(f"--{key}: required, but not given (or run with --demo)")
        if value != EMBEDDED_TOKENIZER and not value.startswith(HUB_PREFIX) and not Path(value).exists():
            raise FileNotFoundError(f"--{key} {value}: no such file or folder")
    return config.data_dir, config.vavae_path


def check_conditions(config: PipelineConfig, data: Path, pattern: str, axes_told: bool) -> None:
    """UserError: what stages 3 and 4 are sure to say of people in conditions, and only after training."""
    folders = {path.name for path in (data / "train").glob("*") if path.is_dir()}
    if not folders or config.skip_generation:
        return
    try:
        people = {re.sub(pattern, "", name, count=1) for name in folders}
    except re.error:
        return  # stage 2 says what is wrong with it
    asked, alone = config.generate_user_ids, people & folders
    if config.select and "all" in asked and people - alone:
        raise UserError(
            "--select: a judge of real images knows recorded people in conditions alone, --generate_user_ids "
            f"all asks for {min(people - alone)}, too; name folders of {data}/train, or leave --select out"
        )
    numbers = all(re.fullmatch("[0-9-]+", name) for name in asked)  # of people in no condition
    if (config.select or config.evaluate) and numbers and not alone:
        raise UserError(
            f"--generate_user_ids {' '.join(asked)}: numbers mean people in no condition, whom no real image "
            f"shows; name some folders of {data}/train, too, like {min(folders)}"
        )
    if config.evaluate and not (axes_told or config.skip_extraction or (data / "axes.csv").is_file()):
        raise UserError(
            "--evaluate: of people in conditions requires velocities in m/s; tell the edges of the images by "
            "--axes, or leave it out"
        )


def bring(earlier: Path, out: Path, dry_run: bool) -> None:
    """Copy the folders of an earlier session that `out` lacks, each whole or not at all; or tell them."""
    folders = [earlier / name for name in FOLDERS if (earlier / name).is_dir()]
    if not folders:
        raise UserError(
            f"--resume_from {earlier}: none of {', '.join(FOLDERS)} inside; expected the --output_dir of an "
            "earlier session"
        )
    lacking = [folder for folder in folders if not (out / folder.name).exists()]
    if kept := [folder.name for folder in folders if folder not in lacking]:
        say(f"{out} has {', '.join(kept)}, which go on; those of --resume_from {earlier} are not read")
    if dry_run:
        return say("\n".join(f"would start from {folder}" for folder in lacking))
    out.mkdir(parents=True, exist_ok=True)
    for folder in lacking:
        partial = out / f".{folder.name}.part"
        shutil.rmtree(partial, ignore_errors=True)
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            target = partial / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)  # not its mode: the input may be read-only
        os.rename(partial, out / folder.name)
        say(f"starting from {folder}")


def prepare_demo(out: Path, config: PipelineConfig, further: list[str], deadline: float) -> Path:
    """Simulated walkers, split by recording."""
    raw, data = out / "simulated", out / "data_split"
    simulate, split = WALKERS
    run_stage("walkers", simulate, {"output_dir": raw}, further, deadline)
    run_stage(
        "split",
        split,
        {"input_dir": raw, "output_dir": data, "recordings": r"rec(\d+)", "val_fraction": 0.25},
        further,
        deadline,
    )
    return data


def main(argv: list[str]) -> None:
    config = parse(
        "pipeline",
        ("pipeline",),
        argv,
        prog="run_complete_pipeline.py",
        description=__doc__,
        handed_on=[section for sections in STAGES.values() for section in sections],
    )["pipeline"]
    preset = DEMO_PRESETS[config.quick] if config.demo else None
    if preset and (named := preset_of(argv)):
        say(f"note: --config {named}: in place of the demo's preset configs/{preset.name}, not beside it")
    run(config, passed_to_stages("pipeline", argv, preset, config.dry_run))


if __name__ == "__main__":
    run_script(main)
