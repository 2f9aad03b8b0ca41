"""What a selecting judge keeps and refuses, how long it tries, and who may not score what it chose."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from data.images import ImageRecord, file_digest
from data.labels import LabelTable
from evaluation import selection
from evaluation.features import QUANTITIES, ImageSet
from evaluation.judge import SmallJudge
from evaluation.selection import ALIKE, COPY, KEPT, NOT_SURE, ODD_MOTION, Selector

PEOPLE = LabelTable(("ID_1", "ID_2"))
RNG = numpy.random.default_rng(0)
BOUNDS = {"confidence": 0.4, "novelty": 0.5, "near": 0.3}


def unit(seed, like=None, amount=1.0):
    """A random image at unit norm, or `like` with so much of one added."""
    noise = numpy.random.default_rng(seed).standard_normal((64, 64), dtype=numpy.float32)
    mixed = noise if like is None else 64 * like + amount * noise
    return (mixed / numpy.linalg.norm(mixed)).astype(numpy.float32)


@pytest.fixture(scope="module")
def selector():
    motion = RNG.normal(0, 1, (40, len(QUANTITIES)))
    training = RNG.random((5, 64, 64), dtype=numpy.float32)
    return Selector(SmallJudge(2).eval(), PEOPLE, BOUNDS, training, motion, "jet", ["aa", "bb"])


GOOD = {"confidence": 0.4, "novelty": 0.5, "motion_odd": False}


@pytest.mark.parametrize(
    ("change", "decision"),
    [
        ({}, KEPT),
        ({"confidence": 0.39}, NOT_SURE),
        ({"novelty": 0.49}, COPY),
        ({"motion_odd": True}, ODD_MOTION),
    ],
)
def test_each_bound_decides(selector, change, decision):
    assert selector.decide({**GOOD, **change}, unit(0), [unit(1)]) == decision


def test_near_duplicates_have_a_quota(selector):
    """One in a hundred of the kept may be alike, shifted in time or not; other images are not."""
    first = unit(0)
    again = numpy.roll(unit(1, first, 0.1), 17, axis=1)
    others = [unit(seed) for seed in range(2, 101)]
    assert selector.decide(GOOD, again, [first]) == ALIKE
    assert selector.decide(GOOD, again, [first, *others[:98]]) == ALIKE  # 99 kept: none may be
    assert selector.decide(GOOD, again, [first, *others]) == KEPT
    assert selector.decide(GOOD, again, [first, again, *others]) == ALIKE
    assert selector.decide(GOOD, unit(2), others[1:]) == KEPT


class Fake(Selector):
    """A selector whose images tell by their value what it shall find: 0 is fine, 1 fails."""

    def examine(self, pictures, person):
        assert person == "ID_2"
        rows = [{**GOOD, "confidence": 0.0 if picture[0, 0, 1] else 1.0} for picture in pictures]
        return rows, numpy.stack([unit(int(picture[0, 0, 0])) for picture in pictures])


class Drawer:
    """Draws images 1, 2, ... and notes which; every `fails`-th image is refused."""

    def __init__(self, fails):
        self.fails, self.drawn = fails, []

    def __call__(self, numbers):
        self.drawn.append(list(numbers))
        return numpy.stack([self.picture(number) for number in numbers])

    def picture(self, number):
        return numpy.full((8, 8, 3), (number, number % self.fails == 0, 0), dtype=numpy.uint8)


@pytest.fixture
def fake(selector):
    return Fake(**vars(selector))


def chosen(fake, draw, **more):
    settings = {"keep": 5, "most": 20, "batch_size": 4, **more}
    batches = list(selection.select(draw, fake, "ID_2", **settings))
    for batch in batches:
        assert all(picture[0, 0, 0] == row["sample"] for row, picture in batch)
    return [row for batch in batches for row, _ in batch]


def kept(rows):
    return [row["sample"] for row in rows if row["decision"] == KEPT]


def test_it_stops_when_enough_are_kept(fake):
    draw = Drawer(fails=2)
    rows = chosen(fake, draw)
    assert kept(rows) == [1, 3, 5, 7, 9] and [row["sample"] for row in rows] == [*range(1, 10)]
    assert draw.drawn == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    assert selection.acceptance(rows, "ID_2", 5) == (
        "ID_2: kept 5 of 9 drawn (not the person 4, odd motion 0, copy 0, near duplicate 0)"
    )


def test_it_gives_up_at_the_bound(fake):
    draw = Drawer(fails=1)
    rows = chosen(fake, draw, most=10)
    assert not kept(rows) and len(rows) == 10 and draw.drawn[-1] == [9, 10]
    assert "kept 0 of 10" in selection.acceptance(rows, "ID_2", 5)
    assert "5 were asked for: raise --attempts" in selection.acceptance(rows, "ID_2", 5)


def test_a_stopped_run_and_one_that_asks_for_more_go_on(fake):
    whole = chosen(fake, Drawer(fails=3), keep=8)
    for cut in range(len(whole) + 1):
        earlier, draw = whole[:cut], Drawer(fails=3)
        pictures = [draw.picture(number) for number in kept(earlier)]
        rest = chosen(fake, draw, keep=8, earlier=earlier, kept=pictures)
        assert [*earlier, *rest] == whole
        assert all(set(numbers) - {row["sample"] for row in earlier} for numbers in draw.drawn)


def test_a_file_holds_all_that_choosing_needs(selector, tmp_path):
    path = tmp_path / "judge.safetensors"
    selector.save(path)
    again = Selector.load(path)
    assert (again.people, again.bounds, again.training_files) == (PEOPLE, BOUNDS, ["aa", "bb"])
    pictures = RNG.integers(0, 256, (3, 256, 256, 3), dtype=numpy.uint8)
    (rows, units), (before, _) = again.examine(pictures, "ID_2"), selector.examine(pictures, "ID_2")
    assert [row["confidence"] for row in rows] == [row["confidence"] for row in before]
    assert [row["motion_odd"] for row in rows] == [row["motion_odd"] for row in before]
    assert [row["novelty"] for row in rows] == pytest.approx([row["novelty"] for row in before], rel=1e-2)
    assert numpy.linalg.norm(units, axis=(1, 2)) == pytest.approx(numpy.ones(3), rel=1e-5)
    selector.judge.save(tmp_path / "other.safetensors", PEOPLE)
    with pytest.raises(ValueError, match="other.safetensors: not a selecting judge"):
        Selector.load(tmp_path / "other.safetensors")
    replace(selector, motion=selector.motion[:, 1:].copy()).save(path)
    with pytest.raises(ValueError, match=f"another version.*expected {len(QUANTITIES)}"):
        Selector.load(path)
    with pytest.raises(FileNotFoundError, match="stage4_evaluate.py judge makes one"):
        Selector.load(tmp_path / "absent.safetensors")


def test_bounds_are_quantiles_of_the_held_out_pictures(monkeypatch):
    """A judge of fixed opinion: what is measured of the held-out images, and no other, sets the bounds."""
    monkeypatch.setattr(selection, "train_judge", lambda *given, **more: SmallJudge(2).eval())
    part = ImageSet(
        RNG.integers(0, 256, (30, 128, 64, 3), dtype=numpy.uint8),
        numpy.arange(30) % 2,
        numpy.zeros((30, 6)),
        numpy.zeros((30, 32)),
    )
    everything = part.at(numpy.arange(10))
    judge, bounds = selection.train_selector(part, part, everything, PEOPLE, 0)
    confidence, novelty, units = selection.measures(judge, part, selection.luma(everything.images))
    assert (novelty[:10] < 1e-3).all() and (novelty[10:] > 0.5).all()  # ten of them are training images
    assert (confidence < bounds["confidence"]).mean() == pytest.approx(0.1, abs=0.04)
    assert bounds["novelty"] == numpy.quantile(novelty, 0.01)
    apart = selection.nearness(units, units)
    pairs = [apart[i, j] for i in range(30) for j in range(i) if (i - j) % 2 == 0]
    assert bounds["near"] == pytest.approx(numpy.quantile(pairs, 0.01), rel=1e-3)


def records(folder, counts):
    """Files of that many images of each person, all different."""
    files = []
    for person, count in counts.items():
        for number in range(count):
            path = folder / person / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{folder.name}/{person}/{number}")
            files.append(ImageRecord(path, f"{person}/{number}.png", person))
    return files


def test_halves_are_blocks_with_a_gap():
    def listed(counts):
        return [ImageRecord(Path(), f"{who}/{n}", who) for who, count in counts.items() for n in range(count)]

    first, second = selection.halves(listed({"a": 21, "b": 4, "c": 1}))
    assert [record.relative for record in first] == [*(f"a/{n}" for n in range(9)), "b/0", "b/1", "c/0"]
    assert [record.relative for record in second] == [*(f"a/{n}" for n in range(12, 21)), "b/3"]


def test_a_judge_scores_only_what_it_has_not_chosen(tmp_path):
    real = {name: records(tmp_path / name, {"ID_1": 21, "ID_2": 9}) for name in ("train", "val", "test")}
    first = [*selection.halves(real["train"])[0], *selection.halves(real["val"])[0]]
    digest = selection.digest_of([file_digest(record.path) for record in reversed(first)])
    train, val = selection.scoring_parts(real, digest, "generated")
    assert len(train) == len(val) == 12 and not set(train + val) & set(first)
    assert selection.scoring_parts(real, None, "generated") == (real["train"], real["val"])
    whole = selection.digest_of([file_digest(record.path) for record in real["train"]])
    with pytest.raises(ValueError, match="generated: these images were selected by a judge that was not"):
        selection.scoring_parts(real, whole, "generated")
    real["train"][0].path.write_text("another image")
    with pytest.raises(ValueError, match="may share images"):
        selection.scoring_parts(real, digest, "generated")
