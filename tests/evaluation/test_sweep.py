"""The sweep's rule on tables, and its scores where they are known."""

import math
from types import SimpleNamespace

import numpy
import pytest
import torch
from PIL import Image

from configs.errors import UserError
from configs.load import resolve
from data.labels import LabelTable
from evaluation import distances, sweep
from evaluation.features import BANDS, QUANTITIES, ImageSet
from evaluation.judge import SmallJudge
from evaluation.measure import units_of

UNITS = units_of(False)


def setting(guidance, accuracy, kid, memorised, sampler="heun"):
    def figure(name, value):
        return {name: value, "interval": value and [value - 0.1, value + 0.1], "count": 80}

    shares = {"judged_right": accuracy, "memorised": memorised, "impossible": 0.05}
    values = {"kid": kid, "coverage": 0.5}
    figures = {name: figure("share", value) for name, value in shares.items()}
    figures |= {name: figure("value", value) for name, value in values.items()}
    return {"guidance": guidance, "sampler": sampler, **figures}


REAL = setting(None, 0.9, None, 0.05)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # the lowest KID is not accurate enough; of those within the best one's interval the lower KID counts
        ([setting(1, 0.3, 0.01, 0), setting(2, 0.75, 0.03, 0), setting(3, 0.8, 0.05, 0)], 1),
        ([setting(1, 0.69, 0.01, 0), setting(2, 0.75, 0.03, 0), setting(3, 0.8, 0.02, 0)], 2),
        # a point more copies than usual may be, two may not
        ([setting(1, 0.8, 0.02, 0.06), setting(2, 0.8, 0.01, 0.07)], 0),
        ([setting(1, 0.2, 0.02, 0.0), setting(2, 0.8, 0.01, 0.2)], None),
        ([setting(1, 0.8, None, 0.0), setting(2, 0.8, 0.3, 0.0)], 1),
    ],
)
def test_the_rule(table, expected):
    assert sweep.recommend(table, REAL) == expected


def test_pictures_need_not_be_more_of_the_person_than_real_ones_are():
    table = [setting(1, 0.6, 0.01, 0), setting(2, 0.72, 0.02, 0), setting(3, 0.98, 0.03, 0)]
    assert sweep.recommend(table, setting(None, 0.7, None, 0)) == 1
    assert sweep.recommend(table, REAL) == 2


def test_a_sweep_draws_as_the_preset_does_where_nothing_else_is_asked(capsys):
    def swept(drawing, **asked):
        given = {"real": "-", "dit_checkpoint": "-", "vavae_path": "-", **asked}
        return sweep.as_drawn(resolve(("sweep",), {"sweep": given})["sweep"], drawing)

    preset = {"restarts": 5, "sampler": "heun", "num_steps": 9, "timestep_shift": 0.3, "timestep_cosine": 0.5}
    config, fixed = swept(preset)
    assert (config.restarts, config.samplers, config.num_steps) == ([5], ["heun"], 9)
    assert fixed == {"timestep_shift": 0.3} and len(config.guidance) == 5
    assert (
        "sample.… has it: samplers ['heun'], restarts [5], num_steps 9, timestep" in capsys.readouterr().out
    )
    config, _ = swept(preset, restarts=[0, 2], num_steps=15)
    assert (config.restarts, config.samplers, config.num_steps) == ([0, 2], ["heun"], 15)
    with pytest.raises(UserError, match="sample.restarts=-1: expected at least 0"):
        swept({"restarts": -1})
    swept({"guidance_scale": 1.0, "seed": 3})
    said = "note: sample.guidance_scale, sample.seed: not read, the sweep has flags for what it varies\n"
    assert capsys.readouterr().out.endswith(said)
    assert swept({})[1] == {} and not capsys.readouterr().out


def pictures(people, count, seed):
    """`count` of each, of noise."""
    rng, total = numpy.random.default_rng(seed), people * count
    images = rng.integers(0, 256, (total, 128, 64, 3), dtype=numpy.uint8)
    motion, profile = rng.normal(size=(total, len(QUANTITIES))), rng.normal(size=(total, BANDS))
    return ImageSet(images, numpy.repeat(numpy.arange(people), count), motion, profile)


def table_of(people):
    return LabelTable(tuple(f"ID_{number}" for number in range(people)))


