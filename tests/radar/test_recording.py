"""Recordings of simulated walkers: images show what their truth says, and seeds decide all."""

import itertools
import json
import math
from collections import defaultdict

import numpy
import pytest
from PIL import Image
from scipy.constants import speed_of_light
from tables import rows_of
from toy_run import changed, copy_of, digest_of, digests, names, output_of, snapshot

import configs.schema
import stage0_prepare
from radar import recording
from radar.colormap import from_rgb
from radar.echoes import Radar
from radar.kinematics import from_image
from radar.person import DRAWN_GAITS, GAITS, Walker, draw_walker
from radar.recording import COLOUR_MAPS, Setup, draw_recording, draw_setup
from radar.walker import Walk

HALF_BIN = 0.025  # m/s: images end half a bin beyond the middles of their outermost bins
TRUTHS = ("torso_mean_mps", "torso_min_mps", "torso_max_mps", "fastest_mps", "slowest_mps")


def record(seed, count=2, walker=None, setup=None, approaching=True):
    """A walk and its windows."""
    rng = numpy.random.default_rng(seed)
    walk, windows = draw_recording(walker or draw_walker(rng), count, setup or Setup(), rng, approaching)
    return walk, list(windows)


@pytest.fixture
def straight(monkeypatch):
    """Walks go along the line of sight, at an even speed and without turns."""

    def walk(rng, duration_s, speed_mps, approaching):
        return Walk(duration_s, approaching, start_range_m=2.0 * duration_s * approaching + 8.0)

    monkeypatch.setattr(recording, "draw_walk", walk)


def read(picture, approaching=True):
    """Kinematics of an image of the default make."""
    low, high = (-1.2, 5.2) if approaching else (-5.2, 1.2)
    return from_image(numpy.asarray(picture), (low - HALF_BIN, high - HALF_BIN, 55 * Setup().frame_s))


def native(picture):
    """(V, T) brightness of a default image's 128 x 55 cells."""
    rows, columns = (((numpy.arange(n) + 0.5) * 256 / n).astype(int) for n in (128, 55))
    return from_rgb(numpy.asarray(picture))[rows][:, columns]


def mean_of(windows, name):
    return numpy.mean([getattr(window, name) for window in windows])


# Images and their truth


def test_a_seed_gives_the_same_pictures_and_truth_and_another_seed_others():
    one, again, other = (record(seed)[1] for seed in (1, 1, 2))
    for first, second, third in zip(one, again, other, strict=True):
        assert first.image.tobytes() == second.image.tobytes() != third.image.tobytes()
        for name in TRUTHS:
            assert getattr(first, name) == getattr(second, name) != getattr(third, name)


@pytest.mark.parametrize("approaching", [True, False])
@pytest.mark.parametrize("speed", [0.8, 1.0, 1.2, 1.35])
def test_a_picture_shows_the_speed_and_cadence_of_a_straight_walk(straight, speed, approaching):
    walker, sign = Walker(speed_mps=speed), 1 if approaching else -1
    _, windows = record(3, 4, walker, approaching=approaching)
    shown = [read(window.image, approaching) for window in windows]
    assert mean_of(windows, "torso_mean_mps") == pytest.approx(sign * speed, rel=0.015)
    assert mean_of(shown, "torso_velocity_mps") == pytest.approx(sign * speed, rel=0.02)
    assert numpy.median([k.cadence_hz for k in shown]) == pytest.approx(walker.cadence_hz, rel=0.03)


def test_receding_mirrors_approaching(straight):
    (_, approaching), (_, receding) = (record(5, 2, Walker(), approaching=way) for way in (True, False))
    for towards, away in zip(approaching, receding):
        mirrored = dict(zip(TRUTHS, (TRUTHS[0], TRUTHS[2], TRUTHS[1], TRUTHS[4], TRUTHS[3]), strict=True))
        for name, other in mirrored.items():
            assert getattr(away, other) == pytest.approx(-getattr(towards, name), abs=0.06)
        flipped = read(away.image.transpose(Image.Transpose.FLIP_TOP_BOTTOM))  # axis now -1.175 … 5.225
        assert flipped.torso_velocity_mps == pytest.approx(read(towards.image).torso_velocity_mps, abs=0.08)
        assert flipped.bandwidth_mps == pytest.approx(read(towards.image).bandwidth_mps, rel=0.1)


