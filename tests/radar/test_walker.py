"""Walkers against what is known of walking: the model's own figures, published ranges, symmetries."""

from dataclasses import replace

import numpy
import pytest

from radar.gait import JOINTS, curves, joint_paths, support_share
from radar.person import Walker, cycle_duration_s, draw_walker
from radar.walker import Walk, draw_walk, motion

RATE = 200.0
FAR = Walk(duration_s=20.0, start_range_m=1e5)
PEOPLE = [
    Walker(),
    Walker(height_m=1.55, speed_mps=0.7),
    Walker(height_m=1.93, speed_mps=1.6, asymmetry=0.05),
    *(draw_walker(numpy.random.default_rng(seed)) for seed in range(5)),
]


def joints_of(walker, count=500):
    """Joint → (3, count) over one cycle, on the ground that the walker covers."""
    phase = numpy.arange(count) / count
    joints = joint_paths(walker, phase)
    joints[:, 0] += walker.stride_m * phase
    return dict(zip(JOINTS, joints))


def speed_of(path, walker):
    """Forward velocity (N,) of one cycle's path (3, N), from a grid evenly spaced in time."""
    duration = 2 / walker.cadence_hz
    ahead = path[0] - walker.stride_m * numpy.arange(path.shape[1]) / path.shape[1]  # periodic
    step = duration / path.shape[1]
    return walker.speed_mps + (numpy.roll(ahead, -1) - numpy.roll(ahead, 1)) / (2 * step)


def inclination(vector):
    """Degrees from hanging down, ahead positive."""
    return numpy.degrees(numpy.arctan2(vector[0], -vector[2]))


# The published model


def test_the_cycle_has_the_published_length_and_support():
    walker = Walker(speed_mps=1.3)
    relative_velocity = 1.3 / walker.hip_height_m
    assert walker.stride_m == pytest.approx(1.346 * relative_velocity**0.5 * walker.hip_height_m)
    assert walker.stride_m * walker.cadence_hz / 2 == pytest.approx(walker.speed_mps)
    duration = cycle_duration_s(relative_velocity)
    assert support_share(relative_velocity) * duration == pytest.approx(0.752 * duration - 0.143)
    hurried = replace(walker, cadence_deviation=1.1)
    assert hurried.stride_m * hurried.cadence_hz / 2 == pytest.approx(1.3)
    assert hurried.cadence_hz == pytest.approx(1.1 * walker.cadence_hz)


@pytest.mark.parametrize("relative_velocity", (0.2, 0.5, 0.9, 1.3, 2.3))
def test_the_curves_pass_their_control_points_and_close(relative_velocity):
    at = curves(numpy.array([0.5, 0.4, 0.08, 0.0, 1.0]), relative_velocity)
    slow = min(relative_velocity / 0.5, 1)
    assert numpy.degrees(at.hip[0]) == pytest.approx(-15 * slow)
    assert numpy.degrees(at.knee[1]) == pytest.approx(3)
    if relative_velocity <= 1.3:
        assert numpy.degrees(at.ankle[2]) == pytest.approx(-3 - 15 * slow)
    for name in ("vertical", "lateral", "forward", "lean", "pelvis_drop", "hip", "knee", "ankle", "elbow"):
        assert getattr(at, name)[3] == pytest.approx(getattr(at, name)[4], abs=1e-12)
    whole = curves(numpy.arange(200) / 200, relative_velocity)
    assert whole.vertical.min() == pytest.approx(-0.03 * relative_velocity, rel=1e-3)
    assert numpy.degrees(abs(whole.pelvis_drop).max()) == pytest.approx(3.32 * relative_velocity, rel=1e-3)
    assert numpy.degrees(whole.pelvis_turn.max()) == pytest.approx(4 * relative_velocity)
    assert numpy.degrees(numpy.ptp(whole.shoulder)) == pytest.approx(2 * 9.88 * relative_velocity, rel=1e-3)


# The body


@pytest.mark.parametrize("walker", PEOPLE)
def test_bones_keep_their_length(walker):
    joints = joints_of(walker)
    bones = [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("heel", "toe")]
    for start, end in bones:
        for side in ("left", "right"):
            length = numpy.linalg.norm(joints[f"{side} {end}"] - joints[f"{side} {start}"], axis=0)
            assert numpy.ptp(length) < 0.004 * length.mean()  # what the spline between the phases leaves
    assert 0.97 * walker.height_m < joints["crown"][2].max() + 0.05 * walker.height_m < 1.05 * walker.height_m


