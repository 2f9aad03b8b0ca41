"""What a tokenizer keeps of people's images, and how fast it is beside the full-size f16d32.

    python -m benchmarks.bench_tokenizer --data_dir data_split [--tokenizer compact] [--judge]
    python -m benchmarks.bench_tokenizer [--batch_size 2] [--images 32] [--compact] [--quick]

Without --data_dir only speed: the full-size f16d32 with random weights, or the compact one, against its own
fp32 NCHW eager form (and diffusers' AutoencoderKL of such sizes, where installed), the share of this
device's rate in large matrix products at our precision that each reaches, and stage 1 from JPEG files to
safetensors against encoding alone; exit status 1 where the results are not those of fp32 by 40 dB.

The images are the test split, else val, of a folder of stage 0. With --judge an identity classifier is
trained on the train split and asked to name the images and their reconstructions.
"""

from __future__ import annotations

import argparse
import copy
import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.form import table
from benchmarks.peer_tokenizer import ABSENT, peers
from benchmarks.pictures import high_frequency_energy, write_pictures
from benchmarks.turns import in_turn, report
from configs.command_line import run_script, say
from configs.schema import ExtractConfig
from data.images import Splits, find_splits, open_rgb
from data.progress import progress
from evaluation.judge import reduced, train_judge
from radar.kinematics import from_image
from runtime.compiling import compiled_tokenizer
from runtime.devices import resolve_device, resolve_precision, tokenizer_precision
from runtime.precision import DTYPES, measured_rate
from runtime.processes import ProcessGroup
from stages import extract_features as stage1
from tokenizer.autoencoder import AutoencoderKL, DiagonalGaussian
from tokenizer.losses import psnr, ssim
from tokenizer.vavae import VAVAE, preprocess, to_float, to_uint8

BINS = 128.0
REPEATS, SPEED_BATCH = 5, 2
LEAST_DB = 40.0


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--tokenizer", default="compact")
    parser.add_argument("--judge", action="store_true")
    parser.add_argument("--seeds", type=int, default=3, help="judges trained (default 3)")
    parser.add_argument("--no_speed", action="store_true")
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--images", type=int, default=32, help="images of the run of stage 1 (default 32)")
    parser.add_argument("--precision", default="auto", help="of ours; auto: by the GPU, 32 on a CPU")
    parser.add_argument("--compile", action="store_true", help="also the compiled networks")
    parser.add_argument("--compact", action="store_true", help="the compact tokenizer's speed")
    parser.add_argument("--quick", action="store_true", help="within a minute: the compact tokenizer alone")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    if options.data_dir is None:
        command = shlex.join(["python", "-m", "benchmarks.bench_tokenizer", *argv])
        body, faults = speed_alone(options)
        title = "Speed of the tokenizer"
        sys.exit(report("tokenizer_speed", title, command, body, faults, write=not options.quick))
    vae = VAVAE.from_file(options.tokenizer)
    splits = find_splits(options.data_dir)
    held_out = "test" if "test" in splits.records else "val"
    pictures, people = read(splits, held_out)
    decoded = reconstruct(vae, pictures)
    rows = [("pictures", f"{len(pictures)} ({held_out})")]
    rows += quality(pictures, decoded) + motion(pictures, decoded)
    if options.judge:
        training = read(splits, "train")
        rows += identity(training, (pictures, decoded, people), len(splits.labels), options.seeds)
    if not options.no_speed:
        rows += speed(vae)
    say(table(("figure", "value"), rows))


def read(splits: Splits, part: str) -> tuple[torch.Tensor, numpy.ndarray]:
    """uint8 (N,3,256,256) and label indices (N,) of one split."""
    records = splits.records[part]
    images = [preprocess(open_rgb(record)) for record in progress(records, description=part)]
    return torch.stack(images), numpy.array([splits.labels.index(record.user) for record in records])


