"""A trained network and its tokenizer, loaded together and checked against each other."""

from __future__ import annotations

from typing import NamedTuple

import torch

from configs.errors import UserError
from models.lightningdit import LightningDiT
from runtime.devices import resolve_precision, tokenizer_precision
from sampling.model_file import DitPayload, load_trained
from tokenizer.vavae import VAVAE


class Networks(NamedTuple):
    """What draws: the network, what its file tells beside the weights, the tokenizer on its device, and the
    arithmetic, resolved.
    """

    net: LightningDiT
    payload: DitPayload
    vae: VAVAE
    precision: str


def load_networks(
    checkpoint: str, tokenizer: str, latents_stats: str | None, device: torch.device, precision: str
) -> Networks:
    """Network and tokenizer from files as of `load_trained` and `VAVAE.from_file`; `auto` precision as of
    `resolve_precision`. UserError: a file is not what it should be, or the two do not belong together.
    """
    precision = resolve_precision(precision, device)
    net, payload = load_trained(checkpoint, latents_stats)
    vae = VAVAE.from_file(tokenizer, device=device, precision=tokenizer_precision(precision))
    require_tokenizer_of(tokenizer, vae, net, payload)
    return Networks(net, payload, vae, precision)


def require_tokenizer_of(path: str, vae: VAVAE, net: LightningDiT, payload: DitPayload) -> None:
    """UserError when the tokenizer in `path` is not the one the model's latents came from."""
    if payload.tokenizer_digest not in (None, vae.digest):
        raise UserError(
            f"--vavae_path {path}: not the tokenizer this model was trained with (digest "
            f"{vae.digest[:12]}, expected {payload.tokenizer_digest[:12]}); give the one that stage 1 used"
        )
    expected = (net.config["in_channels"], net.config["input_size"], net.config["input_size"])
    if vae.latent_shape != expected:
        raise UserError(
            f"--vavae_path {path}: latents of shape {vae.latent_shape}, the model draws {expected}; "
            "give the tokenizer that stage 1 used"
        )
