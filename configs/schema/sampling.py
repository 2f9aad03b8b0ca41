"""Keys of stage 3: a trained network to images."""

from dataclasses import dataclass
from typing import List, Optional

from omegaconf import MISSING as REQUIRED

from configs.keys import key
from configs.schema.shared import Command, axes_key, devices_key, margins_key, precision_key, weights_key

ON_A_GRID = ("euler", "heun", "abm3")
SOLVERS = (*ON_A_GRID, "dopri5")


@dataclass
class SampleConfig(Command):
    """stage3_inference.py."""

    dit_checkpoint: str = weights_key(
        REQUIRED,
        "best.ckpt or best.safetensors of stage 2, a published .pt, or what ships: demo, references, gaits.",
        affects="output",
    )
    vavae_path: str = weights_key(
        REQUIRED,
        "The tokenizer whose latents the model was trained on; compact = the one that ships.",
        affects="output",
    )
    output_dir: str = key(
        "generated_images", "Folder for images, grid, samples.csv and metadata.csv.", affects="nothing"
    )
    layout: str = key(
        "flat",
        "flat = all images side by side; folders = a folder per person, for torchvision's ImageFolder.",
        choices=("flat", "folders"),
        affects="output",
        counts_with="layout",
    )
    arrays: bool = key(
        False,
        "Also write each image as .npz (dB over velocity and time, with axes), and a labelled figure of each "
        "person.",
        affects="nothing",
    )
    npz: bool = key(
        False,
        "Also write samples.npz of the images asked for: arr_0 (N, H, W, 3) and labels arr_1, as the usual "
        "evaluators take it.",
        affects="nothing",
    )
    user_ids: List[str] = key(
        ["all"], "People to draw: numbers, ranges (1-5), folder names, or all.", affects="nothing"
    )
    references: Optional[str] = key(
        None,
        "Folder of a few images of each new person (ID_32/*.png), drawn in place of those trained on; what "
        "all in it share is taken for their radar's, so that each is drawn otherwise in other company.",
        content=True,
        affects="output",
        counts_with="references",
    )
    margins: str = margins_key(acts_with=("references", ()))
    num_samples_per_user: int = key(4, "Images per person.", low=1, high=100000, affects="run")
    num_samples: Optional[int] = key(
        None,
        "Images of all people together, as evenly shared as can be; overrides num_samples_per_user.",
        low=1,
        high=10**7,
        affects="run",
    )
    select: Optional[str] = weights_key(
        None,
        "Selecting judge of stage4_evaluate.py judge; keeps the images that it accepts, none = all.",
        affects="output",
    )
    keep: Optional[int] = key(
        None, "Images kept per person with --select; none = num_samples_per_user.", low=1, affects="run"
    )
    attempts: int = key(
        4,
        "With --select, images drawn at most for each one to be kept.",
        low=1,
        affects="run",
        acts_with=("select", ()),
    )
    guidance_scale: float = key(
        1.5, "Classifier-free guidance; 1 turns it off.", low=0, high=100, affects="output"
    )
    guidance_condition: Optional[float] = key(
        None,
        "Guidance towards the condition, of a model of people in conditions; none = guidance_scale.",
        low=0,
        high=100,
        affects="output",
    )
    guidance_person: Optional[float] = key(
        None,
        "Guidance towards the person, from nobody in the condition, of such a model; none = 1, no such step.",
        low=0,
        high=100,
        affects="output",
        counts_with="guidance_person",
    )
    guidance_interval: List[float] = key(
        [0.125, 1.0],
        "Times between which guidance acts; outside, an evaluation costs half.",
        low=0,
        high=1,
        affects="output",
    )
    guidance_channels: Optional[int] = key(
        None, "Leading channels guided; none = all (3 reproduces published samples).", low=1, affects="output"
    )
    guidance_rescale: float = key(
        0.0,
        "Share by which the guided velocity is brought back to its old scale.",
        low=0,
        high=1,
        affects="output",
    )
    num_steps: int = key(
        15, "Intervals of the time grid (ignored by dopri5).", low=1, high=100000, affects="output"
    )
    few_steps: int = key(
        2,
        "Evaluations of a few-step model (stage 2's distil_guidance), which has its own guidance and solver.",
        low=1,
        high=1000,
        affects="output",
    )
    sampler: str = key(
        "abm3", "ODE solver; abm3 takes one evaluation a step.", choices=SOLVERS, affects="output"
    )
    timestep_shift: float = key(
        0.85,
        "Shift of the grid towards noise; 0 or 1 = off, published results use 0.3.",
        low=0,
        high=100,
        affects="output",
        acts_with=("sampler", ON_A_GRID),
    )
    timestep_cosine: float = key(
        0.5,
        "Share of a cosine in the grid, finer at both ends; published results use 0.",
        low=0,
        high=1,
        affects="output",
        acts_with=("sampler", ON_A_GRID),
    )
    restarts: int = key(
        0,
        "Times that each image is noised back and drawn forth again: motion more regular, drawing slower.",
        low=0,
        high=100,
        affects="output",
        counts_with="restarts",
    )
    restart_interval: List[float] = key(
        [0.2, 0.6],
        "Times between which restarts go back and forth.",
        low=0,
        high=1,
        affects="output",
        counts_with="restarts",
        acts_with=("restarts", ()),
    )
    demo_grid: bool = key(
        False, "Draw upstream's eight demo classes, at its demo's settings, into a 2 x 4 grid.", affects="run"
    )
    atol: float = key(
        1e-6, "Absolute tolerance of dopri5.", above=0, affects="output", acts_with=("sampler", ("dopri5",))
    )
    rtol: float = key(
        1e-3, "Relative tolerance of dopri5.", above=0, affects="output", acts_with=("sampler", ("dopri5",))
    )
    latents_stats: Optional[str] = weights_key(
        None, "latents_stats.pt, only for published checkpoints, which carry none.", affects="output"
    )
    axes: List[float] = axes_key(affects="output", counts_with="axes")
    batch_size: int = key(16, "Images drawn at once.", low=1, high=65536, affects="nothing")
    compile: Optional[bool] = key(
        None,
        "Compile the network's blocks: half a minute at the start, evaluations a tenth (fp32) to a quarter "
        "(bf16) shorter; none = on a CPU, where the images are many enough to repay it.",
        affects="run",
    )
    seed: int = key(
        0, "Seed; image k of a person depends on it, the person and k only.", low=0, affects="output"
    )
    device: str = key("auto", "auto, cpu, cuda, cuda:1, ...", affects="run")
    devices: str = devices_key()
    precision: str = precision_key()