def reconstruct(vae: VAVAE, pictures: torch.Tensor) -> torch.Tensor:
    """uint8 (N,3,H,W) through posterior means and back."""
    parts = progress(pictures.split(8), description="reconstructing")
    parts = [vae.decode(vae.encode(part).mean) for part in parts]
    return torch.cat(parts)


def quality(pictures: torch.Tensor, decoded: torch.Tensor) -> list[tuple[str, str]]:
    ratios = high_frequency_energy(to_float(decoded)) / high_frequency_energy(to_float(pictures))
    return [
        ("PSNR", f"{psnr(pictures, decoded).mean():.2f} dB"),
        ("SSIM", f"{ssim(pictures, decoded).mean():.3f}"),
        ("high-frequency energy, reconstruction / image", f"{ratios.median():.2f}"),
    ]


def motion(pictures: torch.Tensor, decoded: torch.Tensor) -> list[tuple[str, str]]:
    """Mean absolute errors of torso line and envelopes in Doppler bins, per image averaged over time."""
    errors = {"torso line": [], "upper envelope": [], "lower envelope": []}
    for before, after in zip(pictures, decoded):
        motions = [from_image(image.permute(1, 2, 0).numpy(), (0.0, BINS, 2.0)) for image in (before, after)]
        for name, key in zip(errors, ("torso_mps", "upper_mps", "lower_mps")):
            a, b = (getattr(kinematics, key) for kinematics in motions)
            errors[name].append(numpy.nanmean(numpy.abs(a - b)))
    return [(f"{name}, mean error", f"{numpy.nanmean(values):.2f} bins") for name, values in errors.items()]


def identity(
    training: tuple[torch.Tensor, numpy.ndarray],
    tested: tuple[torch.Tensor, torch.Tensor, numpy.ndarray],
    num_people: int,
    seeds: int,
) -> list[tuple[str, str]]:
    """Accuracy of judges trained on real images, on other real ones and on their reconstructions."""
    small, shown, decoded = (for_judge(images) for images in (training[0], *tested[:2]))
    right = []
    for seed in range(seeds):
        judge = train_judge(small, training[1], num_people, seed)
        right.append([(judge.predict(images).argmax(1) == tested[2]).mean() for images in (shown, decoded)])
    real, rebuilt = numpy.mean(right, axis=0)
    return [(f"judged right, images / reconstructions ({seeds} judges)", f"{real:.1%} / {rebuilt:.1%}")]


