"""Statistics against numpy, torch, the published golden values and closed forms; both directions in one
object."""

import math
import zlib

import numpy
import pytest
import torch
from conftest import relative_error
from safetensors.torch import load_file

from data import latent_stats
from data.latent_stats import KL_LIMIT_NATS, LatentStatistics, Recommendation, read_recommendation, recommend


def statistics(mean, std):
    return LatentStatistics(torch.tensor(mean).view(1, -1, 1, 1), torch.tensor(std).view(1, -1, 1, 1))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_published_statistics(golden):
    expected = load_file(golden / "pixels_and_stats.safetensors")
    draw = numpy.random.default_rng(zlib.crc32(b"latents")).standard_normal((20, 32, 16, 16))
    ours = LatentStatistics.from_latents(torch.from_numpy((draw * 1.7 + 0.3).astype(numpy.float32)))
    assert relative_error(ours.mean, expected["stats.mean"]) <= 1e-5
    assert relative_error(ours.std, expected["stats.std"]) <= 1e-5


def test_against_numpy_over_several_chunks(monkeypatch):
    monkeypatch.setattr(latent_stats, "CHUNK_SAMPLES", 7)
    latents = drawn(30, 5, 4, 3) * torch.tensor([0.1, 1, 2, 3, 40]).view(1, 5, 1, 1) + 3
    ours = LatentStatistics.from_latents(latents)
    wide = latents.numpy().astype(numpy.float64)
    assert ours.mean.shape == ours.std.shape == (1, 5, 1, 1) and ours.mean.dtype == torch.float32
    numpy.testing.assert_allclose(ours.mean.flatten(), wide.mean((0, 2, 3)), rtol=1e-7)
    numpy.testing.assert_allclose(ours.std.flatten(), wide.std((0, 2, 3), ddof=1), rtol=1e-7)


def test_a_large_offset_does_not_hurt():
    latents = (drawn(200, 3, 8, 8) * 0.01).double() + 1e6
    ours = LatentStatistics.from_latents(latents)
    expected = torch.std(latents - 1e6, dim=(0, 2, 3))
    torch.testing.assert_close(ours.std.flatten().double(), expected, rtol=1e-6, atol=0)


def test_total_variance_is_that_of_drawn_latents():
    mean = drawn(40, 3, 4, 4) + 1
    std = drawn(40, 3, 4, 4, seed=1).abs() * torch.tensor([0.1, 1, 3]).view(1, 3, 1, 1)
    ours = LatentStatistics.from_latents(mean, std)
    draws = torch.cat([mean + std * drawn(40, 3, 4, 4, seed=seed) for seed in range(2, 402)])
    torch.testing.assert_close(ours.std.flatten(), draws.std(dim=(0, 2, 3)), rtol=0.01, atol=0)
    closed = (mean.double().var(dim=(0, 2, 3)) + std.double().square().mean(dim=(0, 2, 3))).sqrt().float()
    torch.testing.assert_close(ours.std.flatten(), closed, rtol=1e-6, atol=0)
    assert torch.equal(ours.mean, LatentStatistics.from_latents(mean).mean)


def test_constant_channels_get_unit_std():
    latents = drawn(50, 4, 4, 4)
    latents[:, 1], latents[:, 3] = 0.3, 0.0
    ours = LatentStatistics.from_latents(latents)
    assert ours.std[0, 1] == ours.std[0, 3] == 1
    assert ours.normalise(latents)[:, 1].abs().max() < 1e-6


def test_small_channels_are_not_called_constant():
    ours = LatentStatistics.from_latents(drawn(50, 1, 4, 4) * 1e-6)
    assert 5e-7 < ours.std < 2e-6


