"""Every layout of a weight file loads to the same weights; anything else is refused by name."""

import json
from pathlib import Path

import pytest
import torch
from conftest import reference_weights_
from safetensors import safe_open
from safetensors.torch import save_file

from tokenizer import weights
from tokenizer.autoencoder import AutoencoderKL
from tokenizer.vavae import load_tokenizer
from tokenizer.weights import digest, infer_config, read_checkpoint, resolve_path, save_slim

# 64 pixels wide here and 256 when inferred: attention on the second level either way.
SMALL = dict(embed_dim=4, ch_mult=(1, 2), ch=32, num_res_blocks=1, attn_resolutions=(128,))
EXTRAS = {
    "foundation_model.blocks.0.weight": torch.ones(2),
    "loss.discriminator.bias": torch.ones(3),
    "loss.logvar": torch.zeros(()),
    "linear_proj.weight": torch.ones(5, 4, 1, 1),
}


@pytest.fixture(scope="module")
def model():
    return reference_weights_(AutoencoderKL(**SMALL))


@pytest.fixture(scope="module")
def state(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(ValueError) as caught:
        load_tokenizer(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and ";" in message, message
    return message


LAYOUTS = {
    "top.pt": lambda state: state | EXTRAS,
    "nested.pt": lambda state: {"state_dict": state | EXTRAS, "epoch": 3, "optimizer_states": [{}]},
    "lightning.ckpt": lambda state: {
        "state_dict": {f"net.{k}": v for k, v in state.items()}
        | {"discriminator.main.weight": torch.ones(2)},
        "global_step": 7,
    },
    "average.ckpt": lambda state: {
        "state_dict": {f"net.{k}": v + 1 for k, v in state.items()}
        | {f"ema.{k}": v for k, v in state.items()}
    },
    "mar.pt": lambda state: {"model": state},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_torch_layout_gives_the_same_weights(name, model, state, tmp_path):
    torch.save(LAYOUTS[name](state), tmp_path / name)
    loaded = load_tokenizer(tmp_path / name)
    assert loaded.config == model.config
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    assert read_checkpoint(tmp_path / name).config is None


def test_old_torch_format_loads(state, tmp_path):
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    loaded = load_tokenizer(tmp_path / "old.pt").state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.items())


def test_safetensors_without_architecture_loads(model, state, tmp_path):
    save_file(state, tmp_path / "bare.safetensors")
    assert digest(load_tokenizer(tmp_path / "bare.safetensors")) == digest(model)


def test_marvae_layout_gives_its_own_type(tmp_path):
    model = reference_weights_(AutoencoderKL(**SMALL, model_type="marvae"))
    torch.save({"model": model.state_dict()}, tmp_path / "mar.pt")
    assert load_tokenizer(tmp_path / "mar.pt").config == model.config


@pytest.mark.parametrize(
    "change",
    [
        {},
        dict(model_type="marvae"),
        dict(attn_resolutions=()),
        dict(patch_size=2, attn_resolutions=(64,)),
        dict(num_res_blocks=3),
        dict(ch_mult=(1, 2, 3)),
        dict(ch=64, embed_dim=7),
        dict(attn_resolutions=(256, 128)),
        dict(shortcut=True),
        dict(shortcut=True, patch_size=2, attn_resolutions=()),
    ],
)
def test_architecture_is_read_from_shapes(change):
    with torch.device("meta"):
        model = AutoencoderKL(**(SMALL | change))
    assert infer_config(model.state_dict()) == model.config


def test_published_architecture_is_read_from_shapes():
    with torch.device("meta"):
        assert infer_config(AutoencoderKL().state_dict()) == AutoencoderKL().config


def test_slim_file_round_trip(model, tmp_path):
    small = reference_weights_(AutoencoderKL(**(SMALL | dict(resolution=64, attn_resolutions=(32,)))))
    target = tmp_path / "new" / "slim.safetensors"
    save_slim(small, target)
    loaded = load_tokenizer(target)
    assert loaded.config == small.config == read_checkpoint(target).config
    for name, value in small.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name
    with safe_open(target, framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}
    assert [path.name for path in target.parent.iterdir()] == [target.name]  # no temporary file stays
    (tmp_path / "plain").touch()
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode  # readable by whom the user allows
    save_slim(loaded, target)  # over itself
    assert digest(load_tokenizer(target)) == digest(small)


def test_digest_names_the_values_not_the_file(model, state, tmp_path):
    torch.save({"state_dict": state | EXTRAS}, tmp_path / "full.pt")
    save_slim(model, tmp_path / "slim.safetensors", torch.float16)
    save_slim(model, tmp_path / "full.safetensors", torch.float32)
    digests = {digest(load_tokenizer(path)) for path in tmp_path.iterdir()}
    assert digests == {digest(model)} and len(digest(model)) == 64
    channels_last = load_tokenizer(tmp_path / "full.pt").to(memory_format=torch.channels_last)
    assert digest(channels_last) == digest(model)
    with torch.no_grad():
        channels_last.post_quant_conv.bias[0] += 0.1
    assert digest(channels_last) != digest(model)


@pytest.mark.parametrize("value", (1e6, float("nan")))
def test_slim_refuses_values_that_half_cannot_hold(value, model, tmp_path):
    broken = AutoencoderKL(**model.config)
    with torch.no_grad():
        broken.quant_conv.bias[0] = value
    with pytest.raises(ValueError, match=r"not finite in torch.float16: 1 \(quant_conv.bias\)"):
        save_slim(broken, tmp_path / "slim.safetensors")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="ending in .safetensors"):
        save_slim(model, tmp_path / "slim.pt")


def test_ckpt_path_loads_strictly(model, state, tmp_path):
    torch.save(state | EXTRAS, tmp_path / "full.pt")
    assert digest(AutoencoderKL(**SMALL, ckpt_path=tmp_path / "full.pt")) == digest(model)
    with pytest.raises(ValueError, match=r"of another shape: .*conv_out.bias \(8,\) instead of \(12,\)"):
        AutoencoderKL(**(SMALL | dict(embed_dim=6)), ckpt_path=tmp_path / "full.pt")
    with pytest.raises(FileNotFoundError, match="no such tokenizer file"):
        AutoencoderKL(**SMALL, ckpt_path=tmp_path / "absent.pt")


def test_missing_names_are_listed(state, tmp_path):
    path = tmp_path / "part.pt"
    torch.save({k: v for k, v in state.items() if not k.startswith("decoder.mid.")}, path)
    gone = sum(k.startswith("decoder.mid.") for k in state)
    message = refusal(path)
    assert f"missing: {gone} (decoder.mid.block_1.norm1.weight, " in message
    assert message.count("decoder.mid.") == 8 and "…" in message
    for name in (
        "encoder.conv_in.weight",
        "encoder.down.1.block.0.conv1.weight",
        "post_quant_conv.weight",
        "quant_conv.bias",
        "encoder.down.0.block.0.norm2.bias",
    ):
        torch.save({k: v for k, v in state.items() if k != name}, path)
        assert name in refusal(path)


def test_unexpected_names_are_listed(state, tmp_path):
    path = tmp_path / "more.pt"
    for extra in ("decoder.up.0.block.7.conv1.weight", "encoder.time.weight", "head.weight", "ema.count"):
        torch.save(state | {extra: torch.ones(1)}, path)
        assert "unexpected" in refusal(path) and extra in refusal(path)


def test_wrong_shapes_are_listed(state, tmp_path):
    path = tmp_path / "shape.pt"
    torch.save(state | {"decoder.conv_out.bias": torch.ones(4)}, path)
    assert "of another shape: 1 (decoder.conv_out.bias (4,) instead of (3,))" in refusal(path)
    torch.save(state | {"encoder.conv_in.weight": torch.ones(32, 5, 3, 3)}, path)
    assert "5 input channels" in refusal(path)
    torch.save(state | {"quant_conv.bias": torch.ones(8, dtype=torch.int64)}, path)
    assert "not of finite floating-point numbers: 1 (quant_conv.bias)" in refusal(path)


def test_other_networks_are_refused(tmp_path):
    torch.save({"ema": {"x_embedder.weight": torch.ones(2)}, "opt": {}}, tmp_path / "dit.pt")
    assert "no autoencoder weights" in refusal(tmp_path / "dit.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "holds a list" in refusal(tmp_path / "list.pt")


def test_slim_metadata_is_checked(model, state, tmp_path):
    path = tmp_path / "slim.safetensors"
    good = AutoencoderKL(**model.config).config
    for config, part in (
        ("{", "no JSON"),
        ("[]", "expected the keys"),
        ('{"ch": 32}', "expected the keys"),
        (json.dumps(good | {"ckpt_path": "other.pt"}), "ckpt_path"),
        (json.dumps(good | {"ch": "32"}), "ch '32'"),
        (json.dumps(good | {"num_res_blocks": 2}), "another num_res_blocks"),
    ):
        save_file(state, path, metadata={"config": config})
        assert part in refusal(path)


def test_the_word_compact_is_the_embedded_tokenizer(model, tmp_path, monkeypatch):
    """Whatever the working folder holds; a file of that name is ./compact."""
    project = Path(__file__).resolve().parents[2]
    embedded = project / "pretrained" / "microdoppler_f16d32_compact.safetensors"
    assert resolve_path("compact") == embedded
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compact").write_bytes(b"")
    for name in ("./compact", str(tmp_path / "compact"), Path("compact")):
        with pytest.raises(ValueError, match="empty file"):
            read_checkpoint(name)
    monkeypatch.setattr(weights, "COMPACT_FILE", tmp_path / "embedded.safetensors")
    with pytest.raises(FileNotFoundError, match=r"embedded.safetensors: no such tokenizer file; give the"):
        load_tokenizer("compact")
    save_slim(model, tmp_path / "embedded.safetensors")
    assert digest(load_tokenizer("compact")) == digest(model)
