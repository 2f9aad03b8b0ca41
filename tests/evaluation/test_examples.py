"""Images to look at: whom a person is taken for, the best and the worst ones."""

from pathlib import Path

import numpy

from data.images import ImageRecord
from data.labels import LabelTable
from evaluation.examples import examples_of

PEOPLE = LabelTable(("ID_1", "ID_2", "ID_3"))
DRAWN = numpy.array(
    [
        *([0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6], [0.6, 0.3, 0.1]),
        *([0.3, 0.6, 0.1], [0.1, 0.9, 0.0]),
    ]
)
REAL = numpy.array([[0.9, 0.0, 0.1], [0.5, 0.3, 0.2], [0.7, 0.2, 0.1], [0.2, 0.2, 0.6]])
LABELS = {"generated": numpy.array([0, 0, 0, 0, 0, 1, 1]), "held_out": numpy.array([0, 0, 0, 2])}


def test_the_person_whom_most_are_taken_for_the_best_and_the_worst():
    examples = examples_of(DRAWN, REAL, LABELS, PEOPLE)
    assert list(examples) == ["ID_1", "ID_2"]
    one, two = examples.values()
    assert (one.other, one.taken, one.count, one.confused) == (2, 2, 5, 1)  # two are named ID_3, one ID_2
    assert (one.best, one.worst) == ([0, 4, 3], [1, 2])  # none is both
    assert (one.real, one.other_real) == (2, 3)  # the median of three
    assert (two.other, two.taken, two.confused) == (0, 0, 5)  # by the mean probability, as none is wrong
    assert (two.best, two.worst, two.real, two.other_real) == ([6], [5], None, 2)


def test_they_are_told_by_name_with_probabilities():
    drawn = [ImageRecord(Path(f"/x/{at}.png"), f"{at}.png", "") for at in range(len(DRAWN))]
    real = [ImageRecord(Path("x.png"), f"ID/{at}.png", "") for at in range(len(REAL))]
    one, two = (
        example.entry(real, drawn, PEOPLE) for example in examples_of(DRAWN, REAL, LABELS, PEOPLE).values()
    )
    assert one["confused"] == {"image": "1.png", "probability": 0.1, "named": "ID_3"}
    assert (one["other"], one["real"], one["other_real"]) == ("ID_3", "ID/2.png", "ID/3.png")
    assert two["best"] == [{"image": "6.png", "probability": 0.9}] and "real" not in two
