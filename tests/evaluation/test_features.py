"""Spaces with known answers, and the networks that a user may name."""

import numpy
import pytest
import torch
from PIL import Image

from benchmarks.compare_fid import write_random_weights
from data.images import ImageRecord, open_rgb
from data.labels import LabelTable
from evaluation import features
from evaluation.features import (
    BANDS,
    QUANTITIES,
    ImageSet,
    common_scale,
    latent_space,
    radar_space,
    read_with,
)
from evaluation.judge import SmallJudge
from evaluation.reconstruction import perceptual_distance


def test_one_scale_keeps_directions_and_columns_do_not():
    train = numpy.array([[0.0, 10.0], [2.0, 10.0], [0.0, 30.0], [2.0, 30.0]])
    sets = {"train": train, "generated": numpy.array([[1.0, 20.0], [3.0, 40.0]], dtype=numpy.float32)}
    common = common_scale(sets)
    assert common["generated"][0] == pytest.approx([0, 0])
    assert common["train"].var(0).mean() == pytest.approx(1)
    assert common["generated"][1, 1] == pytest.approx(10 * common["generated"][1, 0])
    assert common_scale(sets, columns=True)["generated"][1] == pytest.approx([2, 2])


def test_what_cannot_be_measured_is_as_usual_and_profiles_weigh_as_quantities_do():
    rng = numpy.random.default_rng(0)
    motion, profile = 3 + rng.standard_normal((400, len(QUANTITIES))), rng.random((400, BANDS))
    train = ImageSet(numpy.zeros((400, 1)), numpy.zeros(400), motion, profile)
    unseen = train.at(numpy.arange(2))
    unseen.motion[0, 4] = numpy.nan
    space = radar_space({"train": train, "generated": unseen})
    assert space["generated"][0, 4] == pytest.approx(0, abs=1e-9)
    motion, profile = numpy.split(space["train"], [len(QUANTITIES)], axis=1)
    assert profile.shape == (400, BANDS) and (motion**2).sum() == pytest.approx((profile**2).sum())


def test_latents_are_pooled_over_time_and_bands():
    z = numpy.zeros((2, 3, 8, 5), dtype=numpy.float32)
    z[1, 2, 6:] = 10 * numpy.arange(5)  # the last of four bands of the last channel: mean 20
    space = latent_space({"train": z})["train"]
    assert space.shape == (2, 2 * 4 * 3)
    changed = numpy.flatnonzero(space[1] - space[0])
    assert changed.tolist() == [11, 23]  # its mean, and its deviation over time
    assert space[1, 11] / space[1, 23] == pytest.approx(20 / (10 * 2**0.5))
    assert latent_space({"train": numpy.roll(z, 2, axis=3)})["train"] == pytest.approx(space)


def test_the_perceptual_distance_is_none_to_itself_and_grows():
    torch.manual_seed(0)
    judge, rng = SmallJudge(3).eval(), numpy.random.default_rng(0)
    images = rng.integers(0, 256, (4, 128, 64, 3), dtype=numpy.uint8)
    noise = rng.standard_normal(images.shape)
    near, far = ((images + level * noise).clip(0, 255).astype(numpy.uint8) for level in (5, 50))
    same, little, much = (perceptual_distance(judge, images, other) for other in (images, near, far))
    assert same == pytest.approx(numpy.zeros(4), abs=1e-6) and (little > 1e-5).all()
    assert (much > 3 * little).all()
    assert much.max() <= 4  # between vectors of length 1


def records_of(count, folder):
    """Images of 12 x 9 pixels, as red as their number, of one person."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (12, 9), (number, 0, 0)).save(path)
    return [ImageRecord(path, f"ID_1/{path.name}", "ID_1") for path in paths]


def test_batches_come_back_in_order(tmp_path):
    records = records_of(features.BATCH + 3, tmp_path)
    networks = {"red": (lambda images: images[:, :1, 0, 0].double(), 8)}
    red = read_with(networks, records, LabelTable(("ID_1",)), (), "jet")[1]["red"]
    assert red.dtype == numpy.float32 and red[:, 0].tolist() == list(range(features.BATCH + 3))


def test_a_file_is_decoded_once_for_all_that_look_at_it(tmp_path, monkeypatch):
    decoded, (record,) = [], records_of(1, tmp_path)
    monkeypatch.setattr(features, "open_rgb", lambda one: decoded.append(one) or open_rgb(one))
    networks = {
        "red": (lambda images: images[:, 0].float().mean((1, 2)), 4),
        "shape": (lambda images: torch.tensor([[*images.shape[2:]]]), 6),
    }
    images, vectors = read_with(networks, [record], LabelTable(("ID_1",)), (), "jet")
    assert decoded == [record] and len(images.labels) == 1
    assert vectors["red"].tolist() == [0.0] and vectors["shape"].tolist() == [[6.0, 6.0]]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width"), [("inception", 2048), ("dinov2", 384)])
def test_named_networks_give_their_features(name, width, tmp_path):
    if name == "inception":
        write_random_weights(tmp_path / "W.pt")
    else:
        model = pytest.importorskip("timm").create_model("vit_small_patch14_dinov2")
        torch.save(model.state_dict(), tmp_path / "W.pt")
    load, side = features.NETWORKS[name]
    network = load(str(tmp_path / "W.pt"), torch.device("cpu"))
    vectors = network(torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8))
    assert vectors.shape == (2, width) and vectors.isfinite().all() and not vectors.requires_grad
    (tmp_path / "W.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="W.pt: not a whole torch file"):
        load(str(tmp_path / "W.pt"), torch.device("cpu"))
