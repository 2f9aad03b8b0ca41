"""The converter's command line, as users run it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import reference_weights_
from toy_run import output_of, refusal_of

from tokenizer.autoencoder import AutoencoderKL
from tokenizer.convert import main
from tokenizer.vavae import load_tokenizer
from tokenizer.weights import digest

SMALL = dict(embed_dim=4, ch_mult=(1, 2), ch=32, num_res_blocks=1, attn_resolutions=(128,))
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture()
def published(tmp_path):
    model = reference_weights_(AutoencoderKL(**SMALL))
    path = tmp_path / "published.pt"
    extras = {f"foundation_model.{index}.weight": torch.ones(2) for index in range(3)}
    torch.save({"state_dict": model.state_dict() | extras | {"loss.logvar": torch.zeros(())}}, path)
    return path, model


def convert(*arguments):
    command = [sys.executable, "-m", "tokenizer.convert", *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)


def test_round_trip(published, tmp_path):
    source, model = published
    result = convert(source, tmp_path / "slim.safetensors", "--dtype", "float16")
    assert (result.returncode, result.stderr) == (0, "")
    slim = load_tokenizer(tmp_path / "slim.safetensors")
    assert slim.config == model.config and digest(slim) == digest(model)
    parameters = sum(value.numel() for value in model.parameters())
    for part in ("foundation_model (3), loss (1)", f"{parameters:,} parameters", digest(model), "vavae f2d4"):
        assert part in result.stdout
    assert (tmp_path / "slim.safetensors").stat().st_size < 0.6 * source.stat().st_size


def test_errors_are_one_line_and_status_2(published, tmp_path):
    result = convert(tmp_path / "absent.pt", tmp_path / "slim.safetensors")
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and "absent.pt" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("dtype", ("bfloat16", "float32"))
def test_other_precisions(dtype, published, tmp_path):
    source, model = published
    target = tmp_path / "slim.safetensors"
    said = output_of(main, source, target, "--dtype", dtype)
    slim = load_tokenizer(target)
    assert digest(slim) in said
    expected = model.quant_conv.weight.to(getattr(torch, dtype)).float()
    assert torch.equal(slim.quant_conv.weight, expected)


def test_the_source_is_not_overwritten(published, tmp_path):
    source, _ = published
    slim = tmp_path / "slim.safetensors"
    for given, said in (
        ((source,), "the target is the source"),
        ((tmp_path / "slim.bin",), "ending in .safetensors"),
        ((slim, "--dtype", "float8"), "invalid choice: 'float8'"),
    ):
        assert said in refusal_of(main, source, *given, unchanged=tmp_path)


def test_a_dry_run_says_the_same_and_writes_nothing(published, tmp_path):
    source, _ = published
    before = set(tmp_path.iterdir())
    said = output_of(main, source, tmp_path / "new/slim.safetensors", "--dry_run")
    assert "parameters\nwould write " in said and said.endswith("dry run: nothing was written\n")
    assert "ending in .safetensors" in refusal_of(main, source, tmp_path / "slim.pt", "--dry_run")
    assert set(tmp_path.iterdir()) == before