def test_pictures_are_rgb_of_256_pixels_and_truths_are_in_order():
    _, windows = record(0, 3)
    for window in windows:
        assert window.image.size == (256, 256) and window.image.mode == "RGB"
        names = "slowest_mps", "torso_min_mps", "torso_mean_mps", "torso_max_mps", "fastest_mps"
        assert (numpy.diff([getattr(window, name) for name in names]) > 0).all()
    assert numpy.diff([window.edges["start_s"] for window in windows]) == pytest.approx(14 * Setup().frame_s)
    assert Setup().frame_s == pytest.approx(1 / 26, rel=0.01)


def test_windows_overlap_by_three_quarters():
    """41 of 55 columns are the same cells; only the brightness of the whole image may differ, and with it
    the colours between two cells."""
    _, windows = record(4, 3)
    for earlier, later in zip(windows, windows[1:]):
        before, after = native(earlier.image)[:, 14:], native(later.image)[:, :-14]
        inside = (numpy.minimum(before, after) > 0.02) & (numpy.maximum(before, after) < 0.98)
        assert inside.mean() > 0.3 and (before - after)[inside].std() < 0.02
        assert (native(earlier.image)[:, :41] - after)[inside].std() > 0.1


# Setups


def test_setups_vary_within_what_they_say():
    setups = [draw_setup(numpy.random.default_rng(seed)) for seed in range(300)]
    spans = [setup.velocity_mps[1] - setup.velocity_mps[0] for setup in setups]
    ranges = {
        (6.4, 10): spans,
        (-0.5, -0.15): [setup.velocity_mps[0] / span for setup, span in zip(setups, spans)],
        (-45, -15): [setup.radar.noise_db for setup in setups],
        (0.3, 0.95): [setup.radar.scintillation_share for setup in setups],
        (20, 40): [setup.frames_per_second for setup in setups],
        (24, 45): [setup.dynamic_range_db for setup in setups],
        (70, 95): [setup.jpeg_quality for setup in setups if setup.jpeg_quality is not None],
        (40, 128): [setup.num_frames for setup in setups],
    }
    for (low, high), drawn in ranges.items():
        assert low - 1e-9 <= min(drawn) < max(drawn) <= high + 1e-9 and numpy.ptp(drawn) > 0.9 * (high - low)
    choices = {
        (5.8e9, 9.8e9, 24e9, 60e9, 77e9): [setup.radar.carrier_hz for setup in setups],
        (64, 128, 192, 256): [setup.num_bins for setup in setups],
        (1, 2, 3, 4): [setup.radar.looks for setup in setups],
        (0.0, 0.5, 2.0): [setup.radar.bursts_per_s for setup in setups],
        COLOUR_MAPS: [setup.colour_map for setup in setups],
        (Image.Resampling.NEAREST, Image.Resampling.BILINEAR): [setup.resampling for setup in setups],
    }
    for choice, drawn in choices.items():
        assert set(drawn) == set(choice)
    assert any(setup.jpeg_quality is None for setup in setups)
    for setup, span in zip(setups, spans):  # the whole unambiguous interval is shown
        assert setup.radar.prf_hz * speed_of_light / setup.radar.carrier_hz / 2 == pytest.approx(span)


def test_every_recording_has_the_pictures_asked_for():
    """Also where frames lie a rounded number of samples apart, here 8 instead of 7.6."""
    slow = Radar(carrier_hz=5.8e9)
    assert len(record(0, 12, setup=Setup(slow, frames_per_second=slow.prf_hz / 7.6))[1]) == 12
    for seed in range(8):
        setup = draw_setup(numpy.random.default_rng(seed))
        _, windows = record(seed, 3, setup=setup, approaching=None)
        assert [window.image.size for window in windows] == [(256, 256)] * 3


