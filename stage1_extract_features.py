"""Stage 1: images to latents. A frozen VA-VAE encodes every image once; latents and statistics are written.

    python stage1_extract_features.py --data_dir data_split --vavae_path W.pt --output_path latent_features \\
        --batch_size 32
"""

from __future__ import annotations

from configs.command_line import parse, run_script
from configs.schema import ExtractConfig


def run(config: ExtractConfig) -> None:
    """`stages.extract_features.run`, imported with torch only when the command line has been read."""
    from stages import extract_features

    extract_features.run(config)


def main(argv: list[str]) -> None:
    run(
        parse("extract", ("extract",), argv, prog="stage1_extract_features.py", description=__doc__)[
            "extract"
        ]
    )


if __name__ == "__main__":
    run_script(main)
