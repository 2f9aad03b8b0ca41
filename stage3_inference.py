"""Stage 3: draw spectrograms of chosen people. The same command with more of them adds what is missing.

    python stage3_inference.py --dit_checkpoint trained_models/checkpoints/best.ckpt --vavae_path W.pt \\
        --output_dir generated_images --user_ids 1 2 3 4 5 --num_samples_per_user 4 \\
        --guidance_scale 4.0 --num_steps 250
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy
import torch
from PIL import Image

from configs.command_line import is_main_process, parse, run_script, say
from configs.schema import SampleConfig
from data.atomic import write_text
from data.labels import LabelTable, natural_key
from data.pictures import grid, save_png
from data.progress import progress
from data.run_record import claim_folder
from data.tables import csv_text
from models.lightningdit import LightningDiT
from tokenizer.vavae import VAVAE
from training.checkpoint import DitPayload, load_trained, weights_digest
from training.hardware import resolve_device, resolve_devices, resolve_precision, tokenizer_precision
from training.processes import start_crew
from training.randomness import noise_for
from training.sampling import LatentSampler

METADATA = "micro_doppler"
GRID_COLUMNS = 8
# Settings that decide what an image looks like; one folder holds images of one choice of them.
DECIDING = (
    "guidance_scale",
    "guidance_interval",
    "guidance_channels",
    "guidance_rescale",
    "num_steps",
    "sampler",
    "timestep_shift",
    "seed",
)


@dataclass(frozen=True)
class Wanted:
    """One image asked for: person by label index, running number from 1, file name."""

    label: int
    number: int
    name: str


def run(config: SampleConfig) -> None:
    """Draw what `config` asks for and is not there yet; then samples.csv and the grid of all images asked
    for.

    Raises ValueError or FileNotFoundError in one line for bad input; existing images are never overwritten.
    """
    device = resolve_device(config.device)
    resolve_devices(device.type, config.devices)
    # The main process alone refuses; further ones start once all is well.
    studio = prepare(config, device) if is_main_process() else None
    crew = start_crew(device, config.devices)
    studio = studio or prepare(config, crew.device)
    folder, users, payload = Path(config.output_dir), studio.users, studio.payload
    wanted = [
        Wanted(u, k, file_name(payload.labels, u, k))
        for u in users
        for k in range(1, config.num_samples_per_user + 1)
    ]
    missing = {image for image in wanted if not (folder / image.name).exists()}
    precision = studio.describe["precision"]
    say(
        f"{len(wanted)} images of {len(users)} people, {len(wanted) - len(missing)} of them there: "
        + (f"drawing {len(missing)} on {device} ({precision})" if missing else "drawing skipped")
        + f"; {config.sampler}, {config.num_steps} steps, guidance {config.guidance_scale:g}"
    )
    batches = [wanted[i : i + config.batch_size] for i in range(0, len(wanted), config.batch_size)]
    # Only the main process looks which are there: another may have begun to draw.
    own = crew.share(crew.agree([batch for batch in batches if missing & set(batch)]))
    with progress(total=len(missing & set().union(*own)), description="drawing", unit="img") as bar:
        for batch in own:
            crew.end_with_the_main_process()
            bar.update(draw_batch(batch, studio.draw, studio.vae, payload, config, studio.describe))
    crew.wait()
    if not crew.rank:
        write_text(folder / "samples.csv", csv_text(sample_rows(folder)))
        write_grid(folder, wanted, payload.labels, users)
        say(f"wrote {len(missing)} images to {folder}; look at {folder / 'micro_doppler_grid.png'}")


@dataclass(frozen=True)
class Studio:
    """What drawing needs: label indices of the people asked for, networks, settings told in each image."""

    users: list[int]
    payload: DitPayload
    draw: LatentSampler
    vae: VAVAE
    describe: dict[str, Any]


def prepare(config: SampleConfig, device: torch.device) -> Studio:
    """Load the networks and claim the output folder; every refusal happens here."""
    precision = resolve_precision(config.precision, device)
    net, payload = load_trained(config.dit_checkpoint, config.latents_stats)
    users = payload.labels.resolve(config.user_ids)
    vae = load_tokenizer_for(config, net, payload, device, precision)
    identity = {"dit": weights_digest(net), "tokenizer": vae.digest}
    draw = LatentSampler(net, payload, config, device, precision)
    deciding = ("atol", "rtol", *DECIDING) if config.sampler == "dopri5" else DECIDING
    settings = {**{name: getattr(config, name) for name in deciding}, **identity}
    claim_folder(Path(config.output_dir), settings, "micro_doppler_*.png")
    describe = {**asdict(config), **identity, "precision": precision, "device": device.type}
    return Studio(users, payload, draw, vae, describe)


def load_tokenizer_for(
    config: SampleConfig, net: LightningDiT, payload: DitPayload, device: torch.device, precision: str
) -> VAVAE:
    """The tokenizer, refused when it is not the one the model's latents came from."""
    vae = VAVAE.from_file(config.vavae_path, device=device, precision=tokenizer_precision(precision))
    if payload.tokenizer_digest not in (None, vae.digest):
        raise ValueError(
            f"--vavae_path {config.vavae_path}: not the tokenizer this model was trained with (digest "
            f"{vae.digest[:12]}, expected {payload.tokenizer_digest[:12]}); give the one that stage 1 used"
        )
    expected = (net.config["in_channels"], net.config["input_size"], net.config["input_size"])
    if vae.latent_shape != expected:
        raise ValueError(
            f"--vavae_path {config.vavae_path}: latents of shape {vae.latent_shape}, the model draws "
            f"{expected}; "
            "give the tokenizer that stage 1 used"
        )
    return vae


