"""The autoencoder against published vectors, closed forms, and its own promises of shape and gradient."""

import json

import pytest
import torch
from conftest import reference_weights_, relative_error
from safetensors.torch import load_file

from tokenizer.autoencoder import AutoencoderKL, DiagonalGaussian
from tokenizer.blocks import AttnBlock, Downsample, Upsample, group_norm, unfolded

SMALL = dict(embed_dim=8, ch_mult=(1, 2), ch=32, num_res_blocks=1, attn_resolutions=(16,), resolution=32)


@pytest.fixture(scope="module")
def published(golden):
    """The full-size member's posterior and decoded mean on the published image, and what they should be."""
    expected = load_file(golden / "vavae_f16d32.safetensors")
    model = reference_weights_(AutoencoderKL())
    with torch.no_grad():
        posterior = model.encode(expected["image_f16"].float())
        return posterior, model.decode(expected["mean"]), expected


def test_published_encoder(published):
    posterior, _, expected = published
    errors = [relative_error(getattr(posterior, name), expected[name]) for name in ("mean", "logvar")]
    print("relative errors of mean, logvar:", errors)
    assert max(errors) <= 1e-5


def test_published_decoder(published):
    _, decoded, expected = published
    error = relative_error(decoded, expected["decoded"])
    print("relative error of the decoded image, stored in half:", error)
    assert error <= 5e-4
    # What rounding to half explains, and no more: the stored value is the nearest half, or its neighbour.
    assert relative_error(decoded.half().float(), expected["decoded"]) <= 5e-5


def test_published_names_and_shapes(golden):
    with torch.device("meta"):
        model = AutoencoderKL()
    published = json.loads((golden / "vavae_f16d32.json").read_text())["keys"]
    assert {name: list(value.shape) for name, value in model.state_dict().items()} == published
    sizes = [sum(p.numel() for p in part.parameters()) for part in (model, model.encoder, model.decoder)]
    assert [round(size / 1e6, 2) for size in sizes] == [69.84, 28.41, 41.42]


def test_marvae_lacks_only_the_decoders_level_attention():
    with torch.device("meta"):
        vavae, marvae = (set(AutoencoderKL(model_type=kind).state_dict()) for kind in ("vavae", "marvae"))
    assert marvae < vavae
    assert {name.rsplit(".", 3)[0] for name in vavae - marvae} == {"decoder.up.4.attn"}
    assert "decoder.mid.attn_1.q.weight" in marvae and "encoder.down.4.attn.0.q.weight" in marvae