def for_judge(images: torch.Tensor) -> numpy.ndarray:
    return numpy.stack([reduced(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])


def speed(vae: VAVAE) -> list[tuple[str, str]]:
    """Full-size over this tokenizer's time, measured in turn; the full-size net has random weights."""
    full = VAVAE(full_size())
    images, latents = random_inputs(SPEED_BATCH)
    rows = []
    for name, argument in (("encode", images), ("decode", latents)):
        seconds = in_turn(
            {"full": partial(getattr(full, name), argument), "this": partial(getattr(vae, name), argument)},
            REPEATS,
            name,
        )
        ratio = seconds["full"] / seconds["this"]
        rows.append((f"{name}, times as fast as the full-size f16d32", f"{ratio:.1f}"))
    return rows


def speed_alone(options: argparse.Namespace) -> tuple[str, list[str]]:
    """The tables of speed, and what is wrong: results that are not those of fp32 by 40 dB."""
    device = resolve_device("auto")
    precision = tokenizer_precision(resolve_precision(options.precision, device))
    compact = options.compact or options.quick
    model = VAVAE.from_file("compact").model if compact else full_size()
    plain = copy.deepcopy(model).to(device).to(memory_format=torch.contiguous_format)
    ours = VAVAE(model, device, precision)
    images, latents = (value.to(device) for value in random_inputs(options.batch_size))
    rows, faults = [], []
    for name, argument in (("encode", images), ("decode", latents)):
        ways = {
            "fp32 NCHW eager": partial(reference, plain, name, argument),
            f"ours ({precision}, NHWC)": partial(getattr(ours, name), argument),
        }
        if not options.quick:
            ways |= peers(model.config, name, argument, precision, options.compile)
        if options.compile:
            ways["ours, compiled"] = partial(getattr(compiled_tokenizer(ours), name), argument)
        seconds = in_turn(ways, 2 if options.quick else REPEATS, name)
        with FlopCounterMode(display=False) as counted:
            expected = reference(plain, name, argument)
        rate = counted.get_total_flops() / measured_rate(device, DTYPES.get(precision, torch.float32))
        output = values(getattr(ours, name)(argument))
        decibels = psnr_of(expected, output)
        if decibels < LEAST_DB:
            faults.append(f"{name}: {decibels:.1f} dB to fp32, expected {LEAST_DB:.0f}")
        rows += [
            (
                name,
                way,
                f"{second / options.batch_size * 1000:.0f} ms",
                f"{seconds['fp32 NCHW eager'] / second:.2f}",
                "" if way.startswith("diffusers") else f"{rate / second:.0%}",
                f"{decibels:.0f} dB" if way.startswith("ours (") else "",
            )
            for way, second in seconds.items()
        ]
    count = min(options.images, 8) if options.quick else options.images
    whole, alone = stage_1(ours, count, options.batch_size)
    rows.append(
        (
            f"stage 1, {count} JPEG files to safetensors",
            "over encoding alone",
            f"{whole / count * 1000:.0f} ms",
            f"{alone / whole:.2f}",
            "",
            "",
        )
    )
    columns = ("what", "way", "an image", "times as fast", "of the matrix rate", "to fp32")
    with_peers = any(row[1].startswith("diffusers") for row in rows)
    return table(columns, rows) + ("" if with_peers or options.quick else f"\n\n{ABSENT}"), faults


def full_size() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL().eval().requires_grad_(False)


def random_inputs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 256, 256), dtype=torch.uint8, generator=draw)
    return images, torch.randn(count, 32, 16, 16, generator=draw)


@torch.inference_mode()
def reference(plain: AutoencoderKL, name: str, argument: torch.Tensor) -> torch.Tensor:
    """The published way: float32, channels first, eager."""
    if name == "encode":
        return plain.encode(to_float(argument)).mean.cpu()
    return to_uint8(plain.decode(argument)).cpu()


def values(result: DiagonalGaussian | torch.Tensor) -> torch.Tensor:
    return (result.mean if isinstance(result, DiagonalGaussian) else result).cpu()


def psnr_of(expected: torch.Tensor, output: torch.Tensor) -> float:
    """Decibels, of pixels to 255 and of latents to their own range."""
    span = 255.0 if expected.dtype == torch.uint8 else float(expected.max() - expected.min())
    error = (expected.double() - output.double()).square().mean()
    return float(10 * torch.log10(span**2 / error.clamp(min=1e-20)))


def stage_1(vae: VAVAE, count: int, batch_size: int) -> tuple[float, float]:
    """Median seconds of reading, checking, encoding and writing `count` JPEG files, and of encoding alone."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "data"
        write_pictures(folder / "train", count)
        config = ExtractConfig(str(folder), "-", str(Path(work) / "latents"), batch_size=batch_size)
        splits = find_splits(folder)
        images = torch.stack([preprocess(open_rgb(record)) for record in splits.records["train"]])

        def whole() -> None:
            kept, _ = stage1.check_images(splits, config)
            samples = stage1.filled(kept.records["train"], 0)
            job = stage1.Job("train", samples, [], kept.labels, {})
            stage1.extract_split(job, vae, config, ProcessGroup(vae.device))

        def alone() -> None:
            for batch in images.split(batch_size):
                vae.encode(batch).mean.cpu()

        seconds = in_turn({"whole": whole, "alone": alone}, 3, "stage 1")
    return seconds["whole"], seconds["alone"]


if __name__ == "__main__":
    run_script(main)
