"""Several generators beside the same held-out features: the closer one is named, seldom one of two equals."""

import numpy
import pytest

from data.labels import LabelTable
from evaluation.comparison import compare_generators, correct, equal_places, sentence
from evaluation.distances import Values
from evaluation.relative_mmd import relative_test

PEOPLE = LabelTable(("ID_1", "ID_2", "ID_3"))
EACH, SIZE = 8, 8
LABELS = numpy.repeat(numpy.arange(len(PEOPLE)), EACH)


def features(rng, centres, shift=0.0):
    return centres[LABELS] + shift + rng.normal(size=(len(LABELS), SIZE))


@pytest.mark.parametrize(
    ("shift", "other"), [(0.0, 0.0), (0.5, 0.5), (0.5, -0.5)], ids=["perfect", "alike", "as far"]
)
def test_of_two_that_are_as_far_none_is_closer(shift, other):
    """200 times at 5 %: 17 or more false alarms would come once in 40 of such series if the rate were 5 %."""
    alarms = 0
    for seed in range(200):
        rng = numpy.random.default_rng(seed)
        centres = rng.normal(size=(len(PEOPLE), SIZE))
        sets = {"held_out": features(rng, centres)}
        sets |= {"A": features(rng, centres, shift), "B": features(rng, centres, other)}
        alarms += relative_test(sets, dict.fromkeys(sets, LABELS), "A", "B")["p"] < 0.05
    assert alarms <= 16


def test_the_squared_mmd_is_that_of_one_dimension():
    """Of single numbers the kernel's means are known: x at 0, A at 0, B at w, w the distance of two in x."""
    x = numpy.array([0.0, 1.0] * 4)[:, None]
    difference = relative_test(
        {"held_out": x, "A": x, "B": 0 * x + 30}, dict.fromkeys(("held_out", "A", "B"), LABELS[:8]), "A", "B"
    )
    near = numpy.exp(-0.5)  # 28 pairs of 8, 12 of them equal; 64 across, half of them equal
    of_a = (24 + 32 * near) / 56 - 2 * (1 + near) / 2
    assert difference["value"] == pytest.approx(of_a - 1) and difference["count"] == 1
    assert difference["interval"][1] < 0 and difference["p"] < 1e-4


def compared(shifts, labels=LABELS, flags=None):
    rng = numpy.random.default_rng(0)
    centres = rng.normal(size=(len(PEOPLE), SIZE))
    sets = {"held_out": features(rng, centres)} | {
        name: features(rng, centres, shift)[: len(labels)] for name, shift in shifts.items()
    }
    whose = {name: LABELS if name == "held_out" else labels for name in sets}
    flags = flags or {name: {"judged_right": labels == 0} for name in shifts}
    return compare_generators({"judge": sets}, whose, flags, PEOPLE)


def test_the_closer_one_is_named_with_what_the_confidence_is_of():
    comparison = compared({"near": 0.1, "far": 1.0, "farther": 1.6})
    assert comparison["generators"] == ["near", "far", "farther"] and comparison["count"] == 3 * EACH
    values = [comparison["distances"]["judge"]["kid"][name]["value"] for name in comparison["generators"]]
    assert values == sorted(values)
    assert [pair["tests"]["judge"]["closer"] for pair in comparison["pairs"]] == ["near", "near", "far"]
    first = comparison["pairs"][0]
    assert first["sentence"].startswith("near is closer to held-out images than far by judge (p ")
    assert first["sentence"].endswith("features (relative MMD test, p corrected for 3 tests).")
    assert comparison["summary"] == [pair["sentence"] for pair in comparison["pairs"]]
    apart = first["distances"]["judge"]["kid"]
    assert apart["value"] == pytest.approx(values[0] - values[1]) and apart["interval"][1] < 0
    assert first["shares"]["judged_right"]["value"] == 0 and first["shares"]["judged_right"]["count"] == 24


def test_shares_are_of_equally_many_images_of_each_person():
    one, other = numpy.array([0, 0, 0, 0, 2]), numpy.array([0, 0, 2, 2, 1])
    assert [places.tolist() for places in equal_places(one, other)] == [[0, 1, 4], [0, 1, 2]]
    assert [len(places) for places in equal_places(one[:4], other[2:])] == [0, 0]


def test_without_common_people_nothing_is_said():
    comparison = compared({"A": 0.0, "B": 0.0}, labels=LABELS[:1] + 7)
    assert (comparison["count"], comparison["people"], comparison["distances"]) == (0, [], {})
    assert comparison["summary"] == [
        "A and B: which is closer cannot be said (too few images of people in both)."
    ]
    assert comparison["pairs"][0]["tests"]["judge"]["p"] is None


def test_equal_distances_are_no_proof_of_equality():
    comparison = compared({"A": 0.3, "B": 0.3})
    assert comparison["pairs"][0]["tests"]["judge"]["closer"] is None
    assert (
        "neither is measurably closer" in comparison["summary"][0]
        and "not show that they are" in comparison["summary"][0]
    )


def test_spaces_may_disagree():
    tests = {
        "judge": {"p": 1e-6, "adjusted_p": 2e-6, "closer": "A"},
        "radar": {"p": 0.01, "adjusted_p": 0.01, "closer": "B"},
    }
    right = {"value": -0.25, "interval": [-0.4, -0.1], "count": 40}
    said = sentence({"generators": ["A", "B"], "tests": tests, "shares": {"judged_right": right}}, 2)
    assert said.endswith(" The judge names A right less often, by 25 points (10 to 40).")
    assert said.startswith("A is closer to held-out images than B by judge (p < 0.0001), but B is closer to ")
    assert "than A by radar (p = 0.01) features" in said


def test_p_is_corrected_by_holm():
    tests = [{"p": p} for p in (0.01, 0.04, None, 0.03)]
    correct(tests)
    assert [test["adjusted_p"] for test in tests] == [pytest.approx(0.03), 0.06, None, 0.06]


def test_what_no_half_can_measure_has_no_interval():
    unknown = Values(numpy.array([0.1, 0.2]), numpy.array([numpy.nan, numpy.nan]))
    assert unknown.estimate(5) == {"value": pytest.approx(0.15), "interval": None, "count": 5}
    missing = Values(numpy.array([numpy.nan]), numpy.array([numpy.nan]))
    assert missing.estimate(1) == {"value": None, "interval": None, "count": 1}