@pytest.mark.parametrize(
    "patch_size, ch_mult", [(1, (1,)), (1, (1, 2, 2)), (2, (1, 2)), (4, (1,)), (4, (1, 1, 2))]
)
def test_family_shapes(patch_size, ch_mult):
    model = AutoencoderKL(4, ch_mult, ch=32, num_res_blocks=1, resolution=64, patch_size=patch_size).eval()
    factor = patch_size * 2 ** (len(ch_mult) - 1)
    assert model.downsampling == factor
    assert model.encoder.conv_in.in_channels == model.decoder.conv_out.out_channels == 3 * patch_size**2
    with torch.no_grad():
        latents = model.encode(torch.zeros(1, 3, 32, 64)).sample()
        assert latents.shape == (1, 4, 32 // factor, 64 // factor)
        assert model.decode(latents).shape == (1, 3, 32, 64)


def test_config_rebuilds_the_model():
    model = AutoencoderKL(**SMALL, model_type="marvae", patch_size=2, in_channels=1)
    assert tuple(model.config) == AutoencoderKL.CONFIG_KEYS
    config = json.loads(json.dumps(model.config))
    assert config == model.config
    again = AutoencoderKL(**config)
    assert again.config == config
    model.load_state_dict(again.state_dict())  # the same names and shapes, or it raises


@pytest.mark.parametrize(
    "change, key",
    [
        (dict(ch=48), "48 channels"),
        (dict(ch_mult=()), "ch_mult"),
        (dict(ch_mult=(1, 0)), "ch_mult"),
        (dict(model_type="vqvae"), "model_type 'vqvae'"),
        (dict(resolution=33), "resolution 33"),
        (dict(embed_dim=0), "embed_dim 0"),
        (dict(patch_size=1.5), "patch_size 1.5"),
        (dict(shortcut=1), "shortcut 1"),
    ],
)
def test_constructor_refuses(change, key):
    with pytest.raises(ValueError, match=key) as refusal:
        AutoencoderKL(**(SMALL | change))
    assert "\n" not in str(refusal.value)


def test_attention_is_softmax_over_positions():
    block = reference_weights_(AttnBlock(32)).double()
    x = torch.randn(2, 32, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q, k, v = (part(block.norm(x)).flatten(2) for part in (block.q, block.k, block.v))  # (B, C, HW)
    weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / 32**0.5, dim=-1)
    mixed = torch.einsum("bij,bcj->bci", weights, v).unflatten(2, (3, 5))
    assert relative_error(block(x), x + block.proj_out(mixed)) < 1e-12


def test_resampling_reads_the_right_pixels():
    """A convolution of its upper left pixel keeps even rows; the lower right one meets the padding."""
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    down, up = Downsample(1), Upsample(1)
    for corner, expected in ((0, [[0, 2], [8, 10]]), (2, [[10, 0], [0, 0]])):
        with torch.no_grad():
            down.conv.weight.zero_()[0, 0, corner, corner] = 1
            down.conv.bias.zero_()
            assert down(x)[0, 0].tolist() == expected
    with torch.no_grad():
        up.conv.weight.zero_()[0, 0, 1, 1] = 1
        up.conv.bias.zero_()
        assert torch.equal(up(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_doubling_in_bf16_is_the_convolution_of_the_doubled_map():
    """Whole numbers, which bf16 holds exactly, on maps of two sides."""
    draw = torch.Generator().manual_seed(2)
    up = Upsample(3)
    with torch.no_grad():
        for parameter in up.parameters():
            parameter.copy_(torch.randint(-1, 2, parameter.shape, generator=draw))
        x = torch.randint(-1, 2, (2, 3, 4, 5), generator=draw).float()
        assert torch.equal(up.bfloat16()(x.bfloat16()).float(), up.float()(x))


def test_norms_of_small_maps_in_bf16_are_those_of_float32_rounded():
    norm = reference_weights_(group_norm(64))
    x = torch.randn(2, 64, 5, 6, generator=torch.Generator().manual_seed(3)).bfloat16()
    assert torch.equal(norm(x), norm(x.float()).bfloat16())


def test_unfolded_is_pixel_shuffle():
    x = torch.arange(2 * 12 * 3 * 5).reshape(2, 12, 3, 5)
    assert torch.equal(unfolded(x, 2), torch.nn.functional.pixel_shuffle(x, 2))


def test_shortcuts_are_linear_maps_of_a_cells_pixels():
    """With silent nets and an orthogonal basis of all pixels, the shortcuts alone give any image back."""
    shape = dict(ch=32, num_res_blocks=1, resolution=16, patch_size=2, shortcut=True)
    model = AutoencoderKL(48, (1, 2), **shape).double()
    basis = torch.linalg.qr(
        torch.randn(48, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.encoder.shortcut.weight[:48] = basis.reshape(48, 3, 4, 4)
        model.decoder.shortcut.weight[:, :, 0, 0] = basis.T
        for convolution in (model.quant_conv, model.post_quant_conv):
            convolution.weight[:, :, 0, 0] = torch.eye(len(convolution.weight))
        x = torch.rand(2, 3, 16, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1
        posterior = model.encode(x)
        assert posterior.mean.shape == (2, 48, 4, 2) and (posterior.logvar == 0).all()
        assert relative_error(model.decode(posterior.mean), x) < 1e-12


@pytest.mark.parametrize("patch_size, shortcut", ((1, False), (2, False), (2, True)))
def test_every_parameter_has_a_gradient(patch_size, shortcut):
    # Two channels a group at least: a norm over one channel undoes the bias before it.
    folded = dict(patch_size=patch_size, shortcut=shortcut)
    config = SMALL | dict(ch=64, resolution=8, attn_resolutions=(4,)) | folded
    model = reference_weights_(AutoencoderKL(**config)).double()
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(1, 3, 8, 8, generator=generator, dtype=torch.float64) * 2 - 1
    posterior = model.encode(x)
    loss = (model.decode(posterior.sample(generator)) - x).square().mean() + 1e-3 * posterior.kl().mean()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        # A key's bias moves all scores of a query alike, which softmax does not see: zero but for rounding.
        largest = parameter.grad.abs().max()
        assert largest < 1e-15 if name.endswith(".k.bias") else largest > 1e-12, name


def moments(seed=3, dtype=torch.float32):
    return torch.randn(3, 8, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_kl_is_the_closed_form():
    posterior = DiagonalGaussian(moments(dtype=torch.float64))
    normal = torch.distributions.Normal(posterior.mean, posterior.std)
    exact = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum((1, 2, 3))
    assert posterior.kl().shape == (3,)
    torch.testing.assert_close(posterior.kl(), exact.double(), rtol=1e-12, atol=0)
    assert DiagonalGaussian(torch.zeros(2, 8, 4, 4)).kl().tolist() == [0.0, 0.0]


def test_logvar_is_clamped():
    posterior = DiagonalGaussian(torch.tensor([0.0, 0.0, -100.0, 100.0]).reshape(1, 4, 1, 1))
    assert posterior.logvar.flatten().tolist() == [-30.0, 20.0]
    torch.testing.assert_close(
        posterior.std.flatten().double(), torch.tensor([-15.0, 10.0]).double().exp(), rtol=1e-6, atol=0
    )


def test_samples_have_the_posteriors_moments():
    """20,000 draws of one normal, N(2, e^-1): five standard errors of mean and variance."""
    shape = (1, 2, 100, 200)
    posterior = DiagonalGaussian(torch.tensor([2.0, -1.0]).reshape(1, 2, 1, 1).expand(shape))
    draws = posterior.sample(torch.Generator().manual_seed(4)).double()
    count, variance = draws.numel(), torch.tensor(-1.0).exp().item()
    assert abs(draws.mean() - 2.0) < 5 * (variance / count) ** 0.5
    assert abs(draws.var() / variance - 1.0) < 5 * (2 / count) ** 0.5
    assert torch.equal(posterior.sample(torch.Generator().manual_seed(4)).double(), draws)
    assert torch.equal(posterior.mode(), posterior.mean)


def test_posterior_is_float32_under_autocast():
    model = reference_weights_(AutoencoderKL(**SMALL))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        posterior = model.encode(torch.zeros(1, 3, 32, 32))
        assert model.quant_conv(torch.zeros(1, 16, 1, 1)).dtype == torch.bfloat16  # autocast is on
        values = (posterior.mean, posterior.logvar, posterior.std, posterior.sample(), posterior.kl())
    assert {value.dtype for value in values} == {torch.float32}
