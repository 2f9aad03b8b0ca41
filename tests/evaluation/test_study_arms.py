"""By which odds each arm draws from the pool, and that a classifier learns by them."""

import numpy
import pytest
import torch

from configs.schema import SECTIONS
from evaluation.study_arms import (
    ALL,
    ARMS,
    EASIEST,
    HARDEST,
    MIXED,
    ONLY,
    PRETRAINED,
    REFERENCE,
    WEIGHT,
    WEIGHTED,
    WITHOUT,
    Pool,
    odds_of,
    train_by_odds,
)

# Person 0: two real images, two further ones, three generated; person 1: four real ones.
LABELS = numpy.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
SOURCES = numpy.array([0, 0, 1, 1, 2, 2, 2, 0, 0, 0, 0])
MARGINS = numpy.array([0, 0, 0, 0, 3.0, -1.0, 2.0, 0, 0, 0, 0])
POOL = Pool(numpy.zeros((11, 128, 64, 3), dtype=numpy.uint8), LABELS, SOURCES)
OTHERS = [1 / 8] * 4


@pytest.mark.parametrize(
    ("arm", "phases"),
    [
        (REFERENCE, [[1 / 4, 1 / 4, 0, 0, 0, 0, 0]]),
        (ALL, [[1 / 8, 1 / 8, 1 / 8, 1 / 8, 0, 0, 0]]),
        (MIXED, [[1 / 10, 1 / 10, 0, 0, 1 / 10, 1 / 10, 1 / 10]]),
        (ONLY, [[0, 0, 0, 0, 1 / 6, 1 / 6, 1 / 6]]),
        (PRETRAINED, [[0, 0, 0, 0, 1 / 6, 1 / 6, 1 / 6], [1 / 4, 1 / 4, 0, 0, 0, 0, 0]]),
        (HARDEST, [[1 / 6, 1 / 6, 0, 0, 0, 1 / 6, 0]]),
        (EASIEST, [[1 / 6, 1 / 6, 0, 0, 1 / 6, 0, 0]]),
    ],
)
def test_both_people_are_equally_likely_and_the_arm_says_by_which_images(arm, phases):
    odds = odds_of(arm, POOL, MARGINS)
    assert numpy.allclose(odds, [phase + OTHERS for phase in phases])


def test_weighted_images_count_less():
    (odds,) = odds_of(WEIGHTED, POOL, MARGINS)
    assert odds[4] / odds[0] == pytest.approx(WEIGHT) and odds[:7].sum() == pytest.approx(0.5)


def test_every_arm_has_odds_that_sum_to_one():
    assert set(ARMS) == set(SECTIONS["study"].__dataclass_fields__["arms"].metadata["choices"])
    for arm in (*ARMS.values(), ALL):
        phases = odds_of(arm, POOL, MARGINS)
        assert numpy.allclose([phase.sum() for phase in phases], 1)
        if arm in WITHOUT:
            assert not sum(phases)[SOURCES == 2].any()


def test_a_classifier_learns_from_what_its_odds_allow_and_again_the_same():
    """Dark and bright images; the generated ones of person 0 are bright as person 1's, so they mislead."""
    pool = POOL._replace(images=POOL.images.copy())
    pool.images[(LABELS == 1) | (SOURCES == 2)] = 255
    tested, seen = pool.images[:1], []

    def look(judge):
        return float(judge.logits(tested).argmax(1)[0] == 0)

    def trained(arm):
        judge, curve = train_by_odds(pool, odds_of(arm, pool), 2, 3, 25, torch.nn.Identity(), look)
        seen.append(curve)
        return judge.logits(pool.images[[0, 4]])

    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = torch.get_rng_state()
        real = trained(REFERENCE)
        assert torch.equal(torch.get_rng_state(), state)
    assert real.argmax(1).tolist() == [0, 1] and torch.equal(real, trained(REFERENCE))
    assert trained(ONLY)[1, 0] > real[1, 0]  # who saw bright images of person 0 doubts more
    assert [len(curve) for curve in seen] == [5, 5, 5] and seen[0][-1] == 1