# Stage 0


VARIED = "--varied --num_users 2 --samples_per_user 10 --recordings_per_user 5".split()
SETTINGS = ("--num_users", "3", "--samples_per_user", "12", "--recordings_per_user", "3")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "sim"
    output_of(stage0_prepare.main, "simulate", "--output_dir", folder, *SETTINGS)
    return folder


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("varied") / "sim"
    output_of(stage0_prepare.main, "simulate", "--output_dir", folder, *VARIED)
    return folder


def truths_of(folder):
    return rows_of(folder / "truth.csv")


def recordings_of(folder):
    """(user, recording) → its rows of truth.csv."""
    grouped = defaultdict(list)
    for row in truths_of(folder):
        grouped[row["user"], row["recording"]].append(row)
    return grouped


def test_truth_has_a_row_for_each_picture_with_what_is_known(simulated, varied):
    columns = {"path", "user", "recording", "cadence_hz", *TRUTHS, "height_m", "speed_mps", "asymmetry"}
    columns |= {"foot_reflectivity", "approaching", "aspect_deg", "start_range_m", "speed_drift", "turns"}
    columns |= {"carrier_hz", "prf_hz", "noise_db", "lowest_mps", "highest_mps", "num_frames", "num_bins"}
    columns |= {"frames_per_second", "dynamic_range_db", "colour_map", "resampling", "jpeg_quality"}
    for folder in simulated, varied:
        rows = truths_of(folder)
        assert {row["path"] for row in rows} == names(folder, "*.png") | names(folder, "*.jpg")
        assert len({row["path"] for row in rows}) == len(rows) and columns <= set(rows[0])
        assert all(row["path"].startswith(f"{row['user']}/rec{row['recording']}_") for row in rows)
        assert {row["resampling"] for row in rows} <= {"NEAREST", "BILINEAR"}
    first = "rec1_001 rec1_002 rec1_003 rec1_004 rec2_001".split()
    assert [row["path"] for row in truths_of(simulated)[:5]] == [f"ID_1/{name}.png" for name in first]


def test_pictures_on_disk_show_what_truth_csv_says(simulated):
    deviations, cadences = [], defaultdict(list)
    for (user, _), rows in recordings_of(simulated).items():
        shown = [read(Image.open(simulated / row["path"])) for row in rows]
        truth = numpy.mean([float(row["torso_mean_mps"]) for row in rows])
        deviations.append(mean_of(shown, "torso_velocity_mps") / truth - 1)
        if not rows[0]["turns"]:
            drifted = truth / float(rows[0]["speed_mps"])  # cadence follows the drifting speed
            cadences[user] += [k.cadence_hz / drifted / float(rows[0]["cadence_hz"]) for k in shown]
    assert numpy.median(numpy.abs(deviations)) < 0.02 and numpy.abs(deviations).max() < 0.04
    for ratios in cadences.values():
        assert numpy.median(ratios) == pytest.approx(1, abs=0.03)


def test_people_differ_and_are_the_same_in_all_their_recordings(simulated):
    bodies = defaultdict(set)
    for row in truths_of(simulated):
        bodies[row["user"]].add((row["height_m"], row["speed_mps"], row["cadence_hz"], row["leg_swing"]))
    assert [len(known) for known in bodies.values()] == [1, 1, 1] and len(set.union(*bodies.values())) == 3
    walks = {(row["user"], row["speed_drift"], row["start_phase"]) for row in truths_of(simulated)}
    assert len(walks) == 9


def test_recordings_differ_in_radar_and_direction_only_when_varied(simulated, varied):
    for folder, several in ((simulated, False), (varied, True)):
        rows = truths_of(folder)
        for column in ("carrier_hz", "approaching", "noise_db", "lowest_mps", "num_frames"):
            assert (len({row[column] for row in rows}) > 1) == several
    assert {row["approaching"] for row in truths_of(simulated)} == {"True"}
    assert json.loads((varied / "run.json").read_text())["varied"]


