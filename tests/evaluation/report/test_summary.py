"""The sentences follow the figures: each verdict from figures that call for it."""

import numpy
import pytest

from evaluation.estimates import share_of
from evaluation.report.summary import DOUBTFUL, GOOD, POOR, UNKNOWN, answers, sentences


def share(hits, count=100):
    one = share_of(numpy.arange(count) < hits)
    return {**one, "per_person": {"ID_1": one}}


def both(generated, floor):
    kinds = {"generated": generated, "floor": floor}
    return {kind: {"value": at, "interval": [at - 0.1, at + 0.1], "count": 50} for kind, at in kinds.items()}


def cadence(generated):
    return {"cadence": {"unit": "steps/s", **both(generated, 0.1)}}


def variety(generated, count=9):
    vendi = {"real": {"ID_1": 5.0}, "generated": {"ID_1": generated}, "counts": {"ID_1": count}}
    return {"judge": {"vendi": vendi}}


def study(sentence, equal_within=None, seeds=8):
    difference = {"value": 0.01, "interval": [-0.01, 0.02], "reference": "real + classic"}
    difference |= {"equal_within": equal_within, "detectable": 0.05}
    verdict = {
        "seeds": seeds,
        "primary": "x1",
        "differences": {"x1": difference},
        "beyond_best_real": difference,
    }
    return {**verdict, "sentence": sentence}


def metrics(**changed):
    real = {"judged_right": share(95), "memorised": share(1), "impossible": share(2)}
    generated = {name: changed.pop(name, value) for name, value in real.items()}
    return {
        "real": real,
        "generated": generated,
        "chance": 0.1,
        "held_out": "test",
        "distances": {"judge": {"kid": both(0.05, 0.0)}},
        "diversity": variety(4.6),
        "kinematics_distance": cadence(0.1),
        **changed,
    }


SAME, COPIED = "makes no measurable difference", {"data_copying": {"c_t": -3.1}}


@pytest.mark.parametrize(
    ("question", "word", "start", "changed"),
    [
        ("person", GOOD, "The person: ", {}),
        ("person", GOOD, "The person: ", {"judged_right": share(100)}),
        ("person", DOUBTFUL, "The person in part: ", {"judged_right": share(60)}),
        ("person", POOR, "Hardly the person: ", {"judged_right": share(40)}),
        ("person", POOR, "Not the person: ", {"judged_right": share(12)}),
        ("person", UNKNOWN, "", {"judged_right": share(9, 10)}),  # 10 points less, or none
        ("person", UNKNOWN, "", {"judged_right": share(1, 2)}),  # at chance, or always
        ("new", GOOD, "New: ", {}),
        ("new", GOOD, "New: ", {"data_copying": {"c_t": -2.9}}),
        ("new", UNKNOWN, "", {"memorised": share(0, 10)}),
        ("new", DOUBTFUL, "New one by one, but", COPIED),
        ("new", POOR, "Copies: ", {"memorised": share(20)}),
        ("physical", GOOD, "Physical: ", {}),
        ("physical", UNKNOWN, "", {"impossible": share(0, 10)}),
        ("physical", DOUBTFUL, "Not always physical: ", {"impossible": share(30)}),
        ("physical", DOUBTFUL, "Physical one by one, but", {"kinematics_distance": cadence(0.5)}),
        ("physical", POOR, "Mostly not physical: ", {"impossible": share(90)}),
        ("varied", GOOD, "Diverse: ", {}),
        ("varied", DOUBTFUL, "Less diverse", {"diversity": variety(3.0)}),
        ("varied", POOR, "Not diverse", {"diversity": variety(1.2)}),
        ("varied", UNKNOWN, "", {"diversity": variety(4.6, count=4)}),
        ("varied", UNKNOWN, "", {"diversity": {}}),
        ("useful", UNKNOWN, "", {}),
        ("useful", GOOD, "", {"verdict": study("helps")}),
        ("useful", POOR, "", {"verdict": study("harms")}),
        ("useful", UNKNOWN, "", {"verdict": study(SAME)}),
        ("useful", DOUBTFUL, "", {"verdict": study(SAME, 0.03)}),
    ],
)
def test_a_word_stands_only_where_the_figures_carry_it(question, word, start, changed):
    figures = metrics(**changed)
    answer = answers(figures)[question]
    assert answer["word"] == word and answer["sentence"] in sentences(figures)
    assert answer["sentence"].startswith(start)


