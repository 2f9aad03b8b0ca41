"""Pixels in and out: golden crops and bytes, the geometries, and one frozen tokenizer on a device."""

import hashlib

import numpy
import pytest
import torch
from conftest import reference_weights_, relative_error
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from tokenizer.autoencoder import AutoencoderKL
from tokenizer.vavae import VAVAE, preprocess, to_float, to_uint8
from tokenizer.weights import digest, save_slim

SMALL = dict(embed_dim=8, ch_mult=(1, 2), ch=32, num_res_blocks=1, attn_resolutions=(16,), resolution=32)


@pytest.fixture(scope="module")
def pixels(golden):
    return load_file(golden / "pixels_and_stats.safetensors")


@pytest.fixture(scope="module")
def model():
    return reference_weights_(AutoencoderKL(**SMALL))


def random_image(width, height, seed=0):
    values = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("size", ["100x180", "700x513"])
def test_golden_crops(golden, size):
    with safe_open(golden / "pixels_and_stats.safetensors", "pt") as file:
        expected = file.metadata()[f"crop256.{size}"]
    crop = preprocess(Image.open(golden / "images" / f"{size}.png"), 256, "crop")
    assert hashlib.sha256(crop.permute(1, 2, 0).numpy().tobytes()).hexdigest() == expected


def test_golden_bytes(pixels):
    assert torch.equal(to_uint8(pixels["to_uint8.in"]).permute(0, 2, 3, 1), pixels["to_uint8.out"])


def test_bytes_truncate_and_clamp():
    values = torch.tensor([-9.0, -1.0, -128 / 127.5, 0.0, 0.00390, 0.00393, 1.0, 9.0])
    bytes_out = to_uint8(values.reshape(1, 1, 1, -1).expand(1, 3, 1, -1))
    assert bytes_out.shape == (1, 3, 1, 8) and bytes_out.dtype == torch.uint8
    assert bytes_out[0, 0, 0].tolist() == [0, 0, 0, 128, 128, 128, 255, 255]


def test_every_byte_survives_the_round_trip():
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    floats = to_float(every)
    assert floats.dtype == torch.float32 and floats.min() == -1 and floats.max() == 1
    assert torch.equal(to_uint8(floats), every)


@pytest.mark.parametrize("geometry", ("stretch", "pad", "crop"))
def test_an_image_of_the_right_size_is_untouched(geometry):
    image = random_image(48, 48)
    tensor = preprocess(image, 48, geometry)
    assert tensor.dtype == torch.uint8 and tensor.is_contiguous()
    assert torch.equal(tensor.permute(1, 2, 0), torch.from_numpy(numpy.array(image)))


def test_stretch_keeps_both_axes():
    """The four quarters of a 300x100 image stay the four quarters of the square."""
    values = numpy.zeros((100, 300, 3), numpy.uint8)
    values[:50, 150:] = 80
    values[50:, :150] = 160
    values[50:, 150:] = 240
    tensor = preprocess(Image.fromarray(values), 64)
    assert tensor.shape == (3, 64, 64)
    corners = tensor[0, [0, 0, 63, 63], [0, 63, 0, 63]]
    assert corners.tolist() == [0, 80, 160, 240]
    assert tensor[0, 16, 16] == 0 and tensor[0, 48, 48] == 240


def test_pad_uses_the_median_border_pixel():
    """Border of 16 + 16 + 6 + 6 = 44 pixels: 23 dark blue, 21 bright; the inside has neither colour."""
    values = numpy.full((8, 16, 3), 100, numpy.uint8)
    values[[0, -1]] = values[:, [0, -1]] = (250, 240, 10)
    values[0] = (0, 0, 90)
    values[1:8, 0] = (0, 0, 90)
    padded = preprocess(Image.fromarray(values), 16, "pad").permute(1, 2, 0).numpy()
    assert (padded[:4] == (0, 0, 90)).all() and (padded[12:] == (0, 0, 90)).all()
    assert (padded[4:12] == values).all()


