"""Stage 4: how good are the generated images? Is it the person, is it new, is it physical, is it diverse?

    python stage4_evaluate.py --real data_split --generated generated_images \\
        --output_dir evaluation_report --axes -1.2 5.2 2.1 --vavae_path compact
    python stage4_evaluate.py --real data_split --generated ours=generated_images gan=other_tool/images
    python stage4_evaluate.py judge --real data_split --output_dir selector    # for stage 3's --select
    python stage4_evaluate.py sweep --real data_split --dit_checkpoint best.safetensors --vavae_path W.pt \\
        --guidance 1 1.5 2 3 4 --output_dir guidance_sweep
    python stage4_evaluate.py study --design new-person --real data_split --vavae_path compact \\
        --config configs/microdoppler_xs.yaml --output_dir study_new_person    # trains generators, too
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from configs.command_line import asked_of, parse, passed_to_stages, run_script
from configs.schema import STAGES, EvaluateConfig, FidConfig, SelectingJudgeConfig, StudyConfig, SweepConfig


def run(config: EvaluateConfig) -> None:
    """`stages.evaluate.run`; what measures is imported, here and below, only when the command line has been
    read: it loads torch.
    """
    from stages import evaluate

    evaluate.run(config)


def judge(config: SelectingJudgeConfig) -> None:
    """Train a judge for stage 3's --select on half of the real images; stage 4 scores by the other half."""
    from evaluation import selection

    selection.train_selecting_judge(config)


def sweep(config: SweepConfig, drawing: Mapping[str, Any] | None = None) -> None:
    """Draw and score a small set for every network, sampler and guidance scale; sweep.json, sweep.png. What a
    preset or sample.key=value says of drawing holds where no flag says otherwise.
    """
    from evaluation import sweep

    sweep.run(config, drawing or {})


def fid(config: FidConfig) -> None:
    """FID, Inception Score, KID, precision and recall by torch-fidelity, into fid.json."""
    from evaluation import fid

    fid.run(config)


def study(config: StudyConfig, further: Sequence[str] = ()) -> None:
    """Train generators and classifiers by a design, and say whether generated images help: same-budget,
    new-person, other-day or unseen-condition. `--config` and section.key=value go to stages 1 to 3.
    """
    from evaluation import study

    study.run(config, further)


# Sections of stages 1 to 3
MAKERS = [
    name for script, names in STAGES.items() if script[:6] in ("stage1", "stage2", "stage3") for name in names
]
COMMANDS: dict[str, Callable[[Any], None]] = {"judge": judge, "sweep": sweep, "fid": fid, "study": study}


def main(argv: list[str]) -> None:
    """The plain form, or a sub-command, whose keys are the section of its name."""
    if argv[:1] and argv[0] in COMMANDS:
        name, command = argv[0], COMMANDS[argv[0]]
        prog = f"stage4_evaluate.py {name}"
        on = {"study": MAKERS, "sweep": ("sample",)}.get(name, ())
        about = command.__doc__ or ""
        config = parse(name, (name,), argv[1:], prog=prog, description=about, handed_on=on)[name]
        if name == "study":
            return study(config, passed_to_stages(name, argv[1:]))
        if name == "sweep":
            return sweep(config, asked_of(name, argv[1:])["sample"])
        return command(config)
    run(parse("evaluate", ("evaluate",), argv, prog="stage4_evaluate.py", description=__doc__)["evaluate"])


if __name__ == "__main__":
    run_script(main)