@pytest.mark.parametrize("walker", PEOPLE)
def test_joints_stay_within_human_limits(walker):
    """Walking and a margin: hip -25 to 45, knee 0 to 90 (75 at an ordinary pace), ankle -50 to 35 degrees."""
    joints = joints_of(walker)
    for side in ("left", "right"):
        hip, knee, ankle, heel, toe = (
            joints[f"{side} {name}"] for name in ("hip", "knee", "ankle", "heel", "toe")
        )
        thigh, shank = inclination(knee - hip), inclination(ankle - knee)
        pitch = inclination(toe - heel) - 90
        for angle, low, high in ((thigh, -25, 45), (thigh - shank, 0, 90), (pitch - shank, -50, 35)):
            assert low <= angle.min() and angle.max() <= high
        elbow = inclination(joints[f"{side} wrist"] - joints[f"{side} elbow"]) - inclination(
            joints[f"{side} elbow"] - joints[f"{side} shoulder"]
        )
        assert 0 <= elbow.min() and elbow.max() <= 90


@pytest.mark.parametrize("walker", PEOPLE)
def test_a_standing_foot_stands_and_a_swinging_one_clears_the_ground(walker):
    joints = joints_of(walker)
    heel, toe = joints["right heel"], joints["right toe"]
    lowest = numpy.minimum(heel[2], toe[2])
    assert abs(lowest.min()) < 1e-3
    phase = numpy.arange(500) / 500
    contact = numpy.where(heel[2] < toe[2], speed_of(heel, walker), speed_of(toe, walker))
    assert abs(contact[(phase > 0.02) & (phase < 0.45)]).mean() < 0.01 * walker.speed_mps
    middle = speed_of((heel + toe) / 2, walker)
    assert abs(middle[(phase > 0.08) & (phase < 0.36)]).mean() < 0.01 * walker.speed_mps
    assert 0.005 < lowest[(phase > 0.7) & (phase < 0.85)].min() < 0.08


@pytest.mark.parametrize("walker", PEOPLE)
def test_feet_swing_as_fast_as_published(walker):
    """About 3.3 times the walking speed (Winter, Phys. Ther. 72, 1992); 2.5 to 4.5 over people and pace."""
    joints = joints_of(walker)
    for side in ("left", "right"):
        peak = speed_of((joints[f"{side} heel"] + joints[f"{side} toe"]) / 2, walker).max()
        assert 2.5 < peak / walker.speed_mps < 4.5


def test_a_symmetric_walker_has_equal_half_cycles():
    phase = numpy.linspace(0, 1, 101)
    walker = Walker(arm_swing=1.3, leg_swing=1.05)
    first, second = (dict(zip(JOINTS, joint_paths(walker, phase + shift))) for shift in (0, 0.5))
    limping = dict(zip(JOINTS, joint_paths(replace(walker, asymmetry=0.06), phase + 0.5)))
    mirror = numpy.array([[1.0], [-1.0], [1.0]])
    for name in JOINTS:
        other = name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
        assert numpy.allclose(first[name], mirror * second[other], atol=1e-9)
    assert abs(first["right toe"] - mirror * limping["left toe"]).max() > 0.01


# What the radar sees


@pytest.mark.parametrize("walker", PEOPLE)
def test_the_torso_goes_at_the_walking_speed(walker):
    whole_cycles = round(int(20 * walker.cadence_hz / 2) * 2 / walker.cadence_hz * RATE)
    torso = motion(walker, FAR).torso_velocity_mps[:whole_cycles]
    assert torso.mean() == pytest.approx(walker.speed_mps, rel=0.005)
    assert 0.05 < numpy.ptp(torso) < 0.9


@pytest.mark.parametrize("walker", PEOPLE)
def test_the_cadence_is_that_of_the_motion(walker):
    result = motion(walker, replace(FAR, duration_s=40.0))
    feet = numpy.mean([v for v, part in zip(result.velocity_mps, result.part) if "foot" in part], axis=0)
    for trace in (result.torso_velocity_mps, feet):
        spectrum = abs(numpy.fft.rfft((trace - trace.mean()) * numpy.hanning(trace.size), 1 << 17))
        frequency = numpy.fft.rfftfreq(1 << 17, 1 / RATE)
        near = (frequency > 0.7 * walker.cadence_hz) & (frequency < 1.5 * walker.cadence_hz)
        assert frequency[near][spectrum[near].argmax()] == pytest.approx(walker.cadence_hz, rel=0.01)
        if not walker.asymmetry:
            assert spectrum.argmax() == numpy.flatnonzero(near)[0] + spectrum[near].argmax()


def test_receding_mirrors_approaching():
    walker = draw_walker(numpy.random.default_rng(1))
    approaching, receding = (
        motion(walker, replace(FAR, approaching=towards, start_phase=0.3)) for towards in (True, False)
    )
    assert approaching.part == receding.part
    assert numpy.allclose(approaching.velocity_mps, -receding.velocity_mps, atol=2e-3)
    assert approaching.torso_velocity_mps.mean() > 0.5


