"""Copies are what their kinds say, and sets are called out as often as their copies allow."""

import numpy
import pytest
from PIL import Image

from data.images import ImageRecord
from data.labels import LabelTable
from evaluation.judge import reduced
from evaluation.planted import ENCODED, ROLLED, Searched, called, encoded, plant
from radar.colormap import from_rgb, to_rgb

PEOPLE = LabelTable(("ID_1", "ID_2"))


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Three images of ID_1 and one of ID_2: smooth noise in the middle of the colours."""
    folder, rng = tmp_path_factory.mktemp("planted"), numpy.random.default_rng(0)
    records = []
    for number, user in enumerate(("ID_1", "ID_1", "ID_1", "ID_2")):
        coarse = Image.fromarray((60 + 130 * rng.random((32, 16))).astype(numpy.uint8))
        values = numpy.asarray(coarse.resize((256, 256), Image.Resampling.BICUBIC)) / 255
        path = folder / f"{number}.png"
        Image.fromarray(to_rgb(values, "viridis")).save(path)
        records.append(ImageRecord(path, f"{user}/{number}.png", user))
    return records


def test_copies_are_what_their_kinds_say(training):
    planted = plant(training, "viridis", range_db=20, seed=1)
    assert {kind: list(places) for kind, places in planted.places.items()} == {
        **dict.fromkeys(("exact", ROLLED, "gain of 2 dB", ENCODED), [0, 1, 2, 3]),
        **dict.fromkeys(("blend with the next, 70 to 30", "blend of two of a person"), [0, 1, 2]),
    }
    files = [numpy.asarray(Image.open(record.path)).astype(float) for record in training]

    def seen(image):
        return reduced(Image.fromarray(numpy.rint(image).astype(numpy.uint8)))

    assert (planted.images["exact"] == [seen(image) for image in files]).all()
    nexts = numpy.stack([seen(0.7 * files[a] + 0.3 * files[b]) for a, b in ((0, 1), (1, 2), (2, 1))])
    assert planted.images["blend with the next, 70 to 30"] == pytest.approx(nexts, abs=1)
    for number, copy in enumerate(planted.images["blend of two of a person"]):
        others = [seen((files[number] + files[at]) / 2) for at in range(3) if at != number]
        assert any(copy == pytest.approx(other, abs=1) for other in others)
    for number, copy in enumerate(planted.images["gain of 2 dB"]):
        gained = from_rgb(copy, "viridis") - from_rgb(planted.images["exact"][number], "viridis")
        assert numpy.median(gained) == pytest.approx(0.1 * (-1) ** number, abs=0.01)
    assert (planted.images[ROLLED] != planted.images["exact"]).any()
    assert planted.images[ROLLED].mean((1, 2)) == pytest.approx(planted.images["exact"].mean((1, 2)), abs=0.5)
    assert plant(training, "viridis", 20, 1).images[ROLLED].tolist() == planted.images[ROLLED].tolist()


def test_an_encoded_image_is_nearly_the_same(training):
    image = numpy.asarray(Image.open(training[0].path))
    again = encoded(image)
    assert 0 < numpy.abs(again.astype(int) - image).mean() < 10


@pytest.mark.parametrize(
    ("recall", "part", "many", "some"), [(1, 0.01, 0, 1), (1, 0.06, 1, 1), (0, 0.06, 0, 0)]
)
def test_sets_are_called_out_where_their_copies_are_found(recall, part, many, some):
    """100 generated and 100 held-out images without a copy; Fisher's test needs six copies."""
    rng = numpy.random.default_rng(0)
    labels = numpy.arange(100) % 2
    generated, held_out = (Searched(numpy.zeros(100, bool), rng.random(100) + 1, labels) for _ in range(2))
    copies = Searched(numpy.full(10, recall == 1), numpy.zeros(10), numpy.zeros(10, int))
    said = called(part, copies, generated, held_out, PEOPLE, rng)
    assert said["planted"] == {"share": part, "count": round(100 * part)}
    assert (said["many"]["share"], said["some"]["share"]) == (many, some)
    more = called(0.5, copies, generated, held_out, PEOPLE, rng)
    assert more["planted"]["count"] == 50 and more["z"] < -3 < said["z"]
