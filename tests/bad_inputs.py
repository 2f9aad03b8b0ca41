"""What bad inputs are made of: a refused command, and commands that are right but for it."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from PIL import Image
from toy_run import DRAWING, EXACT, TINY_MODEL, Toy


class Bad(NamedTuple):
    """A command that must be refused: `make(toy, work)` puts the bad input into `work` and gives its
    arguments; `said` are words of the refusal.
    """

    name: str
    main: Callable[[list[str]], None]
    make: Callable[[Toy, Path], list[Any]]
    said: str = ""


# What the stages are called with when all else is right


def extract(toy: Toy, work: Path, **changes: Any) -> list[Any]:
    flags = {"data_dir": toy.data, "vavae_path": toy.tokenizer, "output_path": work / "latents", **changes}
    return [*listed(flags), *EXACT]


def train(toy: Toy, work: Path, **changes: Any) -> list[Any]:
    flags = {
        "latent_dir": toy.latents,
        "output_dir": work / "models",
        "precision": 32,
        "max_steps": 1,
        "accelerator": "cpu",
        **changes,
    }
    return [*listed(flags), *TINY_MODEL]


def draw(toy: Toy, work: Path, **changes: Any) -> list[Any]:
    flags = {
        "dit_checkpoint": toy.lively,
        "vavae_path": toy.tokenizer,
        "output_dir": work / "images",
        "user_ids": 1,
        **changes,
    }
    return [*DRAWING, *listed(flags), *EXACT]


def judge(toy: Toy, work: Path, **changes: Any) -> list[Any]:
    return listed(
        {"real": toy.data, "generated": work / "generated", "output_dir": work / "report", **changes}
    )


def tokenizer(toy: Toy, work: Path, **changes: Any) -> list[Any]:
    return listed(
        {
            "data_dir": toy.data,
            "output_dir": work / "tokenizer",
            "max_steps": 1,
            "precision": 32,
            "accelerator": "cpu",
            **changes,
        }
    )


def spectrogram(toy: Toy, work: Path, **changes: Any) -> list[Any]:
    flags = {"input": work / "iq", "output_dir": work / "raw", "carrier": 77e9, "prf": 3288, **changes}
    return ["spectrogram", *listed(flags)]


def split(toy: Toy, work: Path, **changes: Any) -> list[Any]:
    return ["split", *listed({"input_dir": toy.images, "output_dir": work / "data_split", **changes})]


def listed(flags: dict[str, Any]) -> list[Any]:
    """Flags as a command line; a value of several words stays several."""
    return [
        part
        for name, value in flags.items()
        for part in (f"--{name}", *(value if isinstance(value, list) else [value]))
    ]


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def speckle(side: int = 40, seed: int = 0) -> Image.Image:
    noise = numpy.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=numpy.uint8)
    return Image.fromarray(noise)


def written(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def copied(source: Path, target: Path, damage: Callable[[bytes], bytes] = bytes) -> Path:
    return written(target, damage(source.read_bytes()))


class Trap:
    """What, unpickled without care, writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.target}'",)


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path
