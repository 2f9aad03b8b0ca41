"""Flow maps: a network learns whole stretches of an ODE, so that few evaluations draw.

X(s, t) carries a state at time s to that at t, as x + (t - s) u(x, s, t) with a mean velocity u. Lagrangian
distillation (arXiv 2505.18825) asks that the velocity along the map be that of the ODE where the map has
arrived: d/dt X(s, t) = v(X(s, t), t). Here the derivative is a difference over a short stretch [r, t], with v
taken in the middle of it, which errs by the square of the stretch and needs no forward-mode derivative.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from transport.losses import velocity_loss
from transport.paths import Path, broadcast_time

FROM_NOISE = 0.4  # share of the spans that begin at noise, as every drawing does
STRETCH = (0.02, 0.15)  # its shortest and longest


def draw_spans(num: int, generator: torch.Generator | None = None) -> Tensor:
    """Times (num, 3) float32 s <= r < t in [0, 1] on the generator's device: begin, and the stretch at the
    end."""
    device = generator.device if generator else None
    begin, end, length, noise = torch.rand(4, num, generator=generator, device=device)
    shortest, longest = STRETCH
    begin = torch.where(noise < FROM_NOISE, 0.0, (1 - shortest) * begin)
    end = torch.maximum(begin + (1 - begin) * end, begin + shortest)
    return spans_to(end, begin, shortest + (longest - shortest) * length)


def spans_to(end: Tensor, begin: Tensor, stretch: Tensor) -> Tensor:
    """Times (N, 3) from begins and ends (N,); a stretch of at most `stretch` (N,)."""
    return torch.stack([begin, torch.maximum(begin, end - stretch), end], 1)


def flow_map_losses(
    mean_velocity: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    velocity: Callable[[Tensor, Tensor], Tensor],
    path: Path,
    x0: Tensor,
    x1: Tensor,
    times: Tensor,
    y: Tensor,
) -> Tensor:
    """(N,) mean squared differences between the velocity along the map and that of the ODE.

    `mean_velocity(x, s, span, y)` is the network's and gets 2N samples; `velocity(x, t)`, of N with their
    times (N,), is the teacher's and gets no gradient. Noise x0 and data x1 (N, C, ...), times (N, 3) of
    `draw_spans`, labels y (N,).
    """
    begin, early, late = times.to(x1).unbind(1)
    start = path.interpolate(x0, x1, begin)
    twice = torch.cat([start, start])
    spans = torch.cat([late - begin, early - begin])
    mean = mean_velocity(twice, torch.cat([begin, begin]), spans, torch.cat([y, y])).to(x1.dtype)
    after, before = (twice + broadcast_time(spans, twice) * mean).chunk(2)
    with torch.no_grad():
        target = velocity((after + before) / 2, (late + early) / 2).to(x1.dtype)
    along = (after - before) / broadcast_time(late - early, after)
    return velocity_loss(along, target)