@pytest.mark.parametrize("width, height, content", [(60, 30, (32, 16)), (10, 40, (8, 32))])
def test_pad_keeps_the_aspect(width, height, content):
    image = Image.new("RGB", (width, height), (10, 20, 30))
    image.paste((200, 200, 200), (1, 1, width - 1, height - 1))
    padded = preprocess(image, 32, "pad")
    assert padded.shape == (3, 32, 32)
    inside = (padded[0] > 100).nonzero()
    extent = (inside.max(0).values - inside.min(0).values + 1).tolist()
    assert abs(extent[1] - content[0]) <= 2 and abs(extent[0] - content[1]) <= 2


def test_pad_takes_a_line_of_pixels():
    padded = preprocess(Image.new("RGB", (500, 1), (10, 20, 30)), 32, "pad")
    assert torch.equal(padded, torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None].expand(3, 32, 32))


def test_from_file_is_the_model_itself(model, tmp_path):
    save_slim(model, tmp_path / "small.safetensors", torch.float32)
    vavae = VAVAE.from_file(tmp_path / "small.safetensors")
    assert (vavae.image_size, vavae.latent_shape, vavae.digest) == (32, (8, 16, 16), digest(model))
    images = torch.stack([preprocess(random_image(32, 32, seed), 32) for seed in range(2)])
    posterior = vavae.encode(images)
    with torch.no_grad():
        expected = model.encode(images.float() / 127.5 - 1)
        decoded = model.decode(expected.mean)
    assert relative_error(posterior.mean, expected.mean) <= 1e-5
    assert relative_error(posterior.std, expected.std) <= 1e-5
    bytes_out = vavae.decode(expected.mean)
    assert bytes_out.shape == (2, 3, 32, 32) and bytes_out.dtype == torch.uint8
    # Another summation order may move a value across a truncation step, by one.
    assert (bytes_out.int() - to_uint8(decoded).int()).abs().max() <= 1
    assert not posterior.mean.requires_grad


def test_defaults_of_the_full_member():
    with torch.device("meta"):
        model = AutoencoderKL()
    assert model.downsampling == 16 and model.config["resolution"] == 256
    assert (model.config["embed_dim"], 256 // model.downsampling) == (32, 16)


def test_bf16_stays_near_float32(model):
    images = torch.stack([preprocess(random_image(32, 32, seed), 32) for seed in range(2)])
    exact, coarse = (VAVAE(AutoencoderKL(**SMALL), precision=precision) for precision in ("32", "bf16"))
    for vavae in (exact, coarse):
        reference_weights_(vavae.model)
    with torch.autocast("cpu", torch.bfloat16):  # a caller's autocast does not reach precision 32
        reference = exact.encode(images)
    posterior = coarse.encode(images)
    assert torch.equal(reference.mean, exact.encode(images).mean)
    assert posterior.mean.dtype == torch.float32
    assert 1e-4 < relative_error(posterior.mean, reference.mean) < 3e-2  # bfloat16 keeps 8 bits: 4e-3 a step
    difference = (coarse.decode(reference.mean).int() - exact.decode(reference.mean).int()).abs()
    assert difference.float().mean() < 2.0


def test_values_that_are_not_finite_are_refused(model):
    vavae = VAVAE(model)
    with pytest.raises(ValueError, match="pixels that are not finite"):
        vavae.decode(torch.full((1, 8, 16, 16), float("nan")))


def decibels(one, other, span):
    return float(10 * torch.log10(span**2 / (one.double() - other.double()).square().mean()))


def test_bf16_and_channels_last_stay_within_40_db_of_plain_fp32():
    """Of decoded pixels, and of latents to their own range; layout alone changes next to nothing."""
    low, full = VAVAE.from_file("compact", precision="bf16"), VAVAE.from_file("compact")
    plain = VAVAE.from_file("compact").model.to(memory_format=torch.contiguous_format)
    coarse = [random_image(24, 24, seed).resize((256, 256), Image.Resampling.BICUBIC) for seed in (0, 1)]
    images = torch.stack([preprocess(image) for image in coarse])
    with torch.inference_mode():
        latents = plain.encode(to_float(images)).mean
        pixels = to_uint8(plain.decode(latents))
    span = float(latents.max() - latents.min())
    assert decibels(full.encode(images).mean, latents, span) > 100
    assert 40 < decibels(low.encode(images).mean, latents, span) < 90  # bf16 was at work
    assert 40 < decibels(low.decode(latents), pixels, 255.0) < 90
