"""The axes of an array by name: `--layout` to the one order that all captures have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from configs.errors import UserError

# Accepted words of each axis, the name used here first.
WORDS = {
    "frames": ("frame",),
    "bursts": ("burst",),
    "pulses": ("pulse", "slow_time", "time"),
    "chirps": ("chirp",),
    "transmitters": ("transmitter", "tx"),
    "receivers": ("receiver", "rx", "channels", "channel", "antennas"),
    "ranges": ("range", "cells", "bins"),
    "samples": ("sample", "fast_time"),
    "iq": ("i,q",),
    "velocities": ("velocity", "doppler"),
    "times": (),
}
SLOW = ("frames", "bursts", "chirps", "pulses")  # from the slowest to the fastest


def parse_layout(layout: Sequence[str], shape: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and lengths of the axes that `layout` gives to an array of `shape`; products become several.

    UserError: an unknown or repeated name, another number of axes, or a product that does not fit.
    """
    if len(layout) != len(shape):
        raise UserError(
            f"--layout {','.join(layout)} names {len(layout)} axes, the array has {len(shape)}: {shape}; "
            "name each of them, in order"
        )
    names, lengths = [], []
    for term, length in zip(layout, shape):
        for name, part in _factors(term, length):
            names.append(name)
            lengths.append(part)
    if len(set(names)) < len(names):
        raise UserError(f"--layout {','.join(layout)}: an axis is named twice; name each once")
    return tuple(names), tuple(lengths)


def _factors(term: str, length: int) -> list[tuple[str, int]]:
    """ "chirps*samples=64" of 640 to chirps 10, samples 64."""
    parts = [part.partition("=") for part in term.split("*")]
    known = [int(value) if value.isdecimal() else None for _, _, value in parts]
    product = math.prod(value for value in known if value)
    if known.count(None) > 1 and len(parts) > 1:
        raise UserError(f"--layout {term}: give the lengths of all but one, like chirps*samples=64")
    if product == 0 or length % product or (None not in known and product != length):
        raise UserError(
            f"--layout {term}: does not fit the axis of length {length}; give lengths that multiply to it"
        )
    return [(_axis(name), value or length // product) for (name, _, _), value in zip(parts, known)]


def _axis(word: str) -> str:
    for name, others in WORDS.items():
        if word.strip().lower() in (name, *others):
            return name
    raise UserError(f"--layout: unknown axis {word!r}; expected some of {', '.join(WORDS)}")


def to_order(array: Any, axes: Sequence[str], order: Sequence[str]) -> numpy.ndarray:
    """`array` with its named axes in `order`; those it lacks get length 1. A view where numpy gives one."""
    unknown = [name for name in axes if name not in order]
    assert not unknown, f"axes {unknown} have no place in {order}"
    moved = array.transpose([axes.index(name) for name in order if name in axes])
    lengths = dict(zip((name for name in order if name in axes), moved.shape))
    return moved.reshape([lengths.get(name, 1) for name in order])


def name_axes(
    array: Any, layout: Sequence[str], fixed: Sequence[str], is_iq: bool = False
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and lengths of an array's axes: from the format, the user, or its having one axis only.

    A vector that `is_iq`, complex or a part of I and Q, goes without a layout of pulses and iq that was given
    for other files.

    UserError: more than one axis, and nobody says which.
    """
    if fixed:
        return tuple(fixed), tuple(array.shape)
    if is_iq and len(_squeezed(array.shape)) == 1 and _is_pair(layout):
        return ("pulses",), _squeezed(array.shape)
    if layout:
        return parse_layout(layout, _squeezed(array.shape) if len(layout) < array.ndim else array.shape)
    shape = _squeezed(array.shape)
    if len(shape) > 1:
        raise UserError(
            f"shape {tuple(array.shape)}: which axis is what? say it in order with --layout, "
            f"{_examples(len(shape), array.dtype.kind == 'c')}"
        )
    return ("pulses",), shape


def _is_pair(layout: Sequence[str]) -> bool:
    """Whether it names slow time and I, Q alone."""
    return sorted(layout) in (["iq", "pulse"], ["iq", "pulses"], ["iq", "slow_time"], ["iq", "time"])


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A column or row vector of MATLAB is one axis."""
    return tuple(length for length in shape if length > 1) or (1,)


def _examples(axes: int, is_complex: bool) -> str:
    two = (
        "pulses,ranges, ranges,pulses, receivers,pulses or receivers,chirps*samples=64"
        if is_complex
        else "pulses,iq, iq,pulses (I first), chirps,samples or velocities,times"
    )
    cubes = {2: two, 3: "like frames,chirps,samples or receivers,pulses,ranges"}
    return cubes.get(axes, "like frames,chirps,receivers,samples")


def slow_axes(lengths: Mapping[str, int]) -> tuple[str, ...]:
    """The axes of slow time from the slowest to the fastest; UserError without any."""
    slow = tuple(name for name in SLOW if name in lengths)
    if not slow:
        raise UserError(
            f"--layout {','.join(lengths)}: no axis of slow time; expected pulses, chirps or frames"
        )
    return slow
