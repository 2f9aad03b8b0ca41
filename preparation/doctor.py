"""What this machine can run, before anything is run: one finding a line, each with a way out."""

from __future__ import annotations

import os
import platform
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from packaging.version import Version

from configs.errors import UserError, first_line
from configs.schema import DoctorConfig
from data.latent_stats import LatentStatistics
from data.latents import read_latents
from data.run_record import lock_folder
from models.lightningdit import LightningDiT_models
from preparation.download import PUBLISHED, describe
from runtime.devices import candidate_precisions, check_kernels, resolve_precision
from runtime.disk import GIB, free_space
from runtime.precision import worth_trying
from tokenizer.weights import COMPACT_FILE
from training.budget import checkpoint_bytes, count_parameters, largest_batch
from weight_files.hub import endpoint

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
SHOWN_PRESETS = ("S/2", "B/2", "B/1", "L/2", "XL/1")
DRIVER = Path("/proc/driver/nvidia/version")
SECONDS_TO_ANSWER = 5
# Without them everything else runs; the code imports each where it is needed.
NEEDED_ONLY_FOR = {
    "torchvision": "torch-fidelity, ImageNet's class names and timm",
    "torch-fidelity": "stage4_evaluate.py fid and --inception of stage 4",
    "torchdiffeq": "--sampler dopri5",
    "huggingface_hub": "weights named hf://…, and download",
    "timm": "--align_model of train_tokenizer.py and --dinov2 of stage 4",
    "h5py": "recordings in .h5 and MATLAB 7.3 files",
}
# By compute capability, the best first.
ARITHMETIC = (
    ((8, 0), "bf16 in hardware"),
    ((7, 0), "fp16 in hardware, bf16 only emulated"),
    ((0, 0), "no tensor cores, neither fp16 nor bf16 pays"),
)
STATUS = {"ok": 0, "note": 0, "warn": 1, "FAIL": 2}


@dataclass(frozen=True)
class Finding:
    """`level` is ok, note (no fault), warn (runs, but badly), or FAIL (cannot run)."""

    level: str
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<4}  {self.topic:<10}  {self.text}"


def exit_status(findings: list[Finding]) -> int:
    """0: OK; 1: warnings; 2: something cannot run."""
    return max(STATUS[finding.level] for finding in findings)


def examine(config: DoctorConfig) -> Iterator[Finding]:
    """All findings, the quick ones first. UserError, FileNotFoundError: no latents to mend from."""
    if config.fix and not config.latent_dir:
        raise UserError("--fix: say which latents by --latent_dir")
    yield from packages()
    yield from graphics_cards()
    yield processor()
    yield from sizes(Path(config.output_dir))
    yield internet()
    yield from weights(Path(config.weights_dir))
    if config.latent_dir:
        yield statistics(Path(config.latent_dir), config.fix, config.dry_run)


def packages() -> Iterator[Finding]:
    """Python, and every requirement against what is installed; a note where only one option needs it."""
    lacking, optional, versions = [], [], {}
    for name, lowest in re.findall(r"^([\w-]+)>=([\w.]+)", REQUIREMENTS.read_text(), flags=re.M):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "0"
        if Version(versions[name]) < Version(lowest):
            said = f"{name} {'absent' if versions[name] == '0' else versions[name]}, needs {lowest}"
            if name in NEEDED_ONLY_FOR:
                optional.append(f"{said}, only for {NEEDED_ONLY_FOR[name]}")
            else:
                lacking.append(said)
    shown = ", ".join(f"{name} {versions[name]}" for name in ("pytorch-lightning", "torchvision", "numpy"))
    text = f"Python {platform.python_version()}, torch {torch.__version__}, {shown}"
    yield Finding("ok", "software", text)
    for level, missing in (("FAIL", lacking), ("note", optional)):
        if missing:
            yield Finding(level, "software", f"{'; '.join(missing)}: pip install -r requirements.txt")


def graphics_cards() -> Iterator[Finding]:
    """Each GPU, whether this torch has kernels for it, its arithmetic; and how several are used."""
    if not torch.cuda.is_available():
        return (yield no_graphics_card(DRIVER.is_file()))
    count = torch.cuda.device_count()
    for index in range(count):
        device = torch.device("cuda", index)
        major, minor = torch.cuda.get_device_capability(device)
        free, total = torch.cuda.mem_get_info(device)
        named = f"cuda:{index} {torch.cuda.get_device_name(device)}, compute capability {major}.{minor}"
        try:
            check_kernels(device)
        except UserError as error:
            yield Finding("FAIL", "GPU", str(error))
            continue
        tried = " and ".join(candidate_precisions(device))
        arithmetic = next(text for lowest, text in ARITHMETIC if (major, minor) >= lowest)
        yield Finding(
            "ok",
            "GPU",
            f"{named}, {free / GIB:.1f} of {total / GIB:.1f} GiB free, CUDA "
            f"{torch.version.cuda}; {arithmetic}: --precision auto tries {tried}",
        )
    if count > 1:
        nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
        how = f"--devices {count}, as a command (!python ... in a notebook)"
        yield Finding(
            "ok" if nccl else "warn",
            "several",
            f"{count} GPUs: train on all by {how}"
            if nccl
            else f"{count} GPUs, but this torch lacks NCCL: use --devices 1, or another build of torch",
        )


