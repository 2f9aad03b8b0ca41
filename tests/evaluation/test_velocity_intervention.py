"""Slopes of velocity over speed: exact where they are known, 1 for simulated walkers, 0 where a condition is
ignored.
"""

import math

import numpy
import pytest

import stage0_prepare
from configs.errors import UserError
from data.conditions import Conditions
from data.images import find_images
from data.labels import LabelTable
from evaluation.features import ImageSet, read
from evaluation.velocity_intervention import followed_speeds, in_words, median_velocities, read_truth, slope

FOLDERS = LabelTable(tuple(f"ID_{person}_{gait}" for person in (1, 2) for gait in ("slow", "fast")))
TABLE = Conditions.from_folders(FOLDERS, "_[a-z]+$")
SPEEDS = {"ID_1_slow": 1.0, "ID_1_fast": 1.5, "ID_2_slow": 0.8, "ID_2_fast": 1.0, "ID_3_fast": 1.2}


def moved(*slopes):
    """Velocities that follow the speeds of each person by a slope, with a factor of the person's own."""
    whose = {1: (0.9, slopes[0]), 2: (1.3, slopes[1])}
    by_folder = {folder: whose[int(folder[3])] for folder in FOLDERS.names}
    return {folder: factor * SPEEDS[folder] ** power for folder, (factor, power) in by_folder.items()}


@pytest.mark.parametrize("power", [1.0, 0.0, 0.4])
def test_a_slope_that_all_people_share_is_found_exactly(power):
    fit = slope(TABLE, moved(power, power), moved(power, power), SPEEDS)
    assert fit["value"] == pytest.approx(power) and fit["interval"] == pytest.approx([power, power])
    assert (fit["people"], fit["combinations"]) == (2, 4)


def test_people_weigh_by_how_far_their_speeds_lie_apart():
    """The slope is that of least squares with an intercept for each person."""
    velocities = moved(1.0, 0.2)
    names = [*FOLDERS.names]
    columns = [[name[3] == "1", name[3] == "2", math.log(SPEEDS[name])] for name in names]
    logs = [math.log(velocities[name]) for name in names]
    expected = numpy.linalg.lstsq(numpy.array(columns, dtype=float), logs, rcond=None)[0][-1]
    fit = slope(TABLE, velocities, velocities, SPEEDS)
    assert fit["value"] == pytest.approx(expected) and 0.6 < expected < 0.9
    low, high = fit["interval"]
    assert low < 0.2 and high > 1 and low + high == pytest.approx(2 * expected)


def test_who_has_one_speed_only_or_none_known_tells_nothing():
    one = {"ID_1_slow": 1.0, "ID_2_fast": 1.0, "ID_1_fast": 3.0}
    known = {"ID_1_slow": 1.0, "ID_2_slow": 1.0, "ID_2_fast": 2.0}
    for velocities, speeds in ((one, known), (moved(1, 1), dict.fromkeys(FOLDERS.names, 1.0))):
        fit = slope(TABLE, velocities, velocities, speeds)
        assert fit == {"value": None, "interval": None, "people": 0, "combinations": 0}
    fit = slope(TABLE, moved(1, 1), moved(1, 1), {"ID_1_slow": 1.0, "ID_1_fast": 1.5, "ID_2_slow": 1.0})
    assert fit["value"] == pytest.approx(1) and fit["interval"] is None and fit["people"] == 1
    assert (in_words(fit), in_words({"value": None, "interval": None})) == ("1.00", "unknown")


def images(velocities, folders):
    """Sets of images of which nothing but the torso velocity is looked at, three of each folder."""
    motion = numpy.full((3 * len(velocities), 6), numpy.nan)
    motion[:, 0] = numpy.outer([*velocities.values()], (0.5, 1, 1.1)).ravel()  # the median counts
    labels = numpy.repeat([folders.index(name) for name in velocities], 3)
    return ImageSet(numpy.empty(0), labels, motion, numpy.empty(0))


def test_what_training_lacks_is_told_from_what_it_has_of_the_person(tmp_path):
    recorded = LabelTable(FOLDERS.names[:-1])  # in natural order: without ID_2_slow
    table = Conditions.from_folders(recorded, "_[a-z]+$")
    ours = {name: value for name, value in moved(1, 1).items() if name in recorded.names}
    sets = {kind: images(ours, recorded) for kind in ("train", "held_out", "generated")}
    new = images({"ID_2_slow": 1.3 * 0.8**0.25}, table.labels)  # from 1 to 0.8 m/s a slope of a quarter

    figures = followed_speeds(table, sets, new, recorded, None)
    assert figures["against"] == "training images" and figures["unknown_speed"] == ["ID_2_slow"]
    assert [figures[kind]["value"] for kind in ("generated", "real")] == pytest.approx([1, 1])
    assert figures["unrecorded"]["value"] is None
    assert figures["folders"]["ID_1_fast"]["speed"] == figures["folders"]["ID_1_fast"]["real"]

    rows = "".join(f"{name},{speed}\n" for name, speed in SPEEDS.items())
    (tmp_path / "truth.csv").write_text(f"user,speed_mps\n{rows}")
    figures = followed_speeds(table, sets, new, recorded, str(tmp_path / "truth.csv"))
    assert figures["against"] == "true speeds" and figures["unknown_speed"] == []
    unrecorded = figures["unrecorded"]
    assert (unrecorded["value"], unrecorded["people"]) == (pytest.approx(0.25), 1)
    assert unrecorded["interval"] is None and figures["generated"]["value"] == pytest.approx(1)
    kinds = {name: folder["combination"] for name, folder in figures["folders"].items()}
    assert [name for name, kind in kinds.items() if kind == "unrecorded"] == ["ID_2_slow"]


def test_simulated_walkers_follow_and_images_that_ignore_the_condition_do_not(tmp_path):
    """Every person in three gaits of different speed: a slope of 1 within its interval, at most 0.2 wide to
    each side; images of one gait handed in for all give 0.
    """
    people = ("--num_users", "4", "--samples_per_user", "8", "--gaits", "normal", "hurried", "backpack")
    stage0_prepare.main(["simulate", "--output_dir", str(tmp_path / "sim"), *people, "--seed", "3"])
    records = find_images(tmp_path / "sim").records
    folders = LabelTable(tuple({record.user for record in records}))
    table, truth = Conditions.from_folders(folders, "_[a-z]+$"), read_truth(tmp_path / "sim/truth.csv")
    assert len(truth) == 12 and truth["ID_1_hurried"] == pytest.approx(1.3 * truth["ID_1_normal"])
    velocities = median_velocities(read(records, folders, (-1.225, 5.175, 2.108), "jet"), folders)
    fit = slope(table, velocities, velocities, truth)
    low, high = fit["interval"]
    assert low < 1 < high < low + 0.4 and (fit["people"], fit["combinations"]) == (4, 12)
    ignoring = {name: velocities[f"{name[:4]}_normal"] for name in folders.names}
    assert slope(table, ignoring, ignoring, truth)["value"] == pytest.approx(0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user,speed\nID_1,1\n", "speed_mps '': expected a speed above 0"),
        ("user,speed_mps\nID_1,fast\n", "speed_mps 'fast': expected a speed above 0"),
        ("user,speed_mps\nID_1,-1\n", "speed_mps '-1': expected a speed above 0"),
        ("name,speed_mps\nID_1,1\n", "no column user"),
    ],
)
def test_a_table_without_speeds_is_refused(tmp_path, text, said):
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(UserError, match="truth.csv: ") as error:
        read_truth(tmp_path / "truth.csv")
    assert said in str(error.value)
