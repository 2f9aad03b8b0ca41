"""To a slim file: `python -m tokenizer.convert published.pt slim.safetensors --dtype float16`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from configs.command_line import OneLineParser, run_script, say
from configs.errors import UserError

if TYPE_CHECKING:
    from tokenizer.weights import Checkpoint

DTYPES = ("float16", "bfloat16", "float32")  # tokenizer.weights.SLIM_DTYPES


def describe_ignored(checkpoint: Checkpoint) -> str:
    """What a file holds beside the autoencoder, counted by the first part of the names."""
    counts = Counter(name.split(".")[0] for name in checkpoint.ignored)
    return ", ".join(f"{part} ({count})" for part, count in sorted(counts.items())) or "nothing"


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def run(source: Path, target: Path, dtype: str = "float16", dry_run: bool = False) -> list[str]:
    """Convert `source` to the slim file `target` and read it back, or only say so; the lines to print.

    The reader's and writer's errors, and UserError where the two are the same file.
    """
    # Not at the top: --help needs neither torch nor its seconds of loading.
    from tokenizer.vavae import build_tokenizer, load_tokenizer
    from tokenizer.weights import SLIM_DTYPES, digest, read_checkpoint, save_slim, slim_values

    values = dict(zip(DTYPES, SLIM_DTYPES))[dtype]
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"{target}: the target is the source; choose another name for the slim file")
    checkpoint = read_checkpoint(source)
    model = build_tokenizer(checkpoint)
    parameters = sum(value.numel() for value in model.parameters())
    config = model.config
    lines = [
        f"read {source}: {_megabytes(source)}",
        f"ignored: {describe_ignored(checkpoint)}",
        f"architecture: {config['model_type']} f{model.downsampling}d{config['embed_dim']}, "
        f"{parameters:,} parameters",
    ]
    if dry_run:
        slim_values(model, target, values)  # refuses as writing would
        return [*lines, f"would write {target}: {dtype}", "dry run: nothing was written"]
    save_slim(model, target, values)
    return [
        *lines,
        f"wrote {target}: {_megabytes(target)}, {dtype}",
        f"digest: {digest(load_tokenizer(target))}",
    ]


def main(argv: list[str]) -> None:
    parser = OneLineParser(prog="python -m tokenizer.convert", description=__doc__)
    parser.add_argument("source", help="any tokenizer file: published .pt, .ckpt, .safetensors, or hf://…")
    parser.add_argument("target", type=Path, help="slim file to write, ending in .safetensors")
    parser.add_argument("--dtype", choices=DTYPES, default="float16", help="precision of the slim file")
    parser.add_argument("--dry_run", action="store_true", help="say what would be written, and write nothing")
    options = parser.parse_args(argv)
    from weight_files.hub import local_file

    say("\n".join(run(local_file(options.source), options.target, options.dtype, options.dry_run)))


if __name__ == "__main__":
    run_script(main)
