"""How the joints of a walking person move over one cycle: curves measured on people, feet that stand still.

Source of the curves: R. Boulic, N. Magnenat-Thalmann, D. Thalmann, "A global human walking model with
real-time kinematic personification", The Visual Computer 6, 344-358 (1990), in the form V. C. Chen gives in
The Micro-Doppler Effect in Radar (2011), chapter 4. Everything depends on the phase of the right leg
(0 = its heel strikes) and on the relative velocity RV = speed / hip height in 1/s, 0 < RV <= 2.3.

The curves alone let the standing foot slip. Boulic et al. correct that by inverse kinematics, and so does
`plant`: in support the foot rolls over its heel or its toes without slipping, in the swing it keeps the
curves' path plus a cubic that joins the two, and `knee_position` bends the leg accordingly.

Body frame: x forward, y to the left, z up, metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from scipy.interpolate import CubicHermiteSpline, CubicSpline, PchipInterpolator

from radar.person import SIDES, Walker, cycle_duration_s

JOINTS = ("pelvis", "neck", "crown") + tuple(
    f"{side} {joint}"
    for side in SIDES
    for joint in ("shoulder", "elbow", "wrist", "fingertip", "hip", "knee", "ankle", "heel", "toe")
)

# Lengths as shares of the body height (Drillis and Contini 1966, as in D. A. Winter, Biomechanics and Motor
# Control of Human Movement), those of the leg as shares of the hip's height.
_SHOULDER_HEIGHT, _SHOULDER_HALF, _HIP_HALF, _FOOT_HALF_SPACING = 0.818, 0.118, 0.05, 0.03
_UPPER_ARM, _FOREARM, _HAND = 0.186, 0.146, 0.108
_THIGH, _SHANK, _ANKLE, _HEEL_BACK, _TOE_AHEAD = 0.462, 0.464, 0.074, 0.07, 0.20
NUM_PHASES = 256  # at which joints are computed; even, since the left leg is half a cycle late
_UNLOADED = 0.05  # share of the cycle by which the toe lets go before the model's support ends
_MAX_REACH = 0.995  # of the straight leg: a knee that is never quite straight moves smoothly

_FLAT_FOOT = (0.07, 0.36)  # phases between which the whole sole stands (J. Perry, Gait Analysis, 1992)
_KNOTS = (0.0, 0.5, 1.3, 3.0)  # relative velocities at which the control points below are given

# Control points as (phase, degrees); a tuple of four holds the values at the relative velocities of _KNOTS.
_HIP = (((0.9, 0.9, 0.9, 1.1), (0, 25, 25, 30)), (0.5, (0, -15, -15, -15)), (0.9, (0, 25, 25, 31)))
_KNEE = (
    ((0.17, 0.17, 0.17, 0.12), (3, 3, 3, 25)),
    (0.4, 3),
    ((0.75, 0.75, 0.75, 0.70), (3, 70, 70, 65)),
    ((1.0, 1.0, 1.0, 0.97), (3, 3, 3, 6)),
)
_ELBOW = (
    (0.05, (3, 6, 14, 8)),
    ((0.5, 0.5, 0.51, 0.55), (3, 20, 44, 70)),
    ((0.9, 0.9, 0.9, 0.8), (3, 8, 17, 11)),
)
_THORAX = ((0.1, 4 / 3), (0.4, -1.5), (0.6, -4 / 3), (0.9, 1.5))  # times RV


@dataclass(frozen=True)
class Curves:
    """Trajectories over the phase, arrays (N,): translations in hip heights, angles in radians.

    Flexions are positive forwards (hip, shoulder), when bent (knee, elbow) and toes up (ankle), and belong
    to the right side; turns are positive with the right side ahead, drop with the left side down.
    """

    vertical: numpy.ndarray
    lateral: numpy.ndarray
    forward: numpy.ndarray
    lean: numpy.ndarray
    pelvis_drop: numpy.ndarray
    pelvis_turn: numpy.ndarray
    thorax_turn: numpy.ndarray
    hip: numpy.ndarray
    knee: numpy.ndarray
    ankle: numpy.ndarray
    shoulder: numpy.ndarray
    elbow: numpy.ndarray


def support_share(relative_velocity: float) -> float:
    """Share of the cycle in which a foot is on the ground: (0.752 Tc - 0.143 s) / Tc."""
    return 0.752 - 0.143 / cycle_duration_s(relative_velocity)


def curves(phase: numpy.ndarray, relative_velocity: float, peaked: float = 0.0) -> Curves:
    """All trajectories of the model at `phase` (N,), in cycles of the right leg.

    peaked   not part of the model: 0 is its sine in the forward translation; towards 1 the body hurries in
             short pushes between long slow parts
    """
    rv = relative_velocity
    slow = 4 * rv * (1 - rv) if rv < 0.5 else 1.0  # amplitudes that grow up to RV = 0.5 and stay
    turn = 2 * numpy.pi
    surge = turn * (2 * phase + 2 * (0.625 - support_share(rv)))
    ankle = (
        (0.0, (-3, -3, -3, 2)),
        (0.08, (-3, -18, -18, -14)),
        ((0.5, 0.5, 0.5, 0.4), (-3, 8, 8, 5)),
        (support_share(rv), (-3, -20, -20, -28)),
        (0.85, (-3, -3, -3, 2)),
    )
    return Curves(
        vertical=0.015 * rv * (numpy.sin(turn * (2 * phase - 0.35)) - 1),
        lateral=-0.032 * slow * numpy.sin(turn * (phase - 0.1)),
        forward=0.021 * slow * numpy.sin(surge + peaked * numpy.sin(surge)),  # fastest on both feet
        lean=numpy.radians(2 * slow * (1 - numpy.sin(turn * (2 * phase - 0.1)))),
        pelvis_drop=numpy.radians(1.66 * rv * _drop(phase % 1)),
        pelvis_turn=numpy.radians(4 * rv * numpy.cos(turn * phase)),
        thorax_turn=-rv * _through(_THORAX, phase, rv),
        hip=_through(_HIP, phase, rv),
        knee=_through(_KNEE, phase, rv),
        ankle=_through(ankle, phase, rv),
        shoulder=numpy.radians(3 - 9.88 * rv * (0.5 + numpy.cos(turn * phase))),
        elbow=_through(_ELBOW, phase, rv),
    )


def _drop(phase: numpy.ndarray) -> numpy.ndarray:
    """0 to 2 and back while the right leg carries (down in 0.15, up in 0.35 of the cycle), then 0 to -2."""
    half = phase % 0.5
    fall = numpy.where(half < 0.15, half / 0.15, (0.5 - half) / 0.35)
    return (1 - numpy.cos(numpy.pi * fall)) * numpy.where(phase < 0.5, 1, -1)


def _through(points: tuple, phase: numpy.ndarray, rv: float) -> numpy.ndarray:
    """Radians (N,) of the periodic cubic through control points; monotone pieces, so no overshoot."""
    at = numpy.array(
        [[numpy.interp(rv, _KNOTS, numpy.broadcast_to(value, 4)) for value in point] for point in points]
    )
    where = numpy.round(numpy.concatenate([at[:, 0] + turn for turn in (-1, 0, 1)]), 9)
    where, first = numpy.unique(where, return_index=True)  # two points may meet
    return numpy.radians(PchipInterpolator(where, numpy.tile(at[:, 1], 3)[first])(phase % 1))


def rotated(x: float, z: float, pitch: numpy.ndarray) -> numpy.ndarray:
    """The point (x, z) of a body that is pitched up by `pitch` (N,) radians, as (2, N)."""
    cosine, sine = numpy.cos(pitch), numpy.sin(pitch)
    return numpy.stack([x * cosine - z * sine, x * sine + z * cosine])


def plant(
    ankle: numpy.ndarray,
    pitch: numpy.ndarray,
    support: float,
    stride_m: float,
    heel: tuple[float, float],
    toe: tuple[float, float],
) -> numpy.ndarray:
    """The ankle's path (2, N) corrected so that the foot on the ground does not slip.

    ankle    (2, N) x and z over one cycle from heel strike on, in the frame that walks along evenly
    pitch    (N,) of the foot, radians, toes up positive
    support  share of the cycle on the ground; `stride_m` the ground covered in a cycle
    heel     (x, z) of its ground contact relative to the ankle, foot level; `toe` likewise

    With toes up the foot rolls over its heel, with toes down over its toes. In the swing the difference to
    the given path is a cubic from its value at toe-off to that at heel strike, where the speed is kept.
    """
    phase = numpy.arange(pitch.size) / pitch.size
    over_heel, over_toe = (numpy.array(p)[:, None] - rotated(*p, pitch) for p in (heel, toe))
    rolled = numpy.where(pitch > 0, over_heel, over_toe)  # of the ankle, relative to the level foot
    rolled[0] -= stride_m * phase
    flat = phase <= _FLAT_FOOT[1]
    anchor = numpy.array([(ankle - rolled)[0, flat].mean(), -heel[1]])
    gap = rolled + anchor[:, None] - ankle
    last = int(support * pitch.size)
    slopes = [(gap[:, last] - gap[:, last - 1]) * pitch.size, numpy.zeros(2)]
    swing = CubicHermiteSpline([phase[last], 1], [gap[:, last], gap[:, 0]], slopes)(phase).T
    return ankle + numpy.where(phase <= phase[last], gap, swing)


def knee_position(hip: numpy.ndarray, ankle: numpy.ndarray, thigh_m: float, shank_m: float) -> numpy.ndarray:
    """Knee (3, N) of a leg from `hip` to `ankle` (3, N), bent forwards. They must be within reach."""
    leg = ankle - hip
    distance = numpy.linalg.norm(leg, axis=0)
    along = leg / distance
    ahead = numpy.array([[1.0], [0.0], [0.0]]) - along[0] * along
    ahead /= numpy.linalg.norm(ahead, axis=0)
    foot_of_height = (thigh_m**2 - shank_m**2 + distance**2) / (2 * distance)
    assert (foot_of_height <= thigh_m).all(), "ankle out of the leg's reach"
    return hip + foot_of_height * along + numpy.sqrt(thigh_m**2 - foot_of_height**2) * ahead


def joint_paths(walker: Walker, phase: numpy.ndarray) -> numpy.ndarray:
    """JOINTS at `phase` (T,), cycles of the right leg, as (J, 3, T): x ahead, y left, z above ground, metres.

    In the frame that walks along evenly, one stride a cycle. Computed at NUM_PHASES phases and carried
    between them by a periodic cubic spline.
    """
    grid = numpy.arange(NUM_PHASES) / NUM_PHASES
    body = curves(grid, walker.relative_velocity, walker.torso_peaked)
    joints = _upper_body(walker, body)
    feet: dict[str, numpy.ndarray] = {}
    for side in SIDES:
        foot = _foot(walker, side, _own_phase(side, joints[f"{side} hip"]), body, grid)
        feet |= {f"{side} {name}": _own_phase(side, path) for name, path in foot.items()}
    _lower_into_reach(walker, joints, feet)
    joints |= feet
    for side in SIDES:
        joints[f"{side} knee"] = knee_position(
            joints[f"{side} hip"],
            joints[f"{side} ankle"],
            _THIGH * walker.hip_height_m,
            _SHANK * walker.hip_height_m,
        )
    table = numpy.stack([joints[name] for name in JOINTS])
    table = numpy.concatenate([table, table[..., :1]], axis=-1)
    return CubicSpline(numpy.append(grid, 1), table, axis=2, bc_type="periodic")(phase % 1)


def _own_phase(side: str, path: numpy.ndarray) -> numpy.ndarray:
    """(..., N) over the right side's phase to the side's own and back: the left is half a cycle late."""
    return numpy.roll(path, path.shape[-1] // 2, axis=-1) if side == "left" else path


def _upper_body(walker: Walker, body: Curves) -> dict[str, numpy.ndarray]:
    """Pelvis, hips, trunk, head and arms, each (3, N)."""
    height, hip_height = walker.height_m, walker.hip_height_m
    pelvis = hip_height * numpy.stack(
        [walker.torso_sway * body.forward, body.lateral, 1 + walker.torso_sway * body.vertical]
    )
    upwards = numpy.stack([numpy.sin(body.lean), 0 * body.lean, numpy.cos(body.lean)])
    neck = pelvis + (_SHOULDER_HEIGHT * height - hip_height) * upwards
    joints = {"pelvis": pelvis, "neck": neck, "crown": neck + (1 - _SHOULDER_HEIGHT) * height * upwards}
    for side, sign in SIDES.items():
        out = sign * _across(body.pelvis_turn, body.pelvis_drop)
        joints[f"{side} hip"] = pelvis + _HIP_HALF * height * out
        out = sign * _across(body.thorax_turn, 0 * body.lean)
        joints[f"{side} shoulder"] = neck + _SHOULDER_HALF * height * out
        factor = walker.arm_swing * walker.swing(side)
        middle = body.shoulder.mean()
        upper = _own_phase(side, middle + factor * (body.shoulder - middle))
        fore = upper + _own_phase(side, factor * body.elbow)
        at = joints[f"{side} shoulder"]
        for end, share, angle in (
            ("elbow", _UPPER_ARM, upper),
            ("wrist", _FOREARM, fore),
            ("fingertip", _HAND, fore),
        ):
            at = joints[f"{side} {end}"] = at + share * height * _hanging(angle)
    return joints


def _across(turn: numpy.ndarray, drop: numpy.ndarray) -> numpy.ndarray:
    """Unit vectors (3, N) to the left of a body part, turned right side ahead, dropped left side down."""
    level = numpy.cos(drop)
    return numpy.stack([-numpy.sin(turn) * level, numpy.cos(turn) * level, -numpy.sin(drop)])


def _hanging(angle: numpy.ndarray) -> numpy.ndarray:
    """Unit vectors (3, N) that point down at angle 0 and ahead at 90 degrees."""
    return numpy.stack([numpy.sin(angle), 0 * angle, -numpy.cos(angle)])


def _foot(
    walker: Walker, side: str, hip: numpy.ndarray, leg: Curves, phase: numpy.ndarray
) -> dict[str, numpy.ndarray]:
    """Ankle, heel and toe (3, N) over the phase of their own leg, whose hip moves as `hip` (3, N)."""
    height, factor = walker.hip_height_m, walker.leg_swing * walker.swing(side)
    thigh = factor * leg.hip
    shank = thigh - factor * leg.knee
    pitch = (shank + leg.ankle) * (1 - _flat(phase))
    swung = hip + height * (_THIGH * _hanging(thigh) + _SHANK * _hanging(shank))
    heel, toe = (-_HEEL_BACK * height, -_ANKLE * height), (_TOE_AHEAD * height, -_ANKLE * height)
    support = 1 - (1 - support_share(walker.relative_velocity)) / factor - _UNLOADED
    path = plant(swung[::2], pitch, support, walker.stride_m, heel, toe)
    path[1] += height * _lift(path[1] / height, pitch, (phase - support) / (1 - support))
    sideways = numpy.full(phase.size, SIDES[side] * _FOOT_HALF_SPACING * walker.height_m)
    offsets: dict[str, Any] = {"ankle": (0, 0), "heel": rotated(*heel, pitch), "toe": rotated(*toe, pitch)}
    return {name: numpy.stack([path[0] + x, sideways, path[1] + z]) for name, (x, z) in offsets.items()}


def _flat(phase: numpy.ndarray) -> numpy.ndarray:
    """1 while the sole is on the ground, 0 when the foot is free to pitch, smooth between (N,)."""
    rise = numpy.interp(phase, (0, *_FLAT_FOOT, 0.6), (0, 1, 1, 0))
    return rise**2 * (3 - 2 * rise)


def _lift(ankle: numpy.ndarray, pitch: numpy.ndarray, progress: numpy.ndarray) -> numpy.ndarray:
    """What gives the swinging foot, its ankle at height (N,), the usual 2 cm or so of clearance, smoothly."""
    arch = numpy.sin(numpy.pi * progress.clip(0, 1)) ** 2
    heel, toe = (rotated(along, -_ANKLE, pitch)[1] for along in (-_HEEL_BACK, _TOE_AHEAD))
    lowest = ankle + (heel + toe - numpy.hypot(heel - toe, 0.1 * arch)) / 2
    missing = 0.02 * arch - lowest
    return numpy.where(progress > 0, (missing + numpy.hypot(missing, 0.02 * arch)) / 2, 0)


def _lower_into_reach(
    walker: Walker, joints: dict[str, numpy.ndarray], feet: dict[str, numpy.ndarray]
) -> None:
    """Lower everything above the legs by one constant, the least with which both reach their ankles."""
    room = []
    for side in SIDES:
        leg = joints[f"{side} hip"] - feet[f"{side} ankle"]
        upright = (_MAX_REACH * (_THIGH + _SHANK) * walker.hip_height_m) ** 2 - leg[0] ** 2 - leg[1] ** 2
        room.append((numpy.sqrt(upright) - leg[2]).min())
    for name in joints:
        joints[name] = joints[name] + numpy.array([[0.0], [0.0], [min(0.0, *room)]])
