"""Stage 4 with --conditions: people in conditions, one combination of which training lacks."""

import csv
import json

import numpy
import pytest
from test_stage4 import AXES, write_walks
from toy_run import output_of, refusal_of

import stage4_evaluate as stage4

pytestmark = pytest.mark.usefixtures("brief_judges")

SPEED = {"ID_1_slow": 0.8, "ID_1_fast": 1.2, "ID_2_slow": 1.0, "ID_2_fast": 1.5, "ID_3_slow": 0.9}
NEW = {"ID_3_fast": 1.35}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("conditions"), numpy.random.default_rng(0)
    write_walks(folder, {"real/train": 4, "real/val": 2}, rng, SPEED)
    write_walks(folder, {"images": 2}, rng, {**SPEED, **NEW})
    (folder / "table").mkdir()
    with open(folder / "table/samples.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "user"))
        for path in sorted((folder / "images").rglob("*.png")):
            name = f"{path.parent.name}_{path.name}"
            (folder / "table" / name).write_bytes(path.read_bytes())
            rows.writerow((name, path.parent.name))
    with open(folder / "truth.csv", "w", newline="") as file:
        csv.writer(file).writerows((("user", "speed_mps"), *{**SPEED, **NEW}.items()))
    return folder


def given(data, out, generated="images"):
    real = "--real", data / "real", "--generated", data / generated, "--output_dir", out
    return *real, "--judge_seeds", 1


def test_slopes_are_1_and_a_new_combination_is_judged_by_nobody(data, tmp_path):
    asked = ("--axes", *AXES, "--conditions", "_[a-z]+$", "--truth", data / "truth.csv")
    said = output_of(stage4.main, *given(data, tmp_path / "out"), *asked)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    slopes = metrics["velocity_intervention"]
    for kind, people, combinations in (("generated", 2, 4), ("real", 2, 4), ("unrecorded", 1, 1)):
        slope = slopes[kind]
        assert slope["value"] == pytest.approx(1, abs=0.1), kind
        assert (slope["people"], slope["combinations"]) == (people, combinations)
    assert metrics["counts"]["generated"] == 10 and set(metrics["people"]) == {*SPEED}
    assert "read 10 generated images, left out 0, and 2 of combinations not in training" in said
    assert "slope of log velocity over log speed (true speeds): generated " in said
    sentence = next(line for line in metrics["summary"] if line.startswith("Velocities follow the speed"))
    assert "in combinations that training lacks" in sentence and "2 people in 4 combinations" in sentence
    page = (tmp_path / "out/report.html").read_text()
    assert "Does the velocity follow the speed?" in page and "ID_3_fast" in page
    again = output_of(stage4.main, *given(data, tmp_path / "out"), *asked)
    assert "skipped" in again
    both = (*given(data, tmp_path / "both")[:2], "--output_dir", tmp_path / "both", "--judge_seeds", 1)
    said = output_of(stage4.main, *both, *asked, "--generated", data / "images", data / "table")
    other = json.loads((tmp_path / "both/metrics.json").read_text())["generators"]
    assert [other[name]["velocity_intervention"] for name in ("images", "table")] == [slopes, slopes]
    assert "table: slope of log velocity over log speed (true speeds): generated " in said


def test_what_it_requires_is_told(data, tmp_path):
    def refused(*more):
        return refusal_of(stage4.main, *given(data, tmp_path / "out"), *more, unchanged=data)

    assert "--conditions: requires velocities in m/s" in refused("--conditions", "_[a-z]+$")
    assert "requires --conditions" in refused("--axes", *AXES, "--truth", data / "truth.csv")
    asked = ("--axes", *AXES, "--conditions", "_[a-z]+$", "--truth")
    assert "--truth absent.csv: no such file" in refused(*asked, "absent.csv")
    assert "found in none of the folders" in refused("--axes", *AXES, "--conditions", "_[0-9]{3}$")
