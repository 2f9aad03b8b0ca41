"""Distilling a trained LightningDiT into one that draws in one to four evaluations (`transport.flow_map`)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from configs.schema import SampleConfig
from models.lightningdit import LightningDiT
from runtime.compiling import compile_blocks_
from training.dit_module import DiTModule
from transport.flow_map import STRETCH, draw_spans, flow_map_losses, spans_to
from transport.paths import broadcast_time

GUIDED_FROM = SampleConfig(dit_checkpoint="", vavae_path="").guidance_interval[0]


class DistillationModule(DiTModule):
    """`DiTModule` whose network, with `flow_map`, learns the ODE of `teacher`, guided by
    `config.distil_guidance` as stage 3 guides. The teacher is in no checkpoint.
    """

    def __init__(self, teacher: LightningDiT, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.config.compile:
            compile_blocks_(teacher)
        self.teacher = (teacher.eval().requires_grad_(False),)  # in a tuple it is no part of this module

    def draw_times(self, count: int, draw: torch.Generator) -> Tensor:
        """Spans (count, 3), as `losses` takes them."""
        return draw_spans(count, draw)

    def draw_dropped_labels(self, count: int, draw: torch.Generator) -> Tensor | None:
        """None of them: the map has the guidance in it."""
        probability, parts = self.payload.model["class_dropout_prob"], self.net.y_embedder.num_parts
        return torch.zeros(count, parts, dtype=torch.bool, device=self.device) if probability else None

    def losses(
        self, net: LightningDiT, x0: Tensor, x1: Tensor, t: Tensor, y: Tensor, drop: Tensor | None = None
    ) -> Tensor:
        """(N,) losses at spans t (N, 3), or of the map from noise to times t (N,)."""
        if t.ndim == 1:
            shortest, longest = STRETCH  # over a long one 16 bits lose least
            t = spans_to(t.clamp(min=shortest), torch.zeros_like(t), torch.full_like(t, longest))
        twice = None if drop is None else torch.cat([drop, drop])

        def mean_velocity(x: Tensor, s: Tensor, span: Tensor, labels: Tensor) -> Tensor:
            return net(x, s, labels, twice, span)

        return flow_map_losses(
            mean_velocity, partial(self.teacher_velocity, y), self.transport.path, x0, x1, t, y
        )

    def teacher_velocity(self, y: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Guided velocity (N,C,H,W) of the teacher for labels y (N,), at x and times t (N,)."""
        teacher, scale = self.teacher[0].to(x.device), self.config.distil_guidance
        velocity = self.transport.velocity(teacher)
        if scale == 1:
            return velocity(x, t, y)
        labels = torch.cat([y, torch.full_like(y, teacher.null_class)])
        outputs = velocity(torch.cat([x, x]), torch.cat([t, t]), labels).float()
        conditional, unconditional = outputs.chunk(2)
        guided = unconditional + scale * (conditional - unconditional)
        return torch.where(broadcast_time(t, x) >= GUIDED_FROM, guided, conditional)
