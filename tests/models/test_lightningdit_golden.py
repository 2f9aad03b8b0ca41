"""LightningDiT against outputs, names and shapes of the published code (tests/golden)."""

import json

import pytest
import torch
from conftest import reference_weights_, relative_error
from safetensors.torch import load_file

from models.lightningdit import LightningDiT, LightningDiT_models

VARIANTS = ("official_p1", "official_p2", "qknorm", "wo_shift", "plain", "learn_sigma")
PUBLISHED_DEFAULTS = {"use_swiglu": False, "use_rope": False, "use_rmsnorm": False}
TOLERANCE = 1e-5


def shapes(model):
    return {name: list(value.shape) for name, value in model.state_dict().items()}


def tiny(folder, name):
    entry = json.loads((folder / "lightningdit_tiny.json").read_text())[name]
    return LightningDiT(**{**PUBLISHED_DEFAULTS, **entry["kwargs"]}), entry["keys"]


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_tiny_variant_agrees_with_published_code(golden, name):
    vectors = load_file(golden / "lightningdit_tiny.safetensors")
    model, expected_shapes = tiny(golden, name)
    assert shapes(model) == expected_shapes
    output = reference_weights_(model)(vectors["x"], vectors["t"], vectors["y"])
    assert relative_error(output, vectors[name]) <= TOLERANCE


@torch.no_grad()
def test_guided_combination_agrees_with_published_code(golden):
    vectors = load_file(golden / "lightningdit_tiny.safetensors")
    model = reference_weights_(tiny(golden, "official_p1")[0])
    x, t, labels = vectors["x"][:2], torch.full((2,), 0.3), torch.tensor([0, 5])
    conditional = model(x, t, labels)
    unconditional = model(x, t, torch.full_like(labels, model.null_class))
    guided = conditional.clone()
    guided[:, :3] = torch.lerp(unconditional, conditional, 4.0)[:, :3]
    assert relative_error(guided, vectors["cfg4_first3"]) <= TOLERANCE
    assert relative_error(conditional, vectors["cfg4_first3_below_interval"]) <= TOLERANCE


@torch.no_grad()
def test_preset_b_agrees_with_published_code(golden):
    vectors = load_file(golden / "lightningdit_b.safetensors")
    entry = json.loads((golden / "lightningdit_b.json").read_text())
    model = LightningDiT_models[entry["preset"]](num_classes=entry["num_classes"])
    assert shapes(model) == entry["keys"]
    output = reference_weights_(model)(vectors["x"], vectors["t"], vectors["y"])
    assert relative_error(output, vectors["out"]) <= TOLERANCE