def test_sets_that_can_be_told_apart():
    apart = metrics(distances={"radar": {"kid": both(0.5, 0.0)}})
    assert sentences(metrics())[4].startswith("As a set they cannot be told")
    assert sentences(apart)[4].startswith("As a set they can be told from real ones by")


def test_a_weak_judge_calls_nobody_the_person():
    figures = metrics()
    for hits, word in ((85, GOOD), (75, UNKNOWN)):
        figures["real"]["judged_right"], figures["generated"]["judged_right"] = share(hits), share(hits + 5)
        assert answers(figures)["person"]["word"] == word
    assert ", as far as this judge can tell; 80%" in answers(figures)["person"]["sentence"]


EACH, ONE = "each of two kinds of judge ", "by one kind of judge only: the convolutional judge "


@pytest.mark.parametrize(
    ("network", "linear", "word", "start"),
    [
        (95, 95, GOOD, f"The person: {EACH}recognises generated images as it does real ones"),
        (95, 60, DOUBTFUL, f"The person {ONE}recognises generated "),
        (60, 95, DOUBTFUL, f"The person {ONE}recognises generated "),
        (12, 60, DOUBTFUL, f"The person in part {ONE}does no "),
        (60, 60, DOUBTFUL, f"The person in part: {EACH}recognises generated images less "),
        (
            40,
            12,
            POOR,
            "Hardly the person: the convolutional judge recognises few generated images, the linear ",
        ),
        (12, 12, POOR, f"Not the person: {EACH}does no better than chance on generated "),
        (
            95,
            85,
            GOOD,
            "The person: the convolutional judge recognises generated images as it does real ones, ",
        ),
    ],
)
def test_what_both_judges_say_is_told_from_what_one_says(network, linear, word, start):
    figures = metrics(judged_right=share(network), agreement=agreement(linear))
    answer = answers(figures)["person"]
    assert answer["word"] == word and answer["sentence"].startswith(start)
    assert answer["sentence"].endswith(
        "10% by chance; both judges name 8% of generated and 8% of real images right."
    )


def agreement(linear):
    parts = {"both": share(8), "network_only": share(4), "linear_only": share(2), "neither": share(1)}
    return {kind: {**parts, "linear": share(hits)} for kind, hits in (("real", 95), ("generated", linear))}


def test_whether_velocities_follow_the_speed():
    def said(low, high, real=None):
        slope = {"value": (low + high) / 2, "interval": [low, high], "people": 4, "combinations": 12}
        slope |= {} if high else {"value": None, "interval": None}
        slopes = {"against": "true speeds", "generated": slope, "real": {"value": 1.0, "interval": real}}
        (sentence,) = [
            line
            for line in sentences(metrics(velocity_intervention=slopes))
            if " follow " in line or " by more than " in line
        ]
        return sentence

    assert said(0.9, 1.05) == (
        "Velocities follow the speed of a condition: slope 0.98 (0.90 to 1.05) generated, 1.00 real "
        "held-out, against true speeds; 4 people in 12 combinations."
    )
    assert said(0.3, 0.7).startswith("Velocities follow the speed of a condition in part: ")
    assert said(0.3, 0.7, [0.6, 0.8]).startswith("Velocities follow the speed of a condition: ")
    assert said(-0.2, 0.3).startswith("Velocities do not follow the speed of a condition: ")
    assert said(-0.2, 1.3).startswith("Whether velocities follow the speed of a condition cannot be told: ")
    assert said(1.2, 1.3).startswith("Velocities change by more than the speed of a condition: ")
    assert said(0, 0).startswith("Speed: whether velocities follow it cannot be told; it takes two people")