def test_velocity_is_the_derivative_of_range():
    result = motion(Walker(), draw_walk(numpy.random.default_rng(3), 20.0))
    velocity = result.velocity_mps
    change = (velocity[:, 1:] + velocity[:, :-1]).sum(axis=1) / (2 * RATE)
    assert change == pytest.approx(result.range_m[:, 0] - result.range_m[:, -1], abs=0.02)
    fine = motion(Walker(), replace(FAR, duration_s=2.0, start_range_m=9.0), 2000.0).velocity_mps[:, ::10]
    coarse = motion(Walker(), replace(FAR, duration_s=2.0, start_range_m=9.0)).velocity_mps
    assert abs(fine - coarse)[:, 1:-1].mean() < 0.02


def test_aspect_scales_the_radial_velocity_by_its_cosine():
    oblique = motion(Walker(), replace(FAR, aspect_deg=60.0)).torso_velocity_mps
    assert oblique.mean() == pytest.approx(0.6, rel=0.01)


def test_a_turn_lets_the_radial_velocity_fall():
    torso = motion(Walker(), replace(FAR, turns=((10.0, 90.0),))).torso_velocity_mps
    assert torso[:1600].mean() == pytest.approx(1.2, rel=0.02)
    assert abs(torso[2400:].mean()) < 0.05
    slowed = motion(Walker(), replace(FAR, turns=((10.0, 0.0),))).torso_velocity_mps
    assert slowed[2000] < 0.75 < 1.0 < slowed[:1600].min()


def test_speed_drifts_slowly_and_cadence_with_it():
    steady, drifting = (
        motion(Walker(), replace(FAR, speed_drift=drift)).torso_velocity_mps
        for drift in ((0.0, 0.0), (0.1, 0.1))
    )
    assert drifting.mean() == pytest.approx(1.1 * steady.mean(), rel=0.005)
    assert numpy.ptp(drifting) == pytest.approx(1.1 * numpy.ptp(steady), rel=0.02)


def test_cross_section_follows_reflectivity_and_shape():
    plain = motion(Walker(), FAR)
    shiny = motion(Walker(leg_reflectivity=2.0, torso_reflectivity=3.0), FAR)
    ratio = dict(zip(plain.part, (shiny.cross_section_m2 / plain.cross_section_m2).mean(axis=1)))
    assert ratio["left thigh"] == ratio["right shank"] == pytest.approx(2)
    assert ratio["torso"] == ratio["head"] == pytest.approx(3)
    assert ratio["left hand"] == ratio["right foot"] == pytest.approx(1)
    # broadside, a spheroid of half length c shows pi c^2: the trunk from hip to shoulder, nearly upright
    trunk = sum(c.mean() for c, part in zip(plain.cross_section_m2, plain.part) if part == "torso")
    assert trunk == pytest.approx(numpy.pi * ((0.818 - 0.53) * 1.75 / 2) ** 2, rel=0.02)
    assert 50 <= len(plain.part) <= 62 and (plain.cross_section_m2 > 0).all()


# Draws


def test_draws_reproduce_and_differ():
    def record(seed):
        rng = numpy.random.default_rng(seed)
        return motion(draw_walker(rng), draw_walk(rng, 5.0))

    first, again, other = record(7), record(7), record(8)
    assert (first.range_m == again.range_m).all()
    assert (first.cross_section_m2 == again.cross_section_m2).all()
    assert (first.velocity_mps != other.velocity_mps).mean() > 0.9


def test_drawn_walks_go_both_ways_and_never_through_the_radar():
    rng = numpy.random.default_rng(0)
    walks = [draw_walk(rng, 20.0, 1.5) for _ in range(60)]
    assert {walk.approaching for walk in walks} == {True, False}
    assert any(walk.turns for walk in walks) and not all(walk.turns for walk in walks)
    walker = Walker(speed_mps=1.5)
    assert min(motion(walker, walk, 20.0).range_m.min() for walk in walks) > 0.8


def test_drawn_people_walk_within_the_model():
    rng = numpy.random.default_rng(0)
    cadences = []
    for _ in range(40):
        walker = draw_walker(rng)
        assert numpy.isfinite(joint_paths(walker, numpy.linspace(0, 1, 50))).all()
        cadences.append(walker.cadence_hz)
    assert 1.2 < min(cadences) < 1.5 and 1.9 < max(cadences) < 2.3  # steps a second of adults


@pytest.mark.parametrize("speed", (0.0, 2.2))
def test_a_speed_outside_the_model_is_refused(speed):
    with pytest.raises(ValueError, match=f"speed_mps {speed} .*expected a walk"):
        Walker(speed_mps=speed)
