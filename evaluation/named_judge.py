"""A judge of timm's (`--judge resnet18`) in place of the small network: trained by the same rule, from new
weights, on whole images of SIDE pixels or of the one size that the model takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from configs.errors import UserError, first_line
from evaluation.judge import Judge, SmallJudge

SIDE = 256
BROKEN = (RuntimeError, TypeError, ValueError, AttributeError, AssertionError, NotImplementedError)


class NamedJudge(Judge):
    """timm's model `name`, of images (N, 3, side, side)."""

    batch = 32
    model: Any

    def __init__(self, name: str, num_classes: int) -> None:
        super().__init__()
        import timm  # here, because only a named judge needs it, and it takes seconds

        self.network = name
        self.model = timm.create_model(name, pretrained=False, num_classes=num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def pooled(self, x: Tensor) -> Tensor:
        return self.model.forward_head(self.model.forward_features(x), pre_logits=True).flatten(1)

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """The last one alone: models name their layers in many ways."""
        features = self.model.forward_features(x)
        if features.ndim == 3:  # tokens (N, T, C)
            yield features.transpose(1, 2)[..., None]
        else:
            last = features.shape[1] != self.model.num_features == features.shape[-1]
            yield features.permute(0, 3, 1, 2) if last else features


class Network(NamedTuple):
    """What makes a judge for a number of people, and the side of the square images that it takes, None for
    reduced ones.
    """

    build: Callable[[int], Judge] = SmallJudge
    side: int | None = None


def network_named(name: str | None, device: torch.device) -> Network:
    """The small one without a name, on the CPU; else timm's on `device`. UserError: timm knows no such model,
    or it cannot be a judge.
    """
    if not name:
        return Network()
    import timm

    if not timm.is_model(name):
        raise UserError(f"--judge {name}: timm knows no such model; expected one such as resnet18")
    config = timm.get_pretrained_cfg(name)
    side = config.input_size[-1] if config and config.fixed_input_size else SIDE
    try:
        with torch.random.fork_rng(), torch.no_grad():
            judge, image = NamedJudge(name, 2).eval(), torch.zeros(1, 3, side, side)
            fits = judge(image).shape == (1, 2) and judge.pooled(image).ndim == 2
            fits &= all(layer.ndim == 4 for layer in judge.maps(image))
    except BROKEN as error:
        raise UserError(
            f"--judge {name}: not usable as a judge ({first_line(error, 120)}); try resnet18"
        ) from error
    if not fits:
        raise UserError(f"--judge {name}: classifies no images of {side} pixels; try resnet18")
    return Network(lambda num_classes: NamedJudge(name, num_classes).to(device), side)