def test_held_out_pictures_that_look_copied_are_no_measure():
    figures = metrics(memorised=share(100))
    for copied, start in ((1, "Copies: "), (90, "Copies: "), (100, "No verdict on new or copied")):
        figures["real"]["memorised"] = share(copied)
        assert sentences(figures)[1].startswith(start)
    assert answers(figures)["new"]["word"] == UNKNOWN
    figures["generated"]["memorised"] = share(0)
    assert sentences(figures)[1].startswith("No verdict on new or copied")


def test_a_few_copies_are_told_where_held_out_images_have_none():
    figures = metrics(memorised=share(2), data_copying={"c_t": -0.5})
    figures["real"]["memorised"] = share(0)
    said = sentences(figures)[1]
    assert said.startswith("Copies among them: generated images repeat training images (2), as no held-out")
    assert said.endswith("three-sample test C_T -0.5.") and answers(figures)["new"]["word"] == DOUBTFUL


def test_figures_are_told_with_their_intervals_and_units():
    said = sentences(metrics(kinematics_distance=cadence(0.5)))
    ending = "95% (89% to 98% of 100) generated, 95% (89% to 98% of 100) real held-out, 10% by chance."
    assert said[0].endswith(ending)
    assert "cadence (off by 0.5 steps/s, real by 0.1)" in said[2]


def test_what_cannot_be_said():
    *_, useful, limits = sentences(metrics())
    assert useful == "Useful: not tried; --verdict trains classifiers with and without them."
    assert limits == "Cannot be said: anything of people, places and radars that are not in the data."
    few = metrics(held_out="val", judged_right=share(3, 4), verdict=study("helps", seeds=5))
    few["real"]["judged_right"] = share(60)
    limits = sentences(few)[-1]
    assert "no test split" in limits and "right on 60% of real" in limits and "somebody has 4" in limits
    assert "(5 seeds, " in limits


def test_the_tokenizer_s_ceiling_is_told():
    check = {"judged_right": share(90), "psnr_db": {"value": 20.94}, "ssim": {"value": 0.752}}
    said = sentences(metrics(tokenizer=check))[6]
    assert said.startswith("The tokenizer's ceiling: ") and "90% (" in said and "20.9 dB, SSIM 0.75." in said


@pytest.mark.parametrize(
    ("low", "start"),
    [
        (0.02, "The judge knows people less well on another day"),
        (-0.02, "The judge knows people on another day as well"),
    ],
)
def test_another_day_is_told_apart(low, start):
    kinds = {kind: {"judged_right": share(hits)} for kind, hits in (("same", 87), ("other", 66))}
    days = {"day": {**kinds, "difference": {"value": 0.21, "interval": [low, 0.3]}}}
    said = sentences(metrics(groups=days))[1]
    assert said.startswith(start) and "87% (" in said and "of the same day as training, 66% (" in said


def test_without_another_day_nothing_is_said_of_it():
    said = sentences(metrics(groups={"day": {"same": {"judged_right": share(87)}}}))
    assert not [line for line in said if line.startswith("The judge knows")]
    assert "anything of another day (held-out images are of the same as training)" in said[-1]


def test_generated_images_must_stand_beside_real_ones_of_the_days_they_learnt():
    days = {"day": {"same": {"judged_right": share(83)}, "other": {"judged_right": share(55)}}}
    days["day"]["difference"] = {"value": 0.28, "interval": [0.1, 0.4]}
    beside = {"judged_right": share(55), "memorised": share(1), "impossible": share(2)}
    (said, *_) = sentences(metrics(groups=days, judged_right=share(52)) | {"real": beside})
    assert said.startswith("The person in part: ") and "real ones of the same day as training (83%" in said
    (said, *_) = sentences(metrics(groups=days, judged_right=share(80)) | {"real": beside})
    assert said.startswith("The person: ")
    figures = metrics(groups=days, judged_right=share(52), agreement=agreement(95)) | {"real": beside}
    assert answers(figures)["person"]["sentence"].startswith(
        "The person in part: the convolutional judge recog"
    )
    assert "the linear one" not in sentences(figures)[0]
