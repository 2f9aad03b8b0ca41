"""A toy run of the whole chain, small enough for tests, and ways to run a script in this process."""

import contextlib
import hashlib
import io
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from conftest import reference_weights_

import stage0_prepare
import stage1_extract_features
import stage2_train_dit
from configs.command_line import run_script
from sampling.model_file import load_trained, write_slim
from tokenizer.autoencoder import AutoencoderKL
from tokenizer.weights import save_slim

PEOPLE = ("ID_1", "ID_2", "ID_10")
TINY_MODEL = ("model.depth=1", "model.hidden_size=32", "model.num_heads=2")
DRAWING = ("--num_samples_per_user", "2", "--guidance_scale", "4.0", "--num_steps", "2")
TRAINING = "--batch_size 32 --lr 1e-4 --devices 1 --precision 32 accelerator=cpu".split() + [*TINY_MODEL]
EXACT = ("--device", "cpu", "--precision", "32")  # the same on every machine


class Toy(NamedTuple):
    """Three people with 8 images each; ID_10 is the third by number, the second by plain sorting."""

    images: Path
    data: Path
    tokenizer: Path
    latents: Path
    models: Path
    lively: Path  # a checkpoint whose network does something, which three steps of training do not reach

    @property
    def checkpoint(self) -> Path:
        return self.models / "checkpoints" / "best.ckpt"

    @property
    def extraction(self) -> tuple[str | Path, ...]:
        """Flags of stage 1, but for its output."""
        return "--data_dir", self.data, "--vavae_path", self.tokenizer, "--batch_size 32", *EXACT

    @property
    def networks(self) -> tuple[str | Path, ...]:
        """Flags of stage 3 and of those who draw as it does."""
        return "--dit_checkpoint", self.lively, "--vavae_path", self.tokenizer

    @property
    def training(self) -> tuple[str | Path, ...]:
        """Flags of stage 2 as the toy was trained, but for its length."""
        return "--latent_dir", self.latents, "--output_dir", self.models, *TRAINING


def make_toy(folder: Path) -> Toy:
    """Run stages 0 to 2 in `folder`, with the flags that users type (paths and lengths aside)."""
    names = "images", "data_split", "W.safetensors", "latent_features", "trained_models", "lively.safetensors"
    toy = Toy(*(folder / name for name in names))
    output_of(
        stage0_prepare.main, f"simulate --output_dir {toy.images}", "--num_users 3 --samples_per_user 8"
    )
    (toy.images / "ID_3").rename(toy.images / "ID_10")
    axes = toy.images / "axes.csv"
    axes.write_text(axes.read_text().replace("ID_3/", "ID_10/"))
    split = f"split --input_dir {toy.images} --output_dir {toy.data} --val_fraction 0.25"
    output_of(stage0_prepare.main, split, "--recordings", r"rec(\d+)")
    save_tokenizer(toy.tokenizer)
    output_of(stage1_extract_features.main, *toy.extraction, "--output_path", toy.latents)
    output_of(stage2_train_dit.main, *toy.training, "--max_epochs 100", "max_steps=3")
    net, payload = load_trained(toy.checkpoint)
    write_slim(toy.lively, reference_weights_(net).state_dict(), payload)
    return toy


def save_tokenizer(path: Path, seed: int = 0) -> Path:
    """The smallest tokenizer of the family, freshly drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_slim(AutoencoderKL(ch=32, ch_mult=(1,), patch_size=16, num_res_blocks=1), path)
    return path


def words(argv) -> list[str]:
    """Arguments as a script gets them; a text with flags in it is split at its spaces."""
    parts = (part.split() if isinstance(part, str) and "--" in part else [str(part)] for part in argv)
    return [word for part in parts for word in part]


def run_as_script(main, *argv) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `python script argv`, in this process."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv, status = ["script", *words(argv)], 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run_script(main)
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.argv = before
    return status, out.getvalue(), err.getvalue()


def output_of(main, *argv) -> str:
    """Stdout of a run that must succeed."""
    status, out, err = run_as_script(main, *argv)
    assert status == 0, err
    return out


def refusal_of(main, *argv, unchanged: Path | None = None) -> str:
    """The one line with which a script refuses; nothing below `unchanged` may have been touched."""
    before = snapshot(unchanged) if unchanged else None
    status, _, err = run_as_script(main, *argv)
    messages = [line for line in err.splitlines() if line.strip() and "%|" not in line]  # bars aside
    assert status == 2 and len(messages) == 1 and messages[0].startswith("error: "), (status, err)
    assert before is None or snapshot(unchanged) == before
    return messages[0]


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Time of writing and digest of every file below `folder`."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, digest_of(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digests(taken: dict[str, tuple[int, str]]) -> dict[str, str]:
    """A snapshot without its times."""
    return {name: digest for name, (_, digest) in taken.items()}


def names(folder: Path, pattern: str = "*") -> set[str]:
    """Files below `folder`, by their path in it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if path.is_file()}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def changed(before: dict, after: dict) -> set[str]:
    """Names that are new, gone, or written again."""
    return {name for name in {**before, **after} if before.get(name) != after.get(name)}


def copy_of(source: Path, target: Path) -> Path:
    """A copy of a folder that keeps the times of its files, so that tests share no state."""
    return Path(shutil.copytree(source, target))
