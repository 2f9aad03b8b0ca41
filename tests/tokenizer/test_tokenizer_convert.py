"""The converter's command line, as users run it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import reference_weights_

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
def test_other_precisions(dtype, published, tmp_path, capsys):
    source, model = published
    target = tmp_path / "slim.safetensors"
    assert main([str(source), str(target), "--dtype", dtype]) == 0
    slim = load_tokenizer(target)
    assert digest(slim) in capsys.readouterr().out
    expected = model.quant_conv.weight.to(getattr(torch, dtype)).float()
    assert torch.equal(slim.quant_conv.weight, expected)


def test_the_source_is_not_overwritten(published, tmp_path, capsys):
    source, _ = published
    before = source.read_bytes()
    assert main([str(source), str(source)]) == 2
    assert "the target is the source" in capsys.readouterr().err
    assert main([str(source), str(tmp_path / "slim.bin")]) == 2
    assert "ending in .safetensors" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_a_dry_run_says_the_same_and_writes_nothing(published, tmp_path, capsys):
    source, _ = published
    before = set(tmp_path.iterdir())
    assert main([str(source), str(tmp_path / "new/slim.safetensors"), "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "parameters\nwould write " in said and said.endswith("dry run: nothing was written\n")
    assert main([str(source), str(tmp_path / "slim.pt"), "--dry_run"]) == 2
    assert "expected a name ending in .safetensors" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before
