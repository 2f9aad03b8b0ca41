"""A training step as others write it: torchcfm's flow matching around diffusers' DiTTransformer2DModel.

The network has as many blocks, heads and channels and as large patches as ours, the loop is torchcfm's own
for images: independent couplings, mean squares of velocities, clipping, AdamW, a moving average. Diffusers'
blocks embed time and person anew each and multiply 4 times as wide between; so parameters differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from configs.schema import TrainConfig
from runtime.devices import autocast
from training.batches import BatchStream

ABSENT = "diffusers or torchcfm is not installed (requirements-bench.txt): no rows of other libraries."


def installed() -> bool:
    try:
        import diffusers  # noqa: F401
        import torchcfm  # noqa: F401
    except ImportError:
        return False
    return True


class PeerLoop:
    """The training as the benchmark drives it, step by step; `fetch` gives batches as `BatchStream` wants."""

    def __init__(
        self,
        fetch: Callable[[torch.Tensor], dict[str, Any]],
        samples: int,
        arguments: dict[str, Any],
        config: TrainConfig,
        device: torch.device,
        precision: str,
        compile: bool,
    ) -> None:
        from diffusers import DiTTransformer2DModel
        from torchcfm import ConditionalFlowMatcher

        torch.manual_seed(0)
        net = DiTTransformer2DModel(
            num_attention_heads=arguments["num_heads"],
            attention_head_dim=arguments["hidden_size"] // arguments["num_heads"],
            in_channels=arguments["in_channels"],
            num_layers=arguments["depth"],
            sample_size=arguments["input_size"],
            patch_size=arguments["patch_size"],
            num_embeds_ada_norm=arguments["num_classes"],
        )
        self.net, self.device, self.precision = net.to(device), device, precision
        self.millions = sum(parameter.numel() for parameter in net.parameters()) / 1e6
        self.forward = torch.compile(self.net) if compile else self.net
        self.matcher = ConditionalFlowMatcher(sigma=0.0)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), config.lr, (0.9, config.beta2), weight_decay=config.weight_decay
        )
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        self.stream = BatchStream(fetch, samples, config.batch_size, 10**6, 0)
        self.batches, self.loaded = iter(self.stream), 0.0

    def step(self) -> torch.Tensor:
        batch = next(self.batches)
        mean, std, labels = (batch[name].to(self.device) for name in ("mean", "std", "labels"))
        x1 = mean + std * torch.randn_like(mean)
        t, x, velocity = self.matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
        with autocast(self.device, self.precision):
            predicted = self.forward(x, timestep=1000 * t, class_labels=labels, return_dict=False)[0]
            loss = (predicted.float() - velocity).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.net)
        self.loaded = self.stream.seconds
        return loss.detach()
