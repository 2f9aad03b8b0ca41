"""Classifier-free guidance (arXiv 2207.12598) around a model, on an interval of times (arXiv 2404.07724)."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from configs.errors import UserError
from transport.transport import times_per_sample


class Midway(NamedTuple):
    """A label that says less than each label: `labels` (num_classes,) int64; `scale` of the step from it."""

    labels: Tensor
    scale: float


class Guidance:
    """Guided model: out = u + scale (c - u), from the conditional output c and the unconditional output u.

    `model(x, t, y)` takes x (N, C, ...), t (N,), y (N,) labels; `null_class` is the label that means none,
    None for a model trained without label dropout. Guidance acts for low <= t <= high of `interval`;
    elsewhere, and at scale 1, the model runs once, conditionally. Inside, one pass over a batch of 2 N serves
    both outputs, and scale 0 runs the unconditional half alone.

    With `midway`, out = u + scale (m - u) + midway.scale (c - m), where m is the output for the label
    `midway.labels[y]` (as in arXiv 2211.09800). `aside`, another one, adds (aside.scale - 1) (c - a): what
    the label has beyond a, as the terms of composed models do (arXiv 2206.01714).

    `channels` guides only the first so many channels and leaves the others conditional (None: all; 3 repeats
    published LightningDiT results); `rescale` in [0, 1] pulls the standard deviation per sample back to that
    of c (arXiv 2305.08891).

    `evaluations` counts network evaluations per sample since construction, or since the caller set it to 0.
    Raises UserError for values that cannot work.
    """

    def __init__(
        self,
        model: Callable[..., Tensor],
        null_class: int | None,
        scale: float = 1.0,
        interval: Sequence[float] = (0.0, 1.0),
        channels: int | None = None,
        rescale: float = 0.0,
        midway: Midway | None = None,
        aside: Midway | None = None,
    ) -> None:
        for each in (scale, *(one.scale for one in (midway, aside) if one)):
            _check(null_class, each, interval, channels, rescale)
        self.model = model
        self.null_class = null_class
        self.scale = scale
        self.interval = interval
        self.channels = channels
        self.rescale = rescale
        self.midway = midway if midway and midway.scale != scale else None  # equal steps are one
        self.aside = aside if aside and aside.scale != 1 else None
        self.evaluations = 0

    def __call__(self, x: Tensor, t: float | Tensor, y: Tensor, **keywords: Tensor) -> Tensor:
        """Guided output, like x, at one time t: a number or a CPU scalar, so that no device waits. The model
        gets the `keywords` where nothing guides it."""
        t = _host_time(t)
        times = times_per_sample(t, x)
        if not self._guides(t):
            return self._evaluate(x, times, [y], **keywords)
        if self.channels is not None and self.channels > x.shape[1]:
            raise UserError(f"guidance_channels={self.channels} must not exceed the sample's {x.shape[1]}")
        labels, scales = self._chain(y)
        if scales == [0] and not self.aside and self.channels is None and self.rescale == 0:
            return self._evaluate(x, times, labels[1:])
        if self.aside:
            labels.append(self.aside.labels[y])
        return self._combine(self._evaluate(x, times, labels).chunk(len(labels)), scales)

    def _chain(self, y: Tensor) -> tuple[list[Tensor], list[float]]:
        """Labels from the most conditional on, and the scale of the step to each from the next."""
        labels: list[Tensor] = [y]
        scales: list[float] = []
        if self.midway:
            labels, scales = [y, self.midway.labels[y]], [self.midway.scale]
        if self.scale != 1:
            assert self.null_class is not None
            labels.append(torch.full_like(y, self.null_class))
            scales.append(self.scale)
        return labels, scales

    @property
    def breaks(self) -> tuple[float, ...]:
        """Times inside (0, 1) at which the guided velocity jumps."""
        return tuple(t for t in self.interval if 0 < t < 1) if self._ever_guides else ()

    @property
    def _ever_guides(self) -> bool:
        return self.scale != 1 or self.midway is not None or self.aside is not None

    def _guides(self, t: float) -> bool:
        low, high = self.interval
        # An interval up to 1 has no end: dopri5 may look past t = 1, and a jump there would cost it steps.
        return self._ever_guides and low <= t and (t <= high or high == 1)

    def _evaluate(self, x: Tensor, t: Tensor, labels: list[Tensor], **keywords: Tensor) -> Tensor:
        """(len(labels) N, C, ...): the outputs for each of the labels (N,), one after the other."""
        count = len(labels)
        self.evaluations += count
        if count == 1:
            return self.model(x, t, labels[0], **keywords)
        return self.model(torch.cat([x] * count), torch.cat([t] * count), torch.cat(labels))

    def _combine(self, outputs: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
        # In the network's own half precision, a large scale would amplify the rounding of c - u.
        outputs = [output.to(torch.promote_types(output.dtype, torch.float32)) for output in outputs]
        guided, conditional = outputs[len(scales)], outputs[0]
        for scale, output, wider in reversed(list(zip(scales, outputs, outputs[1:]))):
            guided = guided + scale * (output - wider)
        if self.aside:
            guided = guided + (self.aside.scale - 1) * (conditional - outputs[-1])
        if self.channels is not None:
            guided = torch.cat([guided[:, : self.channels], conditional[:, self.channels :]], 1)
        return _rescale_std(guided, conditional, self.rescale) if self.rescale else guided


def _rescale_std(guided: Tensor, conditional: Tensor, amount: float) -> Tensor:
    axes = tuple(range(1, guided.ndim))
    ratio = conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True)
    return guided * (1 + amount * (ratio - 1))


def _host_time(t: float | Tensor) -> float:
    if isinstance(t, Tensor):
        assert t.ndim == 0 and t.device.type == "cpu", "Guidance takes one time: a number or a CPU scalar"
    return float(t)


def _check(
    null_class: int | None, scale: float, interval: Sequence[float], channels: int | None, rescale: float
) -> None:
    if not math.isfinite(scale):
        raise UserError(f"guidance_scale={scale!r} must be a finite number (1 means no guidance)")
    if null_class is None and scale != 1:
        raise UserError(
            f"guidance_scale={scale!r} needs a null class, but the model was trained without "
            "label dropout: use scale 1, or train with class_dropout_prob > 0"
        )
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise UserError(f"guidance_interval={interval!r} must be (low, high) with 0 <= low <= high <= 1")
    if channels is not None and channels < 1:
        raise UserError(f"guidance_channels={channels!r} must be at least 1, or None to guide every channel")
    if not 0 <= rescale <= 1:
        raise UserError(f"guidance_rescale={rescale!r} must lie in [0, 1] (0 turns it off)")