def no_graphics_card(driver: bool) -> Finding:
    """Without a usable GPU: whether that is the machine (a note) or the installation (a warning)."""
    build = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    if not driver:
        return Finding("note", "GPU", "none: everything runs on the CPU, training slowly")
    return Finding(
        "warn",
        "GPU",
        f"an NVIDIA driver is here, but this torch, built {build}, finds no usable "
        "card: nvidia-smi must list one, and a CUDA version no lower than torch's; else install a "
        "torch built for that version",
    )


def processor() -> Finding:
    """Cores, vector units, memory, and which arithmetic is more than emulated."""
    cores, free = len(os.sched_getaffinity(0)), available_memory()
    units = torch.backends.cpu.get_cpu_capability()
    cpu = torch.device("cpu")
    tried = " and ".join(worth_trying(candidate_precisions(cpu), cpu))
    level = "warn" if units == "DEFAULT" or free < 4 * GIB else "ok"
    return Finding(
        level,
        "CPU",
        f"{cores} cores, {units}, {free / GIB:.1f} GiB of memory free; --precision auto tries {tried}",
    )


def available_memory() -> int:
    """Bytes this process may still take: the system's, or less in a container with a limit."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"))
    free = int(match[1]) * 1024 if match else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    return min(free, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else free


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).is_file() else ""


def sizes(folder: Path) -> Iterator[Finding]:
    """For each size of model the largest batch that fits into memory, and what a run writes against the
    disk.
    """
    cuda = torch.cuda.is_available()
    precision = resolve_precision("auto", torch.device("cuda" if cuda else "cpu"))
    memory = torch.cuda.mem_get_info()[0] if cuda else available_memory()
    free = free_space(folder)
    lowest = checkpoint_bytes(preset_arguments("S/2"))
    level = "FAIL" if free < lowest else "ok"
    yield Finding(level, "disk", f"{free / GIB:.1f} GiB free at {folder.absolute()}")
    for preset in SHOWN_PRESETS:
        arguments = preset_arguments(preset)
        batch = largest_batch(arguments, memory, precision)
        frugal = largest_batch({**arguments, "use_checkpoint": True}, memory, precision)
        needed = checkpoint_bytes(arguments)
        fits = f"batch {batch} ({frugal} with --use_checkpoint)" if frugal else "too large"
        disk = f"checkpoints up to {needed / GIB:.1f} GiB" + (", more than is free" if needed > free else "")
        yield Finding(
            "ok" if batch and needed <= free else "note",
            preset,
            f"{count_parameters(arguments)[0] / 1e6:.0f} M parameters: {fits}, {disk}",
        )


def preset_arguments(preset: str) -> dict:
    """Constructor arguments of a preset for the published tokenizer's latents."""
    return {**LightningDiT_models[f"LightningDiT-{preset}"].keywords, "input_size": 16, "use_qknorm": True}


def internet() -> Finding:
    """Whether the hub answers; nothing but fetching weights needs it."""
    try:
        request = urllib.request.Request(endpoint(), method="HEAD")
        with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER):
            return Finding("ok", "internet", f"{endpoint()} answers")
    except (OSError, ValueError) as error:
        return Finding(
            "note",
            "internet",
            f"{endpoint()} does not answer ({first_line(error)}): weights "
            "must come as files; nothing but `download` and hf://… needs a network",
        )


def weights(folder: Path) -> Iterator[Finding]:
    """Published files in `folder`, with their digests."""
    present = {name: item for name, item in PUBLISHED.items() if (folder / item.file).is_file()}
    for item in present.values():
        try:
            yield Finding("ok", "weights", describe(folder / item.file, item))
        except UserError as error:
            yield Finding("FAIL", "weights", str(error))
    lacking = [name for name in PUBLISHED if name not in present]
    if lacking:
        names = ", ".join(lacking)
        yield Finding("note", "weights", f"not in {folder}: {names} (stage0_prepare.py download)")
    shipped = COMPACT_FILE.is_file()
    yield Finding(
        "ok" if shipped else "warn",
        "weights",
        "compact: the tokenizer that ships is "
        + ("there" if shipped else f"missing, restore {COMPACT_FILE}"),
    )


def statistics(folder: Path, fix: bool, dry_run: bool = False) -> Finding:
    """latents_stats.pt of a latents folder; with `fix`, one that cannot be used is recomputed, or would be
    in a dry run.
    """
    path = folder / "latents_stats.pt"
    try:
        loaded = LatentStatistics.load(path)
        return Finding("ok", "statistics", f"{path}: {loaded.num_channels} channels, whole")
    except (UserError, FileNotFoundError) as error:
        if not fix:
            return Finding("FAIL", "statistics", str(error))
        reason = str(error)
    train = read_latents(folder, "train")
    with lock_folder(folder, dry_run):
        loaded = LatentStatistics.from_latents(train.latents, train.latents_std)
        if dry_run:
            return Finding("note", "statistics", f"{reason.partition(';')[0]}: can be recomputed")
        loaded.save(path)
    return Finding("ok", "statistics", f"{reason.partition(';')[0]}: recomputed from {len(train)} latents")