def file_name(labels: LabelTable, label: int, number: int) -> str:
    """micro_doppler_user07_001.png for ID_7; the folder's full name where its number is missing or not its
    own alone.
    """
    own = labels.number(label)
    unique = own is not None and [labels.number(i) for i in range(len(labels))].count(own) == 1
    # Odd characters as %20: nothing that a path would obey, and never one name for two folders.
    escaped = re.sub(r"[^\w.-]", lambda found: quote(found[0], safe=""), labels.names[label])
    person = f"user{own:02d}" if unique else escaped
    return f"micro_doppler_{person}_{number:03d}.png"


def draw_batch(
    batch: Sequence[Wanted],
    draw: LatentSampler,
    vae: VAVAE,
    payload: DitPayload,
    config: SampleConfig,
    describe: dict[str, Any],
) -> int:
    """Draw one batch and write those of its images that are not there, each with its settings inside.

    The whole batch is drawn even if a part is there: matrix products of another shape round differently, and
    a run that was stopped and continued shall end in the same bytes. Returns the number of images written.
    """
    folder, names = Path(config.output_dir), payload.labels.names
    missing = {image.name for image in batch if not (folder / image.name).exists()}
    if not missing:
        return 0
    noise = torch.stack(
        [
            noise_for(vae.latent_shape, config.seed, "sample", names[image.label], image.number)
            for image in batch
        ]
    )
    latents = draw(noise, torch.tensor([image.label for image in batch]))
    if not torch.isfinite(latents).all():
        raise ValueError(
            f"guidance_scale {config.guidance_scale:g} at --precision {describe['precision']} gave latents "
            "that are not finite; use --precision 32 or a lower --guidance_scale"
        )
    for image, pixels in zip(batch, vae.decode(latents).numpy(), strict=True):
        if image.name not in missing:
            continue
        row = {
            "file": image.name,
            "user": names[image.label],
            "user_number": payload.labels.number(image.label),
            "label": image.label,
            "sample": image.number,
            "network_evaluations": draw.network_evaluations,
            **{
                name: value
                for name, value in describe.items()
                if name not in ("user_ids", "output_dir", "batch_size", "devices")
            },
        }
        save_png(Image.fromarray(pixels), folder / image.name, {METADATA: json.dumps(row)})
    return len(missing)


def sample_rows(folder: Path) -> list[dict[str, Any]]:
    """One row per image in `folder`, read back from the images themselves, so that the table cannot disagree
    with them.
    """
    rows = []
    for path in sorted(folder.glob("micro_doppler_*.png"), key=lambda path: natural_key(path.name)):
        with Image.open(path) as image:
            text = image.info.get(METADATA)
        if text is not None:  # the grid carries none
            rows.append(json.loads(text))
    return rows


def write_grid(folder: Path, wanted: Sequence[Wanted], labels: LabelTable, users: Sequence[int]) -> None:
    """micro_doppler_grid.png: a row per person asked for, the first few samples each."""
    rows = [
        [numpy.asarray(Image.open(folder / image.name)) for image in wanted if image.label == user][
            :GRID_COLUMNS
        ]
        for user in users
    ]
    cell = 256 if len(users) * len(rows[0]) <= 64 else 128
    save_png(grid(rows, [labels.names[user] for user in users], cell), folder / "micro_doppler_grid.png")


def main(argv: list[str]) -> None:
    run(parse("sample", ("sample",), argv, prog="stage3_inference.py", description=__doc__)["sample"])


if __name__ == "__main__":
    run_script(main)
