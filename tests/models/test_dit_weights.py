"""Published layouts load, the architecture is read off the weights, and wrong things are refused by name."""

import pytest
import torch
from conftest import reference_weights_

from models.lightningdit import LightningDiT, LightningDiT_models
from models.weights import infer_architecture, load_dit

SMALL = {"input_size": 4, "in_channels": 4, "hidden_size": 32, "depth": 2, "num_heads": 4, "num_classes": 5}
PLAIN = {"use_swiglu": False, "use_rope": False, "use_rmsnorm": False}
VARIANTS = (
    {},
    {"patch_size": 2, "learn_sigma": True, "use_qknorm": True},
    {"wo_shift": True, "num_heads": 8, "mlp_ratio": 2.5},
    {**PLAIN, "use_qknorm": True, "patch_size": 2},
    {**PLAIN, "mlp_ratio": 3.3, "use_rope": True},
)


def model_and_state(**changes):
    model = reference_weights_(LightningDiT(**{**SMALL, **changes}))
    return model, model.state_dict()


def refusal(call, *args, kind=ValueError):
    with pytest.raises(kind) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def renamed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize("layout", ["ema", "model", "bare", "wrapped", "half", "legacy"])
@torch.no_grad()
def test_published_layouts_load(tmp_path, layout):
    model, state = model_and_state()
    other = {name: value + 1 for name, value in state.items()}
    content = {
        "ema": {"model": other, "ema": state, "opt": {"step": 3}, "config": {"train": {"lr": 2e-4}}},
        "model": {"model": state, "opt": {}},
        "bare": state,
        "wrapped": {"ema": renamed(state, "module._orig_mod.")},
        "half": {"ema": {name: value.half() for name, value in state.items()}},
        "legacy": {"ema": state},
    }[layout]
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=layout != "legacy")
    loaded = load_dit(path)
    assert not loaded.training
    assert loaded.config == model.config
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        expected = state[name].half().float() if layout == "half" else state[name]
        assert torch.equal(value, expected), name
    if layout != "half":
        x, t, y = torch.ones(2, 4, 4, 4), torch.tensor([0.2, 0.8]), torch.tensor([1, 5])
        assert torch.equal(loaded(x, t, y), model(x, t, y))


@pytest.mark.parametrize("changes", VARIANTS)
def test_architecture_is_read_off_the_weights(changes):
    model, state = model_and_state(**changes)
    assert infer_architecture(state) == model.config


@pytest.mark.parametrize("name", ["LightningDiT-B/1", "LightningDiT-XL/2"])
@pytest.mark.parametrize("changes", [{}, PLAIN])
def test_architecture_of_presets_is_read_off_the_weights(name, changes):
    with torch.device("meta"):  # the plain ones have no head dimension to show: the preset tells
        model = LightningDiT_models[name](num_classes=1000, **changes)
    assert infer_architecture(model.state_dict()) == model.config


@pytest.mark.parametrize("use_swiglu", [True, False])
def test_every_feed_forward_width_is_rebuilt_exactly(use_swiglu):
    for hidden_size in (32, 48, 1152):
        for mlp_ratio in (0.5, 1.0, 2.7, 3.14159, 4.0, 8 / 3, 7.77):
            sizes = {**SMALL, "depth": 1, "hidden_size": hidden_size, "mlp_ratio": mlp_ratio}
            with torch.device("meta"):
                state = LightningDiT(**sizes, use_swiglu=use_swiglu).state_dict()
                again = LightningDiT(**infer_architecture(state)).state_dict()
            assert {name: value.shape for name, value in again.items()} == {
                name: value.shape for name, value in state.items()
            }


def test_heads_that_cannot_be_read_must_be_given(tmp_path):
    model, state = model_and_state(**PLAIN)
    message = refusal(infer_architecture, state)
    assert "num_heads cannot be read" in message and "give num_heads" in message
    assert infer_architecture(state, num_heads=4) == model.config
    torch.save(state, tmp_path / "plain.pt")
    assert str(tmp_path / "plain.pt") in refusal(load_dit, tmp_path / "plain.pt")
    assert "num_heads 2: expected 4, as the weights have" in refusal(
        infer_architecture, model_and_state()[1], 2
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("blocks.0.attn.proj.bias", "blocks.0.attn.proj.bias"),
        ("x_embedder.proj.weight", "x_embedder.proj.weight"),
        ("pos_embed", "pos_embed"),
        ("y_embedder.embedding_table.weight", "y_embedder.embedding_table.weight"),
    ],
)
def test_partial_weights_are_refused(tmp_path, name, expected):
    state = dict(model_and_state()[1])
    del state[name]
    torch.save({"ema": state}, tmp_path / "partial.pt")
    message = refusal(load_dit, tmp_path / "partial.pt")
    assert expected in message and str(tmp_path / "partial.pt") in message


def test_a_gap_in_the_blocks_is_refused():
    state = {name: value for name, value in model_and_state(depth=3)[1].items() if "blocks.1." not in name}
    assert "no 'blocks.1.'" in refusal(infer_architecture, state)
