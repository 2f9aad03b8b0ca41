"""The sweep's rule on tables, and its scores where they are known."""

import numpy
import pytest
import torch
from PIL import Image

from evaluation import sweep
from evaluation.augmentation_study import Labelled
from evaluation.judge import Judge


def setting(guidance, accuracy, kid, memorised, sampler="heun"):
    def estimate(value):
        return {"value": value, "interval": value and [value - 0.1, value + 0.1], "count": 80}

    own = {"accuracy": accuracy, "kid": kid, "coverage": 0.5, "memorised": memorised}
    figures = {name: estimate(value) for name, value in own.items()}
    return {"guidance": guidance, "sampler": sampler, **figures}


REAL = setting(None, 0.9, None, 0.05)


@pytest.mark.parametrize(("table", "expected"), [
    # the lowest KID is not accurate enough; of those within the best one's interval the lower KID counts
    ([setting(1, 0.3, 0.01, 0), setting(2, 0.75, 0.03, 0), setting(3, 0.8, 0.05, 0)], 1),
    ([setting(1, 0.69, 0.01, 0), setting(2, 0.75, 0.03, 0), setting(3, 0.8, 0.02, 0)], 2),
    # a point more copies than usual may be, two may not
    ([setting(1, 0.8, 0.02, 0.06), setting(2, 0.8, 0.01, 0.07)], 0),
    ([setting(1, 0.2, 0.02, 0.0), setting(2, 0.8, 0.01, 0.2)], None),
    ([setting(1, 0.8, None, 0.0), setting(2, 0.8, 0.3, 0.0)], 1),
])
def test_the_rule(table, expected):
    assert sweep.recommend(table, REAL) == expected


def test_pictures_need_not_be_more_of_the_person_than_real_ones_are():
    table = [setting(1, 0.6, 0.01, 0), setting(2, 0.72, 0.02, 0), setting(3, 0.98, 0.03, 0)]
    assert sweep.recommend(table, setting(None, 0.7, None, 0)) == 1
    assert sweep.recommend(table, REAL) == 2


def pictures(count, seed):
    rng = numpy.random.default_rng(seed)
    images = rng.integers(0, 256, (2 * count, 128, 64, 3), dtype=numpy.uint8)
    return Labelled(images, numpy.arange(2 * count) % 2)


def test_scores_of_copies_and_of_new_pictures():
    torch.manual_seed(0)
    judge, train, held_out = Judge(2).eval(), pictures(6, 0), pictures(6, 1)
    copies = sweep.score(judge, Labelled(numpy.roll(train.images, 9, axis=2), train.labels), train, held_out)
    new = sweep.score(judge, pictures(6, 2), train, held_out)
    assert copies["memorised"]["value"] == 1 and new["memorised"]["value"] == 0
    assert set(copies) == set(new) == set(sweep.MEASURES)
    named = judge.predict(train.images).argmax(1) == train.labels
    assert copies["accuracy"]["value"] == pytest.approx(named.mean(), abs=0.1)
    assert new["kid"]["interval"][0] < 0 < new["kid"]["interval"][1] and new["accuracy"]["count"] == 12
    with pytest.raises(ValueError, match="raise --num_samples_per_user"):
        sweep.score(judge, Labelled(train.images[:1], train.labels[:1]), train, held_out)


def test_the_figure_and_the_table(tmp_path):
    table = [setting(1, 0.3, 0.01, 0), setting(2, 0.75, 0.03, 0), setting(2, 0.8, None, 0, "euler")]
    real = {"accuracy": table[0]["accuracy"], "memorised": table[0]["memorised"]}
    for best in (1, None):
        found = {"settings": table, "recommended": best, "rule": sweep.RULE, "real": real}
        sweep.draw_figure(found, tmp_path / "sweep.png")
        with Image.open(tmp_path / "sweep.png") as picture:
            assert picture.width > 800
        lines = sweep.table(found)
        assert len(lines) == 5 and ("2 *" in lines[2]) == (best == 1)
