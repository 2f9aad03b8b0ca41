"""A walking person as numbers: body, way of walking, reflectivity; people drawn at random, and gaits."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace

import numpy

from configs.errors import UserError

SIDES = {"right": -1, "left": 1}  # sign of y
MAX_RELATIVE_VELOCITY = 2.3  # 1/s, for which the model of `radar.gait` holds


def cycle_duration_s(relative_velocity: float) -> float:
    """Two steps take 1.346 / sqrt(RV) seconds: a cycle is 1.346 sqrt(RV) hip heights long."""
    return 1.346 / relative_velocity**0.5


@dataclass(frozen=True)
class Walker:
    """A person: body, way of walking, and how well each part reflects.

    height_m            body height; `leg_ratio` the hip's height above the sole as a share of it
    speed_mps           walking speed
    cadence_deviation   cadence as a multiple of the model's for this speed (the steps shorten accordingly)
    leg_swing           multiplies the flexion of hip and knee and shortens the swing, so that feet fly faster
    arm_swing           multiplies the swing of shoulder and elbow
    asymmetry           the left side's swings times 1 + this, the right side's times 1 - this
    torso_sway          multiplies the torso's vertical and forward oscillation
    torso_peaked        0 smooth to 1 (exclusive): how short and sharp the torso's fast phases are
    *_reflectivity      multiply the cross sections of the spheroids

    UserError: speed / hip height outside (0, 2.3] 1/s, for which the model holds.
    """

    height_m: float = 1.75
    speed_mps: float = 1.2
    leg_ratio: float = 0.53
    cadence_deviation: float = 1.0
    leg_swing: float = 1.0
    arm_swing: float = 1.0
    asymmetry: float = 0.0
    torso_sway: float = 1.0
    torso_peaked: float = 0.3
    torso_reflectivity: float = 1.0
    leg_reflectivity: float = 1.0
    arm_reflectivity: float = 1.0
    foot_reflectivity: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.relative_velocity <= MAX_RELATIVE_VELOCITY:
            fastest = MAX_RELATIVE_VELOCITY * self.hip_height_m
            raise UserError(
                f"speed_mps {self.speed_mps} at height_m {self.height_m}: expected a walk, "
                f"above 0 and up to {fastest:.2f} m/s; change either"
            )

    @property
    def hip_height_m(self) -> float:
        return self.leg_ratio * self.height_m

    @property
    def relative_velocity(self) -> float:
        """Speed in hip heights per second."""
        return self.speed_mps / self.hip_height_m

    @property
    def cadence_hz(self) -> float:
        """Steps per second, two a cycle."""
        return 2 * self.cadence_deviation / cycle_duration_s(self.relative_velocity)

    @property
    def stride_m(self) -> float:
        """Ground covered in a cycle of two steps."""
        return 2 * self.speed_mps / self.cadence_hz

    def swing(self, side: str) -> float:
        """Multiplier of this side's swings."""
        return 1 + SIDES[side] * self.asymmetry

    def reflectivity(self, part: str) -> float:
        """Of one of the scatterers' parts, for example "left shank"."""
        limb = part.split(" ", 1)[-1]
        groups = {"torso": "torso", "head": "torso", "thigh": "leg", "shank": "leg", "foot": "foot"}
        return getattr(self, f"{groups.get(limb, 'arm')}_reflectivity")


def draw_walker(rng: numpy.random.Generator) -> Walker:
    """A person unlike the others: every property drawn on its own, within what adults show."""
    low_high = {
        "height_m": (1.5, 1.95),
        "speed_mps": (0.8, 1.35),
        "leg_ratio": (0.51, 0.55),
        "cadence_deviation": (1.0, 1.28),
        "leg_swing": (0.92, 1.08),
        "arm_swing": (0.4, 1.6),
        "asymmetry": (-0.06, 0.06),
        "torso_sway": (0.6, 1.6),
        "torso_peaked": (0.2, 0.7),
    }
    drawn = {name: float(rng.uniform(*bounds)) for name, bounds in low_high.items()}
    # Medians and spreads in dB; clothed legs and shoes return more than bare spheroids of their size.
    for part, middle, spread in (("torso", 6, 2), ("leg", 4, 3), ("arm", 3, 4), ("foot", 9, 4)):
        drawn[f"{part}_reflectivity"] = float(10 ** ((middle + rng.uniform(-spread, spread)) / 10))
    return Walker(**drawn)


# What a way of walking multiplies of a person's own: who hurries takes longer and quicker steps and swings
# the arms; hands at a backpack's straps hardly swing, and the load adds to the trunk's echo and steadies it.
GAITS = {
    "normal": {},
    "hurried": {"speed_mps": 1.3, "cadence_deviation": 1.03, "arm_swing": 1.3},
    "backpack": {"speed_mps": 0.93, "arm_swing": 0.25, "torso_reflectivity": 2.0, "torso_sway": 0.7},
    "pockets": {"arm_swing": 0.05},
}


def drawn_gaits() -> dict[str, dict[str, float]]:
    """24 further ways of walking, `ga` to `gx`, unlike each other: what each multiplies, as in `GAITS`.
    Factors are uniform, those of the arms and of the trunk's echo in their logarithm.
    """
    rng = numpy.random.default_rng(7)
    return {
        f"g{letter}": {
            "speed_mps": rng.uniform(0.75, 1.35),
            "cadence_deviation": rng.uniform(0.93, 1.1),
            "arm_swing": float(numpy.exp(rng.uniform(numpy.log(0.05), numpy.log(1.5)))),
            "torso_reflectivity": float(numpy.exp(rng.uniform(numpy.log(0.6), numpy.log(2.2)))),
            "torso_sway": rng.uniform(0.6, 1.4),
        }
        for letter in string.ascii_lowercase[:24]
    }


DRAWN_GAITS = drawn_gaits()


def in_gait(walker: Walker, gait: str) -> Walker:
    """The same person walking in one of `GAITS` or `DRAWN_GAITS`."""
    factors = {**GAITS, **DRAWN_GAITS}[gait]
    return replace(walker, **{name: factor * getattr(walker, name) for name, factor in factors.items()})
