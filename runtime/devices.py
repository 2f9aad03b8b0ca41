"""Which device, how many of them, and which arithmetic they truly have."""

from __future__ import annotations

import os
import re

import torch

from configs.errors import UserError


def resolve_device(name: str) -> torch.device:
    """`auto` takes the first GPU, else the CPU; any other name must exist here (UserError)."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device {name}: expected auto, cpu, cuda or cuda:1") from error
    if device.type == "cuda":
        if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
            raise UserError(
                f"--device {name}: this machine has {torch.cuda.device_count()} usable GPUs; use auto or cpu"
            )
        check_kernels(device)
    elif device.type not in ("cpu", "mps"):
        raise UserError(f"--device {name}: expected auto, cpu, cuda or cuda:1")
    return device


def resolve_devices(accelerator: str, devices: str) -> tuple[str, int]:
    """Lightning's accelerator and the number of devices; `auto` devices are all GPUs, or one CPU process."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if accelerator == "auto":
        accelerator = "cuda" if gpus else "cpu"
    if accelerator == "cuda" and not gpus:
        raise UserError("--accelerator cuda: this machine has no usable GPU; use --accelerator cpu")
    if devices == "auto":
        count = gpus if accelerator == "cuda" else 1
    elif devices.isdigit() and int(devices) > 0:
        count = int(devices)
    else:
        raise UserError(f"--devices {devices}: expected a positive number or auto")
    cores = max(2, os.cpu_count() or 1)
    if accelerator == "cpu" and count > cores:
        raise UserError(f"--devices {count}: on a CPU each is a process, this machine has {cores} cores")
    if accelerator == "cuda":
        if count > gpus:
            raise UserError(
                f"--devices {count}: this machine has {gpus} usable GPUs; use --devices {gpus} or auto"
            )
        check_kernels(torch.device("cuda", 0))
    return accelerator, count


def check_kernels(device: torch.device) -> None:
    """Refuse a card for which this build of torch holds no kernels: older than all, or newer than all.

    A kernel runs on its own major version from its minor version on; PTX on everything from there on (CUDA
    C++ Programming Guide, "Compute Capability"). Builds of torch: its RELEASE.md, "CUDA Support Matrix".
    """
    capability = torch.cuda.get_device_capability(device)
    named = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", arch) for arch in torch.cuda.get_arch_list()]
    built = [(match[1], (int(match[2]), int(match[3]))) for match in named if match]
    if not built or any(
        arch <= capability and (kind == "compute" or arch[0] == capability[0]) for kind, arch in built
    ):
        return
    versions = sorted(arch for _, arch in built)
    if capability < versions[0]:
        way_out = "a torch 2.8 to 2.14 built for CUDA 12.6 (+cu126), which serves cards from 5.0 to 9.0"
    else:
        way_out = "a torch built for CUDA 12.8 or newer"
    number, lowest, highest = (".".join(map(str, one)) for one in (capability, versions[0], versions[-1]))
    raise UserError(
        f"{torch.cuda.get_device_name(device)}: compute capability {number}, but this torch "
        f"{torch.__version__} holds kernels for {lowest} to {highest} only; "
        f"choose another accelerator (Kaggle: T4 x2), {way_out}, or cpu"
    )


def candidate_precisions(device: torch.device) -> tuple[str, ...]:
    """What `auto` chooses from, fp32 first: bf16 where `device` has it, fp16 on GPUs that have nothing
    better, because it overflows.

    A T4 (7.5) reports bf16 but emulates it, so bf16 needs compute capability 8.0.
    """
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        low = "bf16-mixed" if capability >= (8, 0) else "16-mixed" if capability >= (7, 0) else None
    else:
        low = "bf16-mixed" if device.type == "cpu" else None
    return ("32", low) if low else ("32",)


def resolve_precision(name: str, device: torch.device) -> str:
    """A named arithmetic, refused where `device` lacks it; for `auto` what is taken unmeasured: bf16 or fp16
    on GPUs that have it, else fp32 (`runtime.precision` measures).
    """
    if device.type == "cuda":
        candidates = candidate_precisions(device)
        if name == "auto":
            return candidates[-1]
        if name == "bf16-mixed" and name not in candidates:
            raise UserError(
                f"--precision bf16-mixed: {torch.cuda.get_device_name(device)} only emulates bf16; "
                "use auto or 16-mixed"
            )
        return name
    if name == "16-mixed":
        raise UserError(
            f"--precision 16-mixed: needs a GPU, and this run uses {device.type}; use auto, bf16-mixed or 32"
        )
    return "32" if name == "auto" else name


def tokenizer_precision(precision: str) -> str:
    """`32` or `bf16` for the convolutional tokenizer: fp32 on fp16-only cards, where it overflows."""
    return "bf16" if precision == "bf16-mixed" else "32"


def tokenizer_candidates(device: torch.device) -> tuple[str, ...]:
    """`candidate_precisions` in which a convolutional tokenizer does not overflow."""
    return tuple(
        name for name in candidate_precisions(device) if name == "32" or tokenizer_precision(name) != "32"
    )


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of a resolved precision."""
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "32")


def lightning_precision(precision: str) -> str:
    """Lightning's name of a resolved precision."""
    return "32-true" if precision == "32" else precision