def test_of_people_in_conditions_those_with_images_are_swept(monkeypatch, capsys):
    labels, people = LabelTable(("ID_1", "ID_1_bag", "ID_2", "ID_2_bag")), LabelTable(("ID_1_bag", "ID_9"))
    payload = SimpleNamespace(
        labels=labels, model={"combinations": [[0, -1], [0, 0], [1, -1], [1, 0]]}, axes=None
    )
    networks = SimpleNamespace(payload=payload)
    monkeypatch.setattr(sweep, "load_networks", lambda *_: networks)
    config = resolve(("sweep",), {"sweep": {"real": "data", "dit_checkpoint": "a", "vavae_path": "W"}})[
        "sweep"
    ]
    assert sweep.models_of(config, people) == {"a": networks}
    assert "a: 3 combinations without images in --real are not drawn" in capsys.readouterr().out
    with pytest.raises(UserError, match="draws ID_1, .*; expected people of --real"):
        sweep.models_of(config, LabelTable(("ID_9",)))
    payload.model = {}
    with pytest.raises(UserError, match="draws ID_1, ID_2"):
        sweep.models_of(config, people)


def test_scores_of_copies_and_of_new_pictures():
    torch.manual_seed(0)
    judge, sets = SmallJudge(2).eval(), {"train": pictures(2, 6, 0), "held_out": pictures(2, 6, 1)}
    rolled = sets["train"]._replace(images=numpy.roll(sets["train"].images, 9, axis=2))
    (copies, real), (new, again) = (
        sweep.score(judge, {**sets, "generated": drawn}, table_of(2), UNITS, 0)
        for drawn in (rolled, pictures(2, 6, 2))
    )
    assert [scores["memorised"]["share"] for scores in (copies, new, real)] == [1, 0, 0]
    assert set(copies) == set(new) == set(real) == set(sweep.MEASURES) and real == again
    named = judge.predict(rolled.images).argmax(1) == rolled.labels
    assert copies["judged_right"]["share"] == named.mean()
    assert new["kid"]["interval"][0] < 0 < new["kid"]["interval"][1] and new["judged_right"]["count"] == 12
    with pytest.raises(ValueError, match="raise --num_samples_per_user"):
        few = sets["train"].at(numpy.array([0]))
        sweep.score(judge, {**sets, "generated": few}, table_of(2), UNITS, 0)


class Seeing(SmallJudge):
    """A judge that names nobody; an image's features are those of its first value."""

    def __init__(self, num_classes, values):
        super().__init__(num_classes)
        self.values = values

    def logits(self, images):
        return torch.zeros(len(images), self.head[2].out_features, dtype=torch.float64)

    def features(self, images):
        return self.values[images[:, 0, 0, 0]]


@pytest.mark.parametrize("apart", [0.5, 1.0, 1.5])
def test_kid_is_zero_where_nothing_differs_however_far_people_lie_apart(apart, monkeypatch):
    """Five people, four images each, `apart` deviations from their mean in every direction."""
    monkeypatch.setattr(distances, "HALVES", 2)  # the interval is not looked at
    estimates = []
    for seed in range(48):
        rng = numpy.random.default_rng(seed)
        sets = {name: pictures(5, 4, seed) for name in ("train", "held_out", "generated")}
        people = apart * rng.normal(size=(5, 256))
        values = numpy.tile(numpy.repeat(people, 4, axis=0), (3, 1)) + rng.normal(size=(60, 256))
        for number, part in enumerate(sets.values()):
            part.images[:, 0, 0, 0] = 20 * number + numpy.arange(20)
        drawn, _ = sweep.score(Seeing(5, values), sets, table_of(5), UNITS, seed)
        estimates.append(drawn["kid"]["value"])
    assert abs(numpy.mean(estimates)) < 3 * numpy.std(estimates) / math.sqrt(len(estimates))
    assert numpy.std(estimates) / math.sqrt(len(estimates)) < 0.005  # so a bias would show


def test_the_figure_and_the_table(tmp_path):
    table = [setting(1, 0.3, 0.01, 0), setting(2, 0.75, 0.03, 0), setting(2, 0.8, None, 0, "euler")]
    for best in (1, None):
        figures = {"settings": table, "recommended": best, "rule": sweep.RULE, "real": REAL}
        sweep.draw_figure(figures, tmp_path / "sweep.png")
        with Image.open(tmp_path / "sweep.png") as picture:
            assert picture.width > 800
        lines = sweep.table(figures)
        assert len(lines) == 6 and ("2 *" in lines[2]) == (best == 1) and "held-out real" in lines[4]
