"""LightningDiT: presets, the fresh model, gradients, dropped labels, checkpointing, refusals."""

import pytest
import torch
from conftest import reference_weights_

from models.lightningdit import LightningDiT, LightningDiT_models, unpatchify

SMALL = {"input_size": 4, "in_channels": 4, "hidden_size": 32, "depth": 2, "num_heads": 4, "num_classes": 5}
VARIANTS = (
    {},
    {"patch_size": 2, "use_qknorm": True},
    {"wo_shift": True},
    {"combinations": ((0, -1), (0, 0), (0, 1), (1, 1), (2, 0))},
    {"use_swiglu": False, "use_rope": False, "use_rmsnorm": False, "use_qknorm": True},
)


def inputs(num=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num, 4, 4, 4, generator=generator)
    return x, torch.linspace(0.1, 0.9, num), torch.arange(num)


def gradients(model, drop):
    model.zero_grad()
    model(*inputs(), drop=drop).square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def published_size(name, num_classes):
    """Parameters as published counts have them: with the fixed position table, without the rotary ones."""
    with torch.device("meta"):
        model = LightningDiT_models[name](num_classes=num_classes)
    return sum(value.numel() for value in (*model.parameters(), model.pos_embed))


@pytest.mark.parametrize(
    ("name", "num_classes", "millions"),
    [("LightningDiT-S/1", 31, 32.6), ("LightningDiT-B/1", 31, 129.8), ("LightningDiT-XL/1", 1000, 675)],
)
def test_presets_have_the_published_sizes(name, num_classes, millions):
    assert abs(published_size(name, num_classes) / 1e6 - millions) <= (0.05 if millions < 500 else 0.5)


def test_every_preset_builds_and_grows():
    assert len(LightningDiT_models) == 12
    counts = [published_size(f"LightningDiT-{size}/2", 31) for size in ("S", "B", "L", "XL", "1p0B", "1p6B")]
    assert counts == sorted(set(counts))
    for size in ("S", "B", "L", "XL", "1p0B", "1p6B"):
        with torch.device("meta"):
            assert LightningDiT_models[f"LightningDiT-{size}/1"]().pos_embed.shape[1] == 256
            assert LightningDiT_models[f"LightningDiT-{size}/2"]().pos_embed.shape[1] == 64


def test_config_rebuilds_the_architecture():
    model = LightningDiT(**SMALL, patch_size=2, use_swiglu=False, mlp_ratio=3.0)
    again = LightningDiT(**model.config)
    assert again.config == model.config
    assert (model.config["mlp_ratio"], model.config["use_rope"], len(model.config)) == (3.0, True, 19)
    again.load_state_dict(model.state_dict())
    model.config["depth"] = 9  # a copy: the model's own stays
    assert model.config["depth"] == 2


@pytest.mark.parametrize("changes", VARIANTS)
def test_fresh_model_is_the_zero_velocity(changes):
    x, t, y = inputs()
    output = LightningDiT(**SMALL, **changes)(x, t, y)
    assert output.shape == x.shape
    assert torch.count_nonzero(output) == 0


@torch.no_grad()
def test_fresh_weights_have_their_stated_spread():
    torch.manual_seed(0)
    model = LightningDiT(hidden_size=192, depth=1, num_heads=4, in_channels=32, num_classes=200)
    block = model.blocks[0]
    assert abs(model.y_embedder.embedding_table.weight.std() / 0.02 - 1) < 0.03
    assert abs(model.t_embedder.mlp[2].weight.std() / 0.02 - 1) < 0.03
    assert abs(block.attn.qkv.weight.std() / (2 / (192 + 576)) ** 0.5 - 1) < 0.03
    assert abs(model.x_embedder.proj.weight.std() / (2 / (32 + 192)) ** 0.5 - 1) < 0.05
    assert not any(parameter.any() for name, parameter in block.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("changes", VARIANTS)
def test_every_parameter_gets_a_gradient(changes):
    model = reference_weights_(LightningDiT(**SMALL, **changes)).train()
    # Labels 0, 1, 2 with the last dropped.
    by_name = gradients(model, torch.tensor([False, False, True]))
    assert [name for name, gradient in by_name.items() if not gradient.any()] == []
    rows = by_name["y_embedder.embedding_table.weight"].abs().sum(1) > 0
    if "combinations" in changes:  # person 0 twice, in no condition and in the first, and nobody in none
        assert rows.tolist() == [True, False, False, True]
        assert (by_name["y_embedder.condition_table.weight"].abs().sum(1) > 0).tolist() == [True, False, True]
    else:
        assert rows.tolist() == [True, True, False, False, False, True]  # the null class last


def test_a_given_drop_mask_equals_null_labels_in_both_modes():
    model = reference_weights_(LightningDiT(**SMALL))
    x, t, y = inputs()
    drop = torch.tensor([True, False, True])
    expected = model(x, t, torch.tensor([model.null_class, 1, model.null_class]))
    assert torch.equal(model(x, t, y, drop=drop), expected)
    assert torch.equal(model.train()(x, t, y, drop=drop), expected)
    assert not torch.equal(model(x, t, y, drop=~drop), expected)


def test_activation_checkpointing_gives_the_same_gradients():
    drop = torch.tensor([False, True, False])
    expected = gradients(reference_weights_(LightningDiT(**SMALL)).train(), drop)
    checkpointed = gradients(reference_weights_(LightningDiT(**SMALL, use_checkpoint=True)).train(), drop)
    for name, gradient in expected.items():
        assert torch.equal(checkpointed[name], gradient), name


@pytest.mark.parametrize("training", [True, False])
def test_activations_are_recomputed_in_training_only(monkeypatch, training):
    calls = []

    def counted(block, *args, **kwargs):
        calls.append(kwargs)
        return block(*args)

    monkeypatch.setattr("models.lightningdit.checkpoint", counted)
    LightningDiT(**SMALL, use_checkpoint=True).train(training)(*inputs())
    assert calls == ([{"use_reentrant": False}] * 2 if training else [])


@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_unpatchify_undoes_cutting_into_patches(patch_size):
    images = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    cut = images.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)  # (N, C, h, w, p, q)
    tokens = cut.permute(0, 2, 3, 4, 5, 1).reshape(2, (8 // patch_size) ** 2, patch_size**2 * 3)
    assert torch.equal(unpatchify(tokens, patch_size), images)


def test_samples_do_not_see_each_other():
    model = reference_weights_(LightningDiT(**SMALL))
    x, t, y = inputs()
    together = model(x, t, y)
    alone = torch.cat([model(x[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_bf16_autocast_stays_close_to_float32():
    model = reference_weights_(LightningDiT(**SMALL, use_qknorm=True))
    exact = model(*inputs())
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(*inputs()).float()
    error = (rough - exact).norm() / exact.norm()
    assert 1e-5 < error < 0.03


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"patch_size": 3}, "patch_size 3"),
        ({"num_heads": 5}, "num_heads 5"),
        ({"hidden_size": 34, "num_heads": 17}, "hidden_size 34"),
        ({"num_heads": 16}, "use_rope"),
        ({"class_dropout_prob": 1.0}, "class_dropout_prob 1.0"),
    ],
)
def test_impossible_sizes_are_refused(changes, expected):
    with pytest.raises(ValueError, match=expected) as refusal:
        LightningDiT(**{**SMALL, **changes})
    assert "\n" not in str(refusal.value)
