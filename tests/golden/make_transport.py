"""Write transport_small.safetensors beside this file: what the transport room answers to fixed inputs.

usage: python tests/golden/make_transport.py
Run it only when an answer is meant to change; the tests compare with the file that is committed.
"""

import math
import os
import sys
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from transport import Sampler, create_transport
from transport.timesteps import time_grid

PATH_TYPES = ("Linear", "GVP", "VP")
SOLVERS = ("euler", "dopri5")


def transport_inputs() -> dict[str, Tensor]:
    """Inputs x0, x1 (3,4,2,2), times t (3,) and ODE start z (2,4,2,2), from a fixed seed."""
    draw = numpy.random.default_rng(20240607).standard_normal
    shapes = {"x0": (3, 4, 2, 2), "x1": (3, 4, 2, 2), "z": (2, 4, 2, 2)}
    inputs = {name: torch.from_numpy(draw(shape).astype(numpy.float32)) for name, shape in shapes.items()}
    return {**inputs, "t": torch.tensor([0.1, 0.5, 0.9])}


def golden_model(x: Tensor, t: Tensor) -> Tensor:
    """The model that the losses are measured on."""
    return 0.5 * x + 0.1 * t[:, None, None, None]


def transport_outputs(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every golden answer: paths, conversions, losses, the shifted grid and ODE ends."""
    outputs = {"grid.points11.shift0.3": time_grid(10, 0.3).float()}
    for path_type in PATH_TYPES:
        outputs |= _path_outputs(path_type, inputs["x0"], inputs["x1"], inputs["t"])
        outputs |= _loss_outputs(path_type, inputs["x0"], inputs["x1"], inputs["t"])
    return outputs | _ode_outputs(inputs["z"])


def _path_outputs(path_type: str, x0: Tensor, x1: Tensor, t: Tensor) -> dict[str, Tensor]:
    path = create_transport(path_type).path
    xt, ut = path.interpolate(x0, x1, t), path.target(x0, x1, t)
    score = path.score_from_velocity(ut, xt, t)
    answers = {"xt": xt, "ut": ut, "score_from_velocity": score,
               "velocity_from_score": path.velocity_from_score(score, xt, t)}
    return {f"{path_type.lower()}.{name}": value for name, value in answers.items()}


def _loss_outputs(path_type: str, x0: Tensor, x1: Tensor, t: Tensor) -> dict[str, Tensor]:
    outputs = {}
    for prediction in ("velocity", "noise", "score"):
        for weight in (None, "velocity", "likelihood"):
            transport = create_transport(path_type, prediction, weight)
            terms = transport.training_losses(golden_model, x1, x0=x0, t=t)
            outputs[f"loss.{path_type}.{prediction}.{weight}"] = terms["loss"]
            if "cos_loss" in terms:
                outputs[f"cosloss.{path_type}.{prediction}.{weight}"] = terms["cos_loss"]
    return outputs


def _ode_outputs(z: Tensor) -> dict[str, Tensor]:
    sampler, outputs = Sampler(create_transport()), {}
    for method in SOLVERS:
        for shift in (0.0, 0.3):
            sample = sampler.sample_ode(method, num_steps=10, timestep_shift=shift)
            outputs[f"ode.{method}.points11.shift{shift}"] = sample(z, lambda x, t: -x + math.sin(3 * t))
    return outputs


def main() -> None:
    """Write the file under a temporary name, then rename it."""
    inputs = transport_inputs()
    target = Path(__file__).with_name("transport_small.safetensors")
    partial = target.with_suffix(".partial")
    tensors = inputs | transport_outputs(inputs)
    save_file({name: value.contiguous() for name, value in tensors.items()}, partial)
    os.replace(partial, target)
    print(f"wrote {target.name}")


if __name__ == "__main__":
    main()
