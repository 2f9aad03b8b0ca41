"""Walking people made of point scatterers, with everything about them known.

A `radar.person.Walker` is a person, a Walk one recording of that person, `motion` gives range, radial
velocity (positive towards the radar) and radar cross section of some sixty points of the body over time.
The joints follow `radar.gait`; each limb is a prolate or oblate spheroid whose cross section (V. C. Chen,
The Micro-Doppler Effect in Radar, 2011, section 3.2) is shared by the points along its axis.

The radar stands at the origin, 1 m above the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from scipy.interpolate import PchipInterpolator

from radar.gait import JOINTS, joint_paths
from radar.person import SIDES, Walker

RADAR_HEIGHT_M = 1.0
TURN_SHARE = 0.05  # of recordings
# part: (from, to, radius as share of the height, points). The torso's points are spread sideways too.
_LIMBS = {
    "head": ("neck", "crown", 0.050, 3),
    "upper arm": ("shoulder", "elbow", 0.026, 4),
    "forearm": ("elbow", "wrist", 0.021, 4),
    "hand": ("wrist", "fingertip", 0.020, 2),
    "thigh": ("hip", "knee", 0.042, 5),
    "shank": ("knee", "ankle", 0.029, 5),
    "foot": ("heel", "toe", 0.026, 3),
}
_TORSO_RADIUS, _TORSO_LEVELS, _TORSO_SIDEWAYS = 0.085, (0.1, 0.37, 0.63, 0.9), (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Walk:
    """One recording.

    approaching     faces the radar at the start, else turns the back to it
    aspect_deg      angle between the direction of walking and the line of sight at the start
    start_range_m   horizontal distance to the radar at the start
    speed_drift     relative deviations of the speed at evenly spaced times from start to end, joined smoothly
    turns           (time_s, angle_deg) of each turn: the body slows to half its speed within about a second
                    and a half while its direction changes by the angle, to the left positive
    start_phase     phase of the right leg at the start, in cycles
    """

    duration_s: float = 20.0
    approaching: bool = True
    aspect_deg: float = 0.0
    start_range_m: float = 40.0
    speed_drift: tuple[float, ...] = (0.0, 0.0)
    turns: tuple[tuple[float, float], ...] = ()
    start_phase: float = 0.0


@dataclass(frozen=True)
class Motion:
    """S scatterers at T times: range and cross section, radial velocity positive towards the radar."""

    time_s: numpy.ndarray  # (T,)
    range_m: numpy.ndarray  # (S, T)
    velocity_mps: numpy.ndarray  # (S, T)
    cross_section_m2: numpy.ndarray  # (S, T)
    part: tuple[str, ...]  # S names such as "torso" or "left foot"
    torso_velocity_mps: numpy.ndarray  # (T,), mean over the torso's scatterers


def draw_walk(
    rng: numpy.random.Generator, duration_s: float, speed_mps: float = 1.6, approaching: bool | None = None
) -> Walk:
    """A recording of `duration_s`; `speed_mps` keeps who approaches at it 4 m or more before the radar.

    `approaching` None: either, with equal chances. TURN_SHARE of all have a turn of 30 to 60 degrees.
    """
    approaching = bool(rng.random() < 0.5) if approaching is None else approaching
    nearest = rng.uniform(4.0, 10.0)
    turns: tuple[tuple[float, float], ...] = ()
    if rng.random() < TURN_SHARE:
        angle = rng.uniform(30, 60) * rng.choice((-1, 1))
        turns = ((float(rng.uniform(0.2, 0.8) * duration_s), float(angle)),)
    knots = max(2, round(duration_s / 2.5) + 1)
    return Walk(
        duration_s=duration_s,
        approaching=approaching,
        aspect_deg=float(rng.normal(0, 6)),
        start_range_m=float(nearest + 1.1 * speed_mps * duration_s * (approaching or bool(turns))),
        speed_drift=tuple(float(deviation) for deviation in 0.03 * rng.standard_normal(knots).clip(-2, 2)),
        turns=turns,
        start_phase=float(rng.random()),
    )


def motion(walker: Walker, walk: Walk, sample_rate_hz: float = 200.0) -> Motion:
    """What the radar could know of every scatterer, `round(duration * rate)` samples from time 0 on.

    The velocity is the central difference of the range. In a turn the whole body rotates, so that a standing
    foot slips for this short time.
    """
    time = numpy.arange(round(walk.duration_s * sample_rate_hz)) / sample_rate_hz
    phase, path, heading = _course(walker, walk, time)
    body = joint_paths(walker, phase)
    joints = numpy.empty_like(body)
    joints[:, 0] = path[0] + body[:, 0] * numpy.cos(heading) - body[:, 1] * numpy.sin(heading)
    joints[:, 1] = path[1] + body[:, 0] * numpy.sin(heading) + body[:, 1] * numpy.cos(heading)
    joints[:, 2] = body[:, 2] - RADAR_HEIGHT_M
    part, weights = _scatterers()
    points = (weights @ joints.reshape(len(JOINTS), -1)).reshape(len(part), 3, -1)
    ranges = numpy.sqrt(numpy.einsum("sct,sct->st", points, points))
    velocity = -numpy.gradient(ranges, 1 / sample_rate_hz, axis=1)
    torso = [index for index, name in enumerate(part) if name == "torso"]
    cross_section = _cross_sections(walker, part, joints)
    return Motion(time, ranges, velocity, cross_section, part, velocity[torso].mean(axis=0))


def _course(walker: Walker, walk: Walk, time: numpy.ndarray) -> tuple[numpy.ndarray, ...]:
    """Phase of the right leg (T,), place on the ground (2, T) and heading (T,) in radians.

    Steps keep their length when the speed changes: the cadence follows, and no foot slips.
    """
    drift = PchipInterpolator(numpy.linspace(0, walk.duration_s, len(walk.speed_drift)), walk.speed_drift)
    speed = walker.speed_mps * (1 + drift(time))
    heading = numpy.full(time.size, numpy.radians(walk.aspect_deg + (180 if walk.approaching else 0)))
    for middle, angle in walk.turns:
        since = (time - middle) / 0.4
        speed *= 1 - 0.5 * numpy.exp(-(since**2) / 2)
        heading += numpy.radians(angle) * (1 + numpy.tanh(since)) / 2
    steps = speed * (time[1] - time[0])
    covered, x, y = (
        numpy.cumsum(steps * part) - steps * part / 2 for part in (1, numpy.cos(heading), numpy.sin(heading))
    )
    phase = covered / walker.stride_m + walk.start_phase
    return phase, numpy.stack([x + walk.start_range_m, y]), heading


def _scatterers() -> tuple[tuple[str, ...], numpy.ndarray]:
    """Part of each scatterer, and weights (S, J) that place it between the joints."""
    part, weights = [], []

    def place(name: str, where: dict[str, float]) -> None:
        part.append(name)
        weights.append([where.get(joint, 0.0) for joint in JOINTS])

    for up in _TORSO_LEVELS:
        for left in _TORSO_SIDEWAYS:
            place(
                "torso",
                {
                    f"{side} {joint}": share_up * share
                    for joint, share_up in (("shoulder", up), ("hip", 1 - up))
                    for side, share in (("left", left), ("right", 1 - left))
                },
            )
    for name, start, end, _, count in _limbs():
        for along in (numpy.arange(count) + 0.5) / count:
            place(name, {start: 1 - along, end: along})
    return tuple(part), numpy.array(weights)


def _limbs() -> list[tuple[str, str, str, float, int]]:
    """(part, joint, joint, radius, points) of every limb on either side."""
    both = [
        (f"{side} {name}", f"{side} {start}", f"{side} {end}", radius, count)
        for side in SIDES
        for name, (start, end, radius, count) in _LIMBS.items()
        if name != "head"
    ]
    return [("head", *_LIMBS["head"]), *both]


def _cross_sections(walker: Walker, part: tuple[str, ...], joints: numpy.ndarray) -> numpy.ndarray:
    """(S, T) from the joints (J, 3, T) relative to the radar."""
    place = dict(zip(JOINTS, joints))
    torso = ("torso", "pelvis", "neck", _TORSO_RADIUS, part.count("torso"))
    of_part = {
        name: walker.reflectivity(name)
        / count
        * _spheroid(place[start], place[end], radius * walker.height_m)
        for name, start, end, radius, count in (torso, *_limbs())
    }
    return numpy.stack([of_part[name] for name in part])


def _spheroid(start: numpy.ndarray, end: numpy.ndarray, radius_m: float) -> numpy.ndarray:
    """Cross section (T,) of a spheroid from `start` to `end` (3, T), seen from the origin.

    pi a^4 c^2 / (a^2 sin^2 + c^2 cos^2)^2 of the angle between axis and line of sight, with half axes a
    across and c along: Chen's ellipsoid with two equal axes.
    """
    axis, middle = end - start, start + end
    length2 = numpy.einsum("ct,ct->t", axis, axis)
    away2 = numpy.einsum("ct,ct->t", middle, middle)
    cosine2 = numpy.einsum("ct,ct->t", axis, middle) ** 2 / (length2 * away2)
    across2, along2 = radius_m**2, length2 / 4
    return numpy.pi * across2**2 * along2 / (across2 * (1 - cosine2) + along2 * cosine2) ** 2
