"""Keys of stage 1: images to latents."""

from dataclasses import dataclass
from typing import List, Optional

from omegaconf import MISSING as REQUIRED

from configs.keys import key
from configs.schema.shared import (
    GEOMETRIES,
    Command,
    axes_key,
    devices_key,
    leave_out_key,
    margins_key,
    precision_key,
    weights_key,
)


@dataclass
class ExtractConfig(Command):
    """stage1_extract_features.py."""

    data_dir: str = key(
        REQUIRED,
        "Folder with train/, val/ and perhaps test/, as stage 0 writes it.",
        affects="run",
        content=True,
    )
    vavae_path: str = weights_key(
        REQUIRED,
        "Tokenizer weights: compact for the bundled ones, published .pt, .ckpt, or slim .safetensors.",
        affects="run",
    )
    output_path: str = key(
        "latent_features", "Folder for the latents and their statistics.", affects="nothing"
    )
    margins: str = margins_key()
    batch_size: int = key(32, "Images encoded at once.", low=1, high=65536, affects="nothing")
    imagenet_stats: Optional[str] = weights_key(
        None,
        "ImageNet's latents_stats.pt of the same tokenizer, to compare with; none = the one beside the "
        "tokenizer's file, where there is one.",
        affects="run",
    )
    geometry: str = key("stretch", "How an image becomes square.", choices=GEOMETRIES, affects="run")
    axes: List[float] = axes_key(affects="run")
    time_flip: bool = key(
        False,
        "Also encode mirrored images; of a spectrogram that is another motion, in reversed time.",
        affects="run",
    )
    augment_to: Optional[int] = key(
        None,
        "Fill each folder's training latents up to this number by its images' walks at other speeds and "
        "aspects, for the sake of a classifier; requires axes.",
        low=1,
        high=100000,
        affects="run",
    )
    skip_bad_images: bool = key(False, "Go on without images that cannot be read.", affects="run")
    leave_out: List[str] = leave_out_key(affects="run")
    num_workers: Optional[int] = key(
        None,
        "Threads that read images; none = one for each core, eight at most.",
        low=1,
        high=256,
        affects="nothing",
    )
    export: str = key(
        "none",
        "Also write the folder that upstream's loader reads.",
        choices=("none", "lightningdit"),
        affects="run",
    )
    device: str = key("auto", "auto, cpu, cuda, cuda:1, ...", affects="nothing")
    devices: str = devices_key()
    precision: str = precision_key()
    compile: bool = key(
        False, "Compile the tokenizer; for GPUs, on a CPU without AMX it does not pay.", affects="run"
    )