def test_both_directions_are_inverse_in_float64():
    latents = drawn(6, 4, 5, 5).double() * 7 + 2
    ours = LatentStatistics.from_latents(latents)
    normalised = ours.normalise(latents)
    assert normalised.dtype == torch.float64
    torch.testing.assert_close(ours.denormalise(normalised), latents, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(normalised.mean(dim=(0, 2, 3)), torch.zeros(4).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(normalised.std(dim=(0, 2, 3)), torch.ones(4).double(), rtol=1e-6, atol=0)


def test_half_latents_are_normalised_in_float32():
    ours = statistics([100.0], [0.5])
    z = torch.full((1, 1, 1, 1), 100.5, dtype=torch.bfloat16)
    assert ours.normalise(z).dtype == torch.float32 == ours.denormalise(z).dtype
    assert ours.normalise(z).item() == (z.float().item() - 100) / 0.5


def test_wrong_channel_count_does_not_broadcast():
    with pytest.raises(AssertionError):
        statistics([0.0], [1.0]).normalise(drawn(2, 3, 4, 4))


@pytest.mark.parametrize("latents", [torch.zeros(1, 4, 1, 1), torch.full((2, 1, 2, 2), float("nan"))])
def test_unusable_latents(latents):
    with pytest.raises(ValueError, match="not finite"):
        LatentStatistics.from_latents(latents)


def test_file_round_trip_and_layout(tmp_path):
    ours = LatentStatistics.from_latents(drawn(9, 32, 4, 4) + 2)
    ours.save(tmp_path / "latents_stats.pt")
    raw = torch.load(tmp_path / "latents_stats.pt", weights_only=True)
    assert set(raw) == {"mean", "std"} and raw["mean"].shape == (1, 32, 1, 1)
    again = LatentStatistics.load(tmp_path / "latents_stats.pt")
    assert torch.equal(again.mean, ours.mean) and torch.equal(again.std, ours.std)
    assert [path.name for path in tmp_path.iterdir()] == ["latents_stats.pt"]


FINE = torch.ones(1, 2, 1, 1)


@pytest.mark.parametrize(
    "content, words",
    [
        ({"mean": FINE}, "no std"),
        ({"std": FINE}, "no mean"),
        ([], "no mean and no std"),
        ({}, "no mean and no std"),
        ([FINE, FINE], "no mean and no std"),
        ({"mean": "a", "std": "b"}, "no plain tensor"),
        ({"mean": FINE.to_sparse(), "std": FINE}, "no plain tensor"),
        ({"mean": FINE, "std": 1.0}, "no plain tensor"),
        ({"mean": FINE, "std": torch.ones(1, 3, 1, 1)}, "2 channels, std 3"),
        ({"mean": FINE, "std": FINE.view(2)}, "std has shape"),
        ({"mean": FINE.long(), "std": FINE}, "floating-point"),
        ({"mean": FINE, "std": FINE * 0}, "not positive"),
        ({"mean": FINE, "std": -FINE}, "not positive"),
        ({"mean": FINE * float("nan"), "std": FINE}, "not finite"),
        ({"mean": FINE, "std": FINE / 0}, "not finite"),
    ],
)
def test_wrong_files_are_refused_with_the_way_out(tmp_path, content, words):
    torch.save(content, tmp_path / "s.pt")
    with pytest.raises(ValueError, match=f"s.pt: .*{words}.*stage1_extract_features.py") as error:
        LatentStatistics.load(tmp_path / "s.pt")
    assert "\n" not in str(error.value)


def test_empty_missing_truncated_and_unsafe_files(tmp_path):
    path = tmp_path / "s.pt"
    with pytest.raises(FileNotFoundError, match="s.pt.*stage1"):
        LatentStatistics.load(path)
    path.touch()
    with pytest.raises(ValueError, match="s.pt: empty.*stage1"):
        LatentStatistics.load(path)
    statistics([0.0], [1.0]).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="s.pt: not readable.*stage1"):
        LatentStatistics.load(path)
    torch.save({"mean": FINE, "std": FINE, "code": Recommendation("imagenet")}, path)  # no plain container
    with pytest.raises(ValueError, match="s.pt: not readable.*stage1"):
        LatentStatistics.load(path)


def test_recommendation_measures_the_kl_divergence():
    micro_doppler, imagenet = statistics([1.0, 0.5], [2.0, 1.0]), statistics([0.0, 0.5], [1.0, 4.0])
    recommendation = recommend(micro_doppler, imagenet)
    assert recommendation.mean_shift == (1.0, 0.0) and recommendation.scale == (2.0, 0.25)
    for m, s, kl in zip(recommendation.mean_shift, recommendation.scale, recommendation.kl_nats):
        ours, standard = torch.distributions.Normal(m, s), torch.distributions.Normal(0.0, 1.0)
        assert kl == pytest.approx(torch.distributions.kl_divergence(ours, standard).item(), rel=1e-6)
    assert recommendation.choice == "micro_doppler"


@pytest.mark.parametrize(
    "shift, scale, choice",
    [
        (0.0, 1.0, "imagenet"),
        (0.31, 1.0, "imagenet"),
        (0.32, 1.0, "micro_doppler"),
        (0.0, 1.22, "imagenet"),
        (0.0, 1.24, "micro_doppler"),
        (0.0, 0.79, "imagenet"),
        (0.0, 0.78, "micro_doppler"),
    ],
)
def test_one_channel_decides(shift, scale, choice):
    imagenet = statistics([2.0, 5.0, -1.0], [3.0, 1.0, 0.5])
    micro_doppler = statistics([2.0, 5.0 + shift, -1.0], [3.0, scale, 0.5])
    recommendation = recommend(micro_doppler, imagenet)
    assert recommendation.choice == choice
    assert (recommendation.kl_nats[1] > KL_LIMIT_NATS) == (choice == "micro_doppler")
    assert recommendation.kl_nats[1] == pytest.approx(
        (scale**2 + shift**2 - 1 - math.log(scale**2)) / 2, abs=1e-6
    )


def test_recommendation_text_round_trip(tmp_path):
    same = statistics([0.0, 1.0], [1.0, 2.0])
    far = statistics([3.0, 1.0], [1.0, 2.0])
    for recommendation, first in (
        (recommend(same, same), "Recommendation: imagenet"),
        (recommend(same, None), "Recommendation: micro_doppler"),
        (recommend(same, far), "Recommendation: micro_doppler"),
    ):
        (tmp_path / "r.txt").write_text(recommendation.text())
        lines = (tmp_path / "r.txt").read_text().splitlines()
        assert lines[0] == first and read_recommendation(tmp_path / "r.txt") == recommendation.choice
        assert sum(line.endswith("over") for line in lines) == sum(
            kl > KL_LIMIT_NATS for kl in recommendation.kl_nats
        )
    assert "No ImageNet statistics" in recommend(same, None).text()


@pytest.mark.parametrize("text", ["", "imagenet\n", "Recommendation: both\n", "\nRecommendation: imagenet\n"])
def test_unreadable_recommendations(tmp_path, text):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(ValueError, match="r.txt: first line.*stage1"):
        read_recommendation(tmp_path / "r.txt")
    with pytest.raises(FileNotFoundError, match="absent.txt"):
        read_recommendation(tmp_path / "absent.txt")
