"""Alignment of latents with a teacher: closed forms on two positions, gradients, teachers."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tokenizer.alignment import adaptive_weight, alignment_loss, load_teacher


def directions(*degrees):
    """One image of unit 2-vectors at the given angles: (1, 2, 1, N)."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()])[None, :, None].float()


def test_no_loss_where_features_agree_up_to_length():
    features = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    terms = alignment_loss(3.0 * features, features, cos_margin=0.0, distmat_margin=0.0)
    assert terms["cos"].item() == pytest.approx(0, abs=1e-6)
    assert terms["distmat"].item() == pytest.approx(0, abs=1e-6)


def test_no_loss_within_the_margins():
    """59 degrees are within cosine 1/2; distances within an image are those of the teacher."""
    terms = alignment_loss(directions(59, 99), directions(0, 40))
    assert terms["cos"] == 0 and terms["distmat"].item() < 1e-7
    assert alignment_loss(directions(61, 101), directions(0, 40))["cos"] > 0


def test_closed_forms_on_two_positions():
    terms = alignment_loss(directions(90, 0), directions(0, 0))
    assert terms["cos"].item() == pytest.approx((1 - 0.5 - 0 + 0) / 2, rel=1e-6)  # the second agrees
    assert terms["distmat"].item() == pytest.approx(2 * (1 - 0.25) / 4, rel=1e-6)  # both orders of one pair
    opposite = alignment_loss(directions(180, 60), directions(0, 0), cos_margin=0.25, distmat_margin=0.5)
    assert opposite["cos"].item() == pytest.approx((1.75 + 0.25) / 2, rel=1e-5)
    assert opposite["distmat"].item() == pytest.approx(2 * (1 + 0.5 - 0.5) / 4, rel=1e-5)  # cos 120 = -1/2


def test_images_are_compared_each_with_its_own_teacher():
    z = torch.cat([directions(0, 90), directions(0, 0)])
    f = torch.cat([directions(0, 90), directions(90, 90)])
    terms = alignment_loss(z, f)
    assert terms["cos"].item() == pytest.approx(0.25, rel=1e-6) and terms["distmat"] == 0


def test_teacher_is_resampled_to_the_latent_grid():
    coarse = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    fine = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
    mean = nn.functional.interpolate(fine, (4, 4), mode="bilinear", antialias=True)
    terms = alignment_loss(mean, fine, 0.0, 0.0)
    assert terms["cos"].item() == pytest.approx(0, abs=1e-6)
    assert alignment_loss(coarse.roll(1, 3), fine, 0.0, 0.0)["cos"] > 0.1


def test_gradient_reaches_projection_and_encoder_but_not_the_teacher():
    torch.manual_seed(0)
    encoder, projection = nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 5, 1)
    teacher = torch.randn(2, 5, 4, 4, requires_grad=True)
    terms = alignment_loss(projection(encoder(torch.randn(2, 3, 16, 16))), teacher)
    for name in ("cos", "distmat"):
        for module in (encoder, projection):
            grads = torch.autograd.grad(terms[name], list(module.parameters()), retain_graph=True)
            assert all(grad.abs().sum() > 0 for grad in grads)
    terms["cos"].backward()
    assert teacher.grad is None


def test_following_the_gradient_aligns():
    torch.manual_seed(0)
    z, teacher = torch.randn(1, 4, 4, 4, requires_grad=True), torch.randn(1, 4, 4, 4)
    optimizer = torch.optim.Adam([z], lr=0.1)
    first = sum(alignment_loss(z, teacher).values()).item()
    for _ in range(60):
        optimizer.zero_grad()
        sum(alignment_loss(z, teacher).values()).backward()
        optimizer.step()
    assert first > 0.3 and sum(alignment_loss(z, teacher).values()).item() < 0.1 * first


def test_adaptive_weight_is_the_ratio_of_gradients():
    """d/dw of 3 w.a is 3 a, of |w|^2 it is 2 w."""
    w, a = torch.tensor([1.0, 2.0, 2.0], requires_grad=True), torch.tensor([0.0, 3.0, 4.0])
    main, aux = 3 * (w * a).sum(), w.square().sum()
    weight = adaptive_weight(main, aux, w)
    assert weight.item() == pytest.approx(3 * 5 / (2 * 3), rel=1e-6)
    assert not weight.requires_grad and w.grad is None
    (main + weight * aux).backward()  # the graphs are still there
    assert adaptive_weight((w * a).sum(), 0 * w.sum(), w) == 1e4


NAME = "test_vit.r160_in1k"  # 0.4 M parameters, 16-pixel patches


@pytest.fixture(scope="module")
def tiny_vit():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    return timm.create_model(NAME, pretrained=False).eval()


@pytest.mark.parametrize("suffix", (".safetensors", ".pt"))
def test_foundation_teacher_gives_patch_tokens_on_the_grid(tiny_vit, suffix, tmp_path):
    path = tmp_path / f"vit{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(tiny_vit.state_dict(), path)
    teacher = load_teacher(NAME, path)
    images = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = teacher(images)
    assert features.shape == (2, teacher.channels, 16, 16) and not features.requires_grad
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    small = teacher(images[..., :160, :160], side=10)  # the model's own size: no resampling of positions
    mean, std = (torch.tensor(tiny_vit.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    tokens = tiny_vit.forward_features(((images[..., :160, :160] + 1) / 2 - mean) / std)
    token = tokens[:, tiny_vit.num_prefix_tokens + 10 * 3 + 7]  # row 3, column 7
    torch.testing.assert_close(small[:, :, 3, 7], token, rtol=1e-4, atol=1e-4)


def test_foundation_teacher_refuses_in_one_line(tiny_vit, tmp_path):
    path = tmp_path / "part.safetensors"
    save_file({k: v for k, v in tiny_vit.state_dict().items() if k != "norm.weight"}, path)
    (tmp_path / "page.pt").write_bytes(b"<html>")
    for name, file, part in (
        (NAME, path, "norm.weight"),
        ("no_such_model", path, "no_such_model"),
        ("resnet18", path, "not a vision transformer"),
        (NAME, tmp_path / "page.pt", "page.pt"),
        (NAME, tmp_path / "no.pt", "no such file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            load_teacher(name, file)
        message = str(caught.value)
        assert "\n" not in message and part in message and ";" in message
