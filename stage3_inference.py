"""Stage 3: draw spectrograms of chosen people. The same command with more of them adds what is missing.

    python stage3_inference.py --dit_checkpoint trained_models/checkpoints/best.ckpt --vavae_path W.pt \\
        --output_dir generated_images --user_ids 1 2 3 4 5 --num_samples_per_user 4

With --select judge.safetensors --keep 200 it keeps only what a selecting judge passes; with --npz it also
packs the images into samples.npz, as other programs' evaluators take them.
"""

from __future__ import annotations

from configs.command_line import parse, run_script
from configs.schema import SampleConfig


def run(config: SampleConfig) -> None:
    """`stages.inference.run`, imported with torch only when the command line has been read."""
    from stages import inference

    inference.run(config)


def main(argv: list[str]) -> None:
    run(parse("sample", ("sample",), argv, prog="stage3_inference.py", description=__doc__)["sample"])


if __name__ == "__main__":
    run_script(main)
