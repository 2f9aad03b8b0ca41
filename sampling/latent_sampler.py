"""From noise to latents: network, guidance and solver put together as stage 3 and the previews use them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from configs.errors import UserError
from configs.keys import idle_notes
from configs.schema import SampleConfig
from data.conditions import Conditions
from models.embedders import LabelEmbedder
from models.lightningdit import LightningDiT
from runtime.compiling import with_compiled_blocks
from runtime.devices import autocast
from sampling.model_file import DitPayload, is_published
from transport import Guidance, Midway, Sampler, create_transport
from transport.transport import times_per_sample


class LatentSampler:
    """Draws latents of given labels from given noise.

    `network_evaluations` is what the last call spent per image, the unconditional branch counted.
    """

    def __init__(
        self,
        net: LightningDiT,
        payload: DitPayload,
        settings: SampleConfig,
        device: torch.device,
        precision: str,
    ) -> None:
        settings = settings_for(payload, settings)
        self.net, self.payload, self.settings = net.to(device), payload, settings
        self.device, self.precision = device, precision
        self.statistics = payload.statistics.to(device)
        if (settings.guidance_channels or 0) > net.in_channels:
            raise UserError(
                f"--guidance_channels {settings.guidance_channels}: the model has {net.in_channels} channels"
            )
        self.transport = create_transport(**payload.transport)
        self.guidance = Guidance(
            self._velocity(),
            net.null_class if net.config["class_dropout_prob"] else None,
            settings.guidance_scale,
            settings.guidance_interval,
            settings.guidance_channels,
            settings.guidance_rescale,
            *steps_to_conditions(settings, net, payload, device),
        )
        self.solve = Sampler(self.transport).sample_ode(
            sampling_method=settings.sampler,
            num_steps=settings.num_steps,
            atol=settings.atol,
            rtol=settings.rtol,
            timestep_shift=settings.timestep_shift,
            timestep_cosine=settings.timestep_cosine,
            breaks=self.guidance.breaks,
            restarts=settings.restarts,
            restart_interval=settings.restart_interval,
        )
        self.network_evaluations = 0

    @property
    def solver(self) -> str:
        """abm3, 15 steps, 5 restarts, guidance 1.5"""
        taken = self.settings
        restarts = f", {taken.restarts} restarts" if taken.restarts else ""
        if is_few_step(self.payload):
            scale = self.payload.config["distil_guidance"]
            return f"a few-step model: {taken.num_steps} evaluations{restarts}, guidance {scale:g} built in"
        grid = (
            f"{taken.num_steps} steps"
            if taken.sampler != "dopri5"
            else f"tolerances {taken.atol:g}, {taken.rtol:g}"
        )
        return f"{taken.sampler}, {grid}{restarts}, guidance {taken.guidance_scale:g}"

    def at(self, precision: str) -> LatentSampler:
        """This sampler in another arithmetic; the network is shared."""
        other = copy.copy(self)
        other.precision = precision
        return other

    def compiled(self, compile: bool) -> LatentSampler:
        """This sampler with the network's blocks compiled or not; its weights are shared."""
        other = copy.copy(self)
        other.settings = replace(self.settings, compile=compile)
        other.guidance = copy.copy(self.guidance)
        other.guidance.model = other._velocity()
        return other

    def _velocity(self) -> Callable[..., Tensor]:
        """Of the network, its blocks compiled where the settings ask for it."""
        return self.transport.velocity(with_compiled_blocks(self.net) if self.settings.compile else self.net)

    def evaluations(self) -> int:
        """Network evaluations that an image takes, unconditional ones counted; with dopri5, which finds its
        steps as it goes, those of `num_steps` of Euler.
        """
        solver = "euler" if self.settings.sampler == "dopri5" else self.settings.sampler
        settings = replace(self.settings, sampler=solver, compile=False)
        still = LatentSampler(self.net, self.payload, settings, self.device, "32")
        still.guidance.model = lambda x, t, y, **keywords: torch.zeros_like(x)
        noise = torch.zeros(1, 1 + settings.restarts, self.net.in_channels, 1, 1)
        still(noise, torch.zeros(1, dtype=torch.int64))
        return still.network_evaluations

    def one_evaluation(self) -> LatentSampler:
        """A sampler that takes one guided evaluation a call, which is what the time of a call goes into."""
        one = replace(
            self.settings,
            sampler="euler",
            num_steps=1,
            guidance_interval=[0.0, 1.0],
            few_steps=1,
            restarts=0,
            compile=False,
        )
        return LatentSampler(self.net, self.payload, one, self.device, self.precision)

    @torch.inference_mode()
    def __call__(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Noise (N,1+R,C,H,W), of the start and of each of R restarts, or (N,C,H,W) where there are none, and
        labels (N,) to latents (N,C,H,W) in the tokenizer's own scale, float32 on the device.

        dopri5 chooses its steps from all images of a call together; it is run image by image, so that an
        image does not depend on its neighbours.
        """
        noise = noise if noise.ndim == 5 else noise[:, None]
        assert noise.shape[1] == 1 + self.settings.restarts, noise.shape
        noise, labels = noise.to(self.device), labels.to(self.device)
        size = 1 if self.settings.sampler == "dopri5" else len(noise)
        before = self.guidance.evaluations
        parts = [self._solve(z, y) for z, y in zip(noise.split(size), labels.split(size))]
        self.network_evaluations = (self.guidance.evaluations - before) // len(parts)
        return self.statistics.denormalise(torch.cat(parts))

    def _solve(self, noise: Tensor, labels: Tensor) -> Tensor:
        def velocity(x: Tensor, t: float, span: float | None = None) -> Tensor:
            spans = {} if span is None else {"span": times_per_sample(span, x)}
            with autocast(self.device, self.precision):
                return self.guidance(x, t, labels, **spans).float()

        start, *fresh = noise.unbind(1)
        return self.solve(start, velocity, fresh=fresh)


def steps_to_conditions(
    settings: SampleConfig, net: LightningDiT, payload: DitPayload, device: torch.device
) -> tuple[Midway | None, Midway | None]:
    """Guidance towards the condition, from each label's person in no condition, and towards the person, from
    nobody in the label's condition; None where it is not asked for.

    UserError: one of them for a model that knows people in no conditions.
    """
    asked = {name: getattr(settings, name) for name in ("guidance_condition", "guidance_person")}
    scales = {name: scale for name, scale in asked.items() if scale is not None}
    if not scales:
        return None, None
    if payload.model.get("combinations") is None:  # models of before conditions lack the key
        name, scale = next(iter(scales.items()))
        raise UserError(
            f"--{name} {scale:g}: the model knows people only, in no "
            "conditions; leave it out, or train with --conditions"
        )
    assert isinstance(net.y_embedder, LabelEmbedder)
    known = Conditions(payload.labels, payload.model["combinations"])
    starts = known.person_alone(), [net.y_embedder.condition_of_nobody(one) for _, one in known.pairs]
    condition, person = (  # moved once, not at every evaluation
        None if scale is None else Midway(torch.tensor(labels, device=device), scale)
        for labels, scale in zip(starts, asked.values())
    )
    return condition, person


def settings_for(payload: DitPayload, settings: SampleConfig) -> SampleConfig:
    """`settings` as they act on this model: a few-step one has its own solver, an even grid and guidance."""
    if not is_few_step(payload):
        return settings
    return replace(
        settings,
        sampler="flow_map",
        num_steps=settings.few_steps,
        timestep_shift=0.0,
        timestep_cosine=0.0,
        guidance_scale=1.0,
        guidance_condition=None,
        guidance_person=None,
    )


def unread(payload: DitPayload, settings: SampleConfig) -> list[str]:
    """A note on each kind of settings that were asked for and do nothing with this model."""
    idle = {"few-step models alone read it": ["few_steps"]}
    if is_few_step(payload):
        guidance = ["guidance_scale", "guidance_condition", "guidance_person"]
        grid = ["sampler", "num_steps", "timestep_shift", "timestep_cosine"]
        idle = {"a few-step model has its own": [*grid, *guidance]}
    acted = settings_for(payload, settings)
    if acted.guidance_scale == 1 and acted.guidance_condition is acted.guidance_person is None:
        idle["nothing is guided"] = ["guidance_interval", "guidance_channels", "guidance_rescale"]
    if not is_published(settings.dit_checkpoint):  # a preset may serve published ones, too
        idle[f"{settings.dit_checkpoint} carries its own"] = ["latents_stats"]
    return idle_notes(
        {why: [f"--{name}" for name in names if name in settings.given] for why, names in idle.items()}
    )


def is_few_step(payload: DitPayload) -> bool:
    """Whether the model was distilled; those of before there were such models do not say."""
    return bool(payload.model.get("flow_map"))


def usual_settings(payload: DitPayload) -> SampleConfig:
    """Stage 3's defaults, without guidance where the network has no null class."""
    guided = SampleConfig(dit_checkpoint="", vavae_path="")
    return guided if payload.model["class_dropout_prob"] else replace(guided, guidance_scale=1.0)
