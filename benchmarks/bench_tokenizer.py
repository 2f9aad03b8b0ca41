"""What a tokenizer keeps of people's pictures, and how fast it is beside the full-size f16d32.

    python -m benchmarks.bench_tokenizer --data_dir data_split [--tokenizer compact] [--judge]

The pictures are the test split, else val, of a folder of stage 0. With --judge an identity classifier is
trained on the train split and asked to name the pictures and their reconstructions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy
import torch
from PIL import Image

from configs.command_line import run_script, say
from data.images import find_users, list_images, open_rgb
from data.labels import LabelTable
from data.progress import progress
from evaluation.judge import reduced, train_judge
from radar.kinematics import from_picture
from tokenizer.autoencoder import AutoencoderKL
from tokenizer.losses import high_frequency_energy, psnr, ssim
from tokenizer.vavae import VAVAE, preprocess, to_float

BINS = 128.0
REPEATS, SPEED_BATCH = 5, 2


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data_dir", required=True, type=Path)
    parser.add_argument("--tokenizer", default="compact")
    parser.add_argument("--judge", action="store_true")
    parser.add_argument("--seeds", type=int, default=3, help="judges trained (default 3)")
    parser.add_argument("--no_speed", action="store_true")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    vae = VAVAE.from_file(options.tokenizer)
    labels = find_users(options.data_dir / "train")
    held_out = "test" if (options.data_dir / "test").is_dir() else "val"
    pictures, people = read(options.data_dir, held_out, labels)
    decoded = reconstruct(vae, pictures)
    rows = [("pictures", f"{len(pictures)} ({held_out})")]
    rows += quality(pictures, decoded) + motion(pictures, decoded)
    if options.judge:
        training = read(options.data_dir, "train", labels)
        rows += identity(training, (pictures, decoded, people), len(labels), options.seeds)
    if not options.no_speed:
        rows += speed(vae)
    say("| figure | value |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows))


def read(folder: Path, split: str, labels: LabelTable) -> tuple[torch.Tensor, numpy.ndarray]:
    """uint8 (N,3,256,256) and label indices (N,) of one split."""
    records = list_images(folder / split, labels)
    images = [preprocess(open_rgb(record.path)) for record in progress(records, description=split)]
    return torch.stack(images), numpy.array([labels.index(record.user) for record in records])


def reconstruct(vae: VAVAE, pictures: torch.Tensor) -> torch.Tensor:
    """uint8 (N,3,H,W) through posterior means and back."""
    parts = progress(pictures.split(8), description="reconstructing")
    parts = [vae.decode(vae.encode(part).mean) for part in parts]
    return torch.cat(parts).permute(0, 3, 1, 2)


def quality(pictures: torch.Tensor, decoded: torch.Tensor) -> list[tuple[str, str]]:
    ratios = high_frequency_energy(to_float(decoded)) / high_frequency_energy(to_float(pictures))
    return [
        ("PSNR", f"{psnr(pictures, decoded).mean():.2f} dB"),
        ("SSIM", f"{ssim(pictures, decoded).mean():.3f}"),
        ("high-frequency energy, reconstruction / picture", f"{ratios.median():.2f}"),
    ]


def motion(pictures: torch.Tensor, decoded: torch.Tensor) -> list[tuple[str, str]]:
    """Mean absolute errors of torso line and envelopes in Doppler bins, per picture averaged over time."""
    errors = {"torso line": [], "upper envelope": [], "lower envelope": []}
    for before, after in zip(pictures, decoded):
        found = [
            from_picture(image.permute(1, 2, 0).numpy(), duration_s=2.0, velocity_low=0.0, velocity_high=BINS)
            for image in (before, after)
        ]
        for name, key in zip(errors, ("torso_mps", "upper_mps", "lower_mps")):
            a, b = (getattr(kinematics, key) for kinematics in found)
            errors[name].append(numpy.nanmean(numpy.abs(a - b)))
    return [(f"{name}, mean error", f"{numpy.nanmean(values):.2f} bins") for name, values in errors.items()]


def identity(
    training: tuple[torch.Tensor, numpy.ndarray],
    tested: tuple[torch.Tensor, torch.Tensor, numpy.ndarray],
    num_people: int,
    seeds: int,
) -> list[tuple[str, str]]:
    """Accuracy of judges trained on real pictures, on other real ones and on their reconstructions."""
    small, shown, decoded = (for_judge(images) for images in (training[0], *tested[:2]))
    right = []
    for seed in range(seeds):
        judge = train_judge(small, training[1], num_people, seed)
        right.append([(judge.predict(images).argmax(1) == tested[2]).mean() for images in (shown, decoded)])
    real, rebuilt = numpy.mean(right, axis=0)
    return [(f"judged right, pictures / reconstructions ({seeds} judges)", f"{real:.1%} / {rebuilt:.1%}")]


def for_judge(images: torch.Tensor) -> numpy.ndarray:
    return numpy.stack([reduced(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])


def speed(vae: VAVAE) -> list[tuple[str, str]]:
    """Full-size over this tokenizer's time, measured in turn; the full-size net has random weights."""
    full = VAVAE(AutoencoderKL().eval().requires_grad_(False))
    images = torch.randint(0, 256, (SPEED_BATCH, 3, 256, 256), dtype=torch.uint8)
    latents = torch.randn(SPEED_BATCH, 32, 16, 16)
    rows = []
    for name, argument in (("encode", images), ("decode", latents)):
        seconds = {"full": [], "compact": []}
        for _ in progress(range(REPEATS), description=f"timing {name}"):
            for which, tokenizer in (("full", full), ("compact", vae)):
                started = time.perf_counter()
                getattr(tokenizer, name)(argument)
                seconds[which].append(time.perf_counter() - started)
        ratio = statistics.median(seconds["full"]) / statistics.median(seconds["compact"])
        rows.append((f"{name}, times as fast as the full-size f16d32", f"{ratio:.1f}"))
    return rows


if __name__ == "__main__":
    run_script(main)
