"""Train a compact tokenizer of the VA-VAE family on a folder of images, or fine-tune one; rerun to resume.

python train_tokenizer.py --data_dir data_split --output_dir trained_tokenizer --max_epochs 100
"""

from __future__ import annotations

from configs.command_line import parse, run_script
from configs.schema import TokenizerConfig


def run(config: TokenizerConfig) -> None:
    """`stages.train_tokenizer.run`, imported with torch only when the command line has been read."""
    from stages import train_tokenizer

    train_tokenizer.run(config)


def main(argv: list[str]) -> None:
    run(parse("tokenizer", ("tokenizer",), argv, prog="train_tokenizer.py", description=__doc__)["tokenizer"])


if __name__ == "__main__":
    run_script(main)