def test_varied_pictures_are_stored_as_their_truth_says(varied):
    suffixes = set()
    for row in truths_of(varied):
        picture = Image.open(varied / row["path"])
        suffixes.add(row["path"][-3:])
        assert picture.format == ("JPEG" if row["jpeg_quality"] else "PNG")
        assert picture.size == (256, 256) and picture.mode == "RGB"
        sign = 1 if row["approaching"] == "True" else -1
        if not row["turns"]:
            radial = math.cos(math.radians(float(row["aspect_deg"]))) * float(row["speed_mps"])
            assert float(row["torso_mean_mps"]) == pytest.approx(sign * radial, rel=0.12)
    assert suffixes == {"png", "jpg"}


def test_gaits_are_the_same_people_walking_otherwise(simulated, tmp_path):
    folder = tmp_path / "gaits"
    output_of(stage0_prepare.main, "simulate", "--output_dir", folder, *SETTINGS, "--gaits", *GAITS)
    rows = {row["path"]: row for row in truths_of(folder)}
    for row in truths_of(simulated):
        in_gaits = {gait: rows[row["path"].replace("/", f"_{gait}/")] for gait in GAITS}
        for gait, other in in_gaits.items():
            assert other["user"] == f"{row['user']}_{gait}" and other["height_m"] == row["height_m"]
            for name in ("speed_mps", "arm_swing", "torso_reflectivity"):
                assert float(other[name]) == pytest.approx(GAITS[gait].get(name, 1) * float(row[name]))
        plain = in_gaits["normal"]["path"]
        assert digest_of(folder / plain) == digest_of(simulated / row["path"])
        assert len({other["start_phase"] for other in in_gaits.values()}) == len(GAITS)
    for user in ("ID_1", "ID_2", "ID_3"):
        torso = {
            gait: numpy.mean(
                [float(row["torso_mean_mps"]) for row in rows.values() if row["user"] == f"{user}_{gait}"]
            )
            for gait in GAITS
        }
        assert torso["hurried"] > 1.2 * torso["normal"] and torso["backpack"] < torso["normal"]


def test_gaits_have_one_name_each():
    assert set(GAITS) == set(configs.schema.GAITS) and not set(GAITS) & set(DRAWN_GAITS)


def test_drawn_gaits_are_further_ones_of_everybody(tmp_path):
    size = ("--num_users", "2", "--samples_per_user", "1", "--seed", "3")
    output_of(stage0_prepare.main, "simulate", "--output_dir", tmp_path / "out", *size, "--drawn_gaits", "2")
    rows = {row["user"]: row for row in truths_of(tmp_path / "out")}
    assert set(rows) == {f"ID_{user}_{gait}" for user in (1, 2) for gait in ("normal", "ga", "gb")}
    for user, gait in itertools.product((1, 2), ("ga", "gb")):
        for name, factor in DRAWN_GAITS[gait].items():
            expected = factor * float(rows[f"ID_{user}_normal"][name])
            assert float(rows[f"ID_{user}_{gait}"][name]) == pytest.approx(expected)
    assert len({tuple(factors.values()) for factors in DRAWN_GAITS.values()}) == 24


@pytest.mark.parametrize(("kind", "settings"), [("simulated", SETTINGS), ("varied", VARIED)])
def test_again_writes_nothing_and_what_is_lost_comes_back_the_same(kind, settings, request, tmp_path):
    out = copy_of(request.getfixturevalue(kind), tmp_path / "sim")
    before = snapshot(out)
    output_of(stage0_prepare.main, "simulate", "--output_dir", out, *settings)
    assert snapshot(out) == before
    lost = sorted(names(out, "*.png") | names(out, "*.jpg"))[1::5][:3] + ["truth.csv"]
    for name in lost:
        (out / name).unlink()
    output_of(stage0_prepare.main, "simulate", "--output_dir", out, *settings)
    assert changed(before, snapshot(out)) == set(lost) and digests(snapshot(out)) == digests(before)
