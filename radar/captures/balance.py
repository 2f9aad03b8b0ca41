"""Faults of a receiver: saturation; a direct current, unequal gains and a phase of I and Q that is not 90
degrees.
"""

from __future__ import annotations

import math

import numpy
from scipy.signal import get_window

SEGMENT_S = 0.04  # a walker's velocity is nearly steady within
VISIBLE = 0.02  # weaker mirror images, below -34 dB, are no more than the estimate's own scatter

LEAST_CLIPPED, PILED = 0.005, 10  # share of samples at an end, and times as many as at the values next to it
LOOKED_AT = 1_000_000  # samples, evenly spaced, for it


def clipped_share(values: numpy.ndarray) -> float:
    """Share of real samples that lie at the largest or smallest value where so many do that it must be the
    end of the converter's range; 0 elsewhere, as the crest of a wave piles up less.
    """
    values = values.reshape(-1)[:: max(1, values.size // LOOKED_AT)]
    levels, counts = numpy.unique(values, return_counts=True)
    if levels.size < 2 * PILED:
        return 0.0
    ends = [(counts[0], counts[1:PILED]), (counts[-1], counts[-PILED:-1])]
    piled = [end for end, near in ends if end > LEAST_CLIPPED * values.size and end > PILED * near.mean()]
    return float(sum(piled)) / values.size


def tell_saturation(iq: numpy.ndarray, notes: list[str]) -> None:
    """A note where the receiver saturates. Clipped alike, I and Q of an echo at v hold one at -3 v, since
    cos^3 gives cos 3x and sin^3 gives -sin 3x.
    """
    share = max(clipped_share(iq.real), clipped_share(iq.imag))
    if share:
        notes.append(
            f"saturated: {100 * share:.2g} % of the samples of I or Q lie at the end of the converter's "
            "range; what is seen at -3 times the torso's velocity is no limb but their distortion"
        )


def mirror_share(iq: numpy.ndarray) -> numpy.ndarray:
    """(S,) complex amplitude of the image at -v relative to the conjugate echo at v, of segments (S, P).

    With z = s + share * conj(s), s the balanced signal, the spectra of a segment obey Z(-f) = share *
    conj(Z(f)) wherever the echo is at f alone; least squares over the frequencies whose mirror is weaker.
    This is Gram-Schmidt's correction (gain and phase) to first order, without its bias by noise, of which
    the two channels have unequal parts.
    """
    spectrum = numpy.fft.fft((iq - iq.mean(-1, keepdims=True)) * get_window("blackman", iq.shape[-1]))
    mirror = numpy.roll(spectrum[..., ::-1], 1, axis=-1)
    power = numpy.abs(spectrum) ** 2
    weight = (power > numpy.abs(mirror) ** 2) * power
    return (weight * spectrum * mirror).sum(-1) / numpy.maximum((weight * power).sum(-1), 1e-30)


def balanced(iq: numpy.ndarray, prf_hz: float, notes: list[str]) -> numpy.ndarray:
    """`iq` (looks, bursts, P) without means and mirror images; what was estimated goes to `notes`.

    The share is the median over segments whose echo is above the middle one. Bursts above it take
    their own: near the radar the two channels saturate unequally, and their gains change.
    """
    iq = iq - iq.mean((1, 2), keepdims=True)
    looks, bursts, pulses = iq.shape
    length = pulses if bursts > 1 else min(pulses, max(16, round(SEGMENT_S * prf_hz)))
    segments = iq.reshape(looks, bursts * pulses)[:, : bursts * pulses // length * length]
    segments = segments.reshape(looks, -1, length)
    share, power = mirror_share(segments), segments.var(-1)
    strong = power >= numpy.median(power, axis=-1, keepdims=True)
    common = numpy.array([_median(row[keep]) for row, keep in zip(share, strong)])
    if numpy.abs(common).max() < VISIBLE:
        return iq.astype(numpy.complex64)
    loudest = common[numpy.abs(common).argmax()]
    ratio = (1 - loudest) / (1 + loudest)  # of Q's phasor to the one it should be
    phase = numpy.degrees(numpy.angle(ratio))
    notes.append(
        f"I and Q: gain {abs(ratio):.2f}, phase {phase:+.1f} degrees off, mirror image"
        f" {20 * math.log10(abs(loudest)):.0f} dB, removed (--no-balance keeps it)"
    )
    share = numpy.where(strong, share, common[:, None]) if bursts > 1 else common[:, None]
    return _unmixed(iq, share[..., None]).astype(numpy.complex64)


def _unmixed(iq: numpy.ndarray, share: numpy.ndarray) -> numpy.ndarray:
    """s of z = s + share * conj(s)."""
    return (iq - share * iq.conj()) / (1 - numpy.abs(share) ** 2)


def _median(values: numpy.ndarray) -> complex:
    return complex(numpy.median(values.real), numpy.median(values.imag))
