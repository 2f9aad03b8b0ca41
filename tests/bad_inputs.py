"""What bad inputs are made of: a refused command, and commands that are right but for it."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from PIL import Image
from toy_run import TINY_MODEL, Toy

import stage0_prepare as stage0
import stage1_extract_features as stage1
import stage2_train_dit as stage2
import stage3_inference as stage3
import stage4_evaluate as stage4
import train_tokenizer

Put = Callable[[Toy, Path], Any]  # puts something into the second one, and gives its path


class Bad(NamedTuple):
    """A command that must be refused: `make(toy, work)` puts the bad input into `work` and gives its
    arguments; `said` are words of the refusal.
    """

    name: str
    main: Callable[[list[str]], None]
    make: Callable[[Toy, Path], list[Any]]
    said: str = ""


class Command(NamedTuple):
    """A script, its flags when all is right, and what else belongs to its arguments."""

    main: Callable[[list[str]], None]
    flags: Callable[[Toy, Path], dict[str, Any]]
    more: tuple[str, ...] = ()


def bad(name: str, command: Command, *more: Put | str, said: str = "", **flags: Any) -> Bad:
    """The command with other flags and further arguments; functions among these put what they name."""

    def make(toy: Toy, work: Path) -> list[Any]:
        further = [one for one in more if not (callable(one) and one(toy, work))]
        put = {flag: value(toy, work) if callable(value) else value for flag, value in flags.items()}
        return [*command.more, *listed({**command.flags(toy, work), **put}), *further]

    return Bad(name, command.main, make, said)


ON_CPU = ("max_steps=1", "accelerator=cpu", "precision=32")
EXTRACT = Command(
    stage1.main,
    lambda toy, work: {
        "data_dir": toy.data,
        "vavae_path": toy.tokenizer,
        "output_path": work / "latents",
        "device": "cpu",
        "precision": 32,
    },
)
TRAIN = Command(
    stage2.main,
    lambda toy, work: {"latent_dir": toy.latents, "output_dir": work / "models"},
    (*ON_CPU, *TINY_MODEL),
)
DRAW = Command(
    stage3.main,
    lambda toy, work: {
        "dit_checkpoint": toy.lively,
        "vavae_path": toy.tokenizer,
        "output_dir": work / "images",
        "user_ids": 1,
        "num_samples_per_user": 2,
        "num_steps": 2,
        "device": "cpu",
        "precision": 32,
    },
)
JUDGE = Command(
    stage4.main,
    lambda toy, work: {"real": toy.data, "generated": work / "generated", "output_dir": work / "report"},
)
TOKENIZER = Command(
    train_tokenizer.main, lambda toy, work: {"data_dir": toy.data, "output_dir": work / "tokenizer"}, ON_CPU
)
SPECTROGRAM = Command(
    stage0.main,
    lambda toy, work: {"input": work / "iq", "output_dir": work / "raw", "carrier": 77e9, "prf": 3288},
    ("spectrogram",),
)


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


def file(name: str, content: bytes | str) -> Put:
    return lambda toy, work: written(work / name, content)


def folder_of(put: Put) -> Put:
    return lambda toy, work: put(toy, work).parent


def damaged(attribute: str, name: str, damage: Callable[[bytes], bytes]) -> Put:
    """A file of the toy that has been damaged."""
    return lambda toy, work: copied(getattr(toy, attribute), work / name, damage)


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


def copied(source: Path, target: Path, damage: Callable[[bytes], bytes] = bytes) -> Path:
    return written(target, damage(source.read_bytes()))


class Trap:
    """What, unpickled without care, writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.target}'",)


def torch_file(name: str, value: Any) -> Put:
    def put(toy: Toy, work: Path) -> Path:
        torch.save(value, work / name)
        return work / name

    return put
