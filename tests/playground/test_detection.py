"""d′ against known answers and against observers whose d′ is known."""

import math

import numpy
import pytest

from data.tables import aligned
from playground.detection import (
    EVERYBODY,
    GENERATED,
    HEAD,
    KIND,
    REAL,
    WHICH,
    table,
    two_alternatives,
    yes_no,
)

MANY = 10**6  # where the correction is nothing


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((800_000, MANY, 400_000, MANY), 0.8416 + 0.2533),  # z(0.8) - z(0.4) of a normal table
        ((691_462, MANY, 308_538, MANY), 1.0),  # half a deviation on each side
        ((7, 20, 7, 20), 0.0),
        ((10, 10, 0, 10), 2 * 1.6906),  # (10 + 1/2) / (10 + 1)
        ((0, 10, 10, 10), -2 * 1.6906),
    ],
)
def test_yes_no_gives_known_answers(counts, expected):
    estimate = yes_no(*counts)
    assert estimate.value == pytest.approx(expected, abs=1e-4)
    assert estimate.low < estimate.value < estimate.high


def test_the_interval_is_gourevitch_and_galanters():
    """At rates of a half a quantile's variance is 1/4 over n times the squared density, 1/2π."""
    estimate = yes_no(50, 100, 50, 100)
    assert estimate.high == pytest.approx(1.96 * math.sqrt(2 * (0.25 / 100) * 2 * math.pi), abs=1e-3)
    assert estimate.low == pytest.approx(-estimate.high)


@pytest.mark.parametrize(
    ("right", "count", "expected"),
    [(760_250, MANY, 1.0), (921_350, MANY, 2.0), (10, 20, 0.0), (20, 20, math.sqrt(2) * 1.9808)],
)
def test_two_alternatives_give_known_answers(right, count, expected):
    assert two_alternatives(right, count).value == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_intervals_hold_the_truth_of_simulated_observers(truth):
    """They see numbers of deviation 1, call those above the middle generated, and take the larger of two."""
    draw, count, times = numpy.random.default_rng(0), 60, 1000
    seen = draw.normal(size=(times, 2, count)) + numpy.array([[truth], [0.0]])
    called, chosen = (seen > truth / 2).sum(2), (seen[:, 0] > seen[:, 1]).sum(1)
    for estimates in (
        [yes_no(hits, count, alarms, count) for hits, alarms in called.tolist()],
        [two_alternatives(right, count) for right in chosen.tolist()],
    ):
        assert numpy.mean([one.value for one in estimates]) == pytest.approx(truth, abs=0.05)
        assert 0.93 <= numpy.mean([one.low <= truth <= one.high for one in estimates]) <= 0.98


def test_answers_become_a_table_by_question_kind_and_person():
    def row(question, person, kind, truth, answer):
        return {"question": question, "person": person, "kind": kind, "truth": truth, "answer": answer}

    rows = [row(KIND, f"ID_{n % 2 + 9}", kind, kind, REAL) for n in range(4) for kind in (REAL, GENERATED)]
    rows += [row(WHICH, "ID_9", REAL, "left", "left"), row(WHICH, "ID_10", GENERATED, "left", "right")]
    lines = table(rows)
    assert [line[:3] for line in lines] == [
        *((KIND, "real and generated", person) for person in (EVERYBODY, "ID_9", "ID_10")),
        *((WHICH, "real", person) for person in (EVERYBODY, "ID_9")),
        *((WHICH, "generated", person) for person in (EVERYBODY, "ID_10")),
    ]
    assert lines[0][3] == "50% (22% to 78% of 8)" and lines[0][4].startswith("0.00 (")
    assert lines[3][3].startswith("100% (") and lines[5][3].startswith("0% (")
    said = aligned([HEAD, *lines], left=True)
    assert len({line.index(EVERYBODY) for line in said if EVERYBODY in line}) == 1


def test_without_one_of_the_kinds_there_is_no_d_prime():
    row = {"question": KIND, "person": "ID_1", "kind": REAL, "truth": REAL, "answer": REAL}
    assert table([row])[0][4] == "-"
