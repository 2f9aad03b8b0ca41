"""Every command with arguments for toy data, and what its outputs must be: there, finite, not one value."""

import json
import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy
import public_layouts
import torch
from fmcw_walker import walking
from PIL import Image
from saved_latents import write_again
from tables import rows_of
from test_selecting import lenient
from test_stage4 import SPEED, write_walks
from toy_run import TINY_MODEL, Toy

import run_complete_pipeline
import stage0_prepare
import stage1_extract_features
import stage2_train_dit
import stage3_inference
import stage4_evaluate
import train_tokenizer
from benchmarks.compare_fid import write_random_weights
from configs.schema import SECTIONS
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.latents import read_latents, read_metadata
from evaluation.selection import Selector
from sampling.model_file import load_trained
from stages.evaluate import PICTURES
from tokenizer.vavae import VAVAE

STEPS = 4
DRAWING = "--num_samples_per_user 2 --num_steps 2 --batch_size 2"
TINY_TOKENIZER = ("ch_mult=[1]", "patch_size=16", "num_res_blocks=1", "crop=64")
TRAINING = f"--batch_size 4 max_steps={STEPS} validate_every=2 warmup_steps=1 lr=1e-3"


class Inputs:
    """What commands read. `finished(name)` is the output folder of a row's plain command."""

    def __init__(self, toy: Toy, folder: Path, finished: Callable[[str], Path]) -> None:
        self.toy, self.folder, self.finished = toy, folder, finished

    def latents_of(self, *names: str) -> Path:
        """The toy's latents under other people's names."""
        folder, table = self.folder / "-".join(names), LabelTable(names)
        for split in ("train", "val") if not folder.is_dir() else ():
            old = read_metadata(self.toy.latents, split)
            kept = {key: old[key] for key in ("tokenizer_digest", "inputs_digest", "preprocessing")}
            write_again(self.toy.latents, folder, split, kept, table)
        train = read_latents(folder, "train")
        LatentStatistics.from_latents(train.latents, train.latents_std).save(folder / "latents_stats.pt")
        return folder

    @cached_property
    def walks(self) -> Path:
        """Drawn walks of the toy's people, enough of them for judges."""
        write_walks(self.folder / "walks", {"train": 6, "val": 4, "test": 4}, numpy.random.default_rng(0))
        return self.folder / "walks"

    @cached_property
    def recording(self) -> Path:
        """Four seconds of noise at 1000 pulses a second."""
        draw, path = numpy.random.default_rng(0), self.folder / "ID_1" / "rec1.npy"
        path.parent.mkdir()
        numpy.save(path, draw.normal(size=4000) + 1j * draw.normal(size=4000))
        return path.parent.parent

    @cached_property
    def public_set(self) -> Path:
        """A recording in the layout of a public data set."""
        public_layouts.sense2gol(self.folder / "set", {"220110/220110_2_0_15": walking(3.3)})
        return self.folder / "set"

    @cached_property
    def inception(self) -> Path:
        return write_random_weights(self.folder / "inception.pth")

    @cached_property
    def selector(self) -> Path:
        judge = self.finished("stage 4 judge") / "judge.safetensors"
        return lenient(judge, self.folder / "lenient.safetensors")


# Arguments, without output folder, device, devices and precision


def training(given: Inputs) -> tuple:
    previews = f"--latent_dir {given.toy.latents} --vavae_path {given.toy.tokenizer} preview_every=1"
    return previews, TRAINING, *TINY_MODEL


def tuned(tune: str) -> Callable[[Inputs], tuple]:
    """Starting from trained weights: one of three people is new."""

    def arguments(given: Inputs) -> tuple:
        weights = given.finished("stage 2") / "checkpoints/best.safetensors"
        latents = given.latents_of("ID_1", "ID_2", "ID_7")
        return f"--latent_dir {latents} --init_from {weights} --tune {tune}", TRAINING

    return arguments


def distilling(given: Inputs) -> tuple:
    """A teacher that moves: of one that hardly does the loss is rounding."""
    teacher = "--init_from", given.toy.lively, "--distil_guidance", 1.5
    return "--latent_dir", given.toy.latents, *teacher, TRAINING


def conditioned(given: Inputs) -> tuple:
    latents = given.latents_of("ID_1_backpack", "ID_1_normal", "ID_2_normal")
    return "--latent_dir", latents, "--conditions", "_[a-z]+$", TRAINING, *TINY_MODEL


def drawing(given: Inputs) -> tuple:
    return *given.toy.networks, DRAWING


def drawing_in_few_steps(given: Inputs) -> tuple:
    weights = given.finished("stage 2 distilling") / "checkpoints/best.safetensors"
    return "--dit_checkpoint", weights, "--vavae_path", given.toy.tokenizer, DRAWING


def evaluation(given: Inputs) -> tuple:
    folders = f"--real {given.walks} --generated {given.finished('stage 3')}"
    return folders, f"--vavae_path {given.toy.tokenizer} --judge_seeds 1"


def sweep(given: Inputs) -> tuple:
    brief = "--guidance 1.5 --samplers euler --num_samples_per_user 2 --num_steps 2"
    return f"--real {given.walks}", *given.toy.networks, brief


def study(given: Inputs) -> tuple:
    """Two new people of the toy's three, each in a fold of its own; two classifiers of each arm."""
    design = "--design new-person --images_per_person 2 --folds 2 --num_generated 2"
    brief = "--seeds 2 --classifier_steps 5 --arms classic generated"
    exact = ("train.precision=32", "sample.precision=32", "extract.precision=32")
    generator = "train.batch_size=4", f"train.max_steps={STEPS}", "sample.num_steps=2", *exact, *TINY_MODEL
    return f"--real {given.walks} --vavae_path {given.toy.tokenizer}", design, brief, *generator


def comparison(given: Inputs) -> tuple:
    images = f"--generated {given.finished('stage 3')} --reference {given.walks}/val"
    return images, f"--inception_path {given.inception}"


def everything(given: Inputs) -> tuple:
    toy = given.toy
    return (
        f"--data_dir {toy.data} --vavae_path {toy.tokenizer} --batch_size 4 --max_steps {STEPS}",
        "--num_samples_per_user 2 --num_steps 2 train.validate_every=2",
        *TINY_MODEL,
    )


# Outputs: each function asserts that they are sane, and returns their figures


def latents_in(folder: Path) -> torch.Tensor:
    sets = [read_latents(folder, split) for split in ("train", "val")]
    assert [len(one) for one in sets] == [18, 6]
    assert (LatentStatistics.load(folder / "latents_stats.pt").std > 0).all()
    assert (folder / "reconstruction_check.png").is_file()
    return torch.cat([part for one in sets for part in (one.latents, one.latents_std)])


def log_of(folder: Path, monitor: str) -> torch.Tensor:
    """`monitor` at every validation; nothing in the log is infinite or no number."""
    rows = rows_of(folder / "training_log.csv")
    assert [int(row["step"]) for row in rows] == [2, STEPS]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values() if value)
    return torch.tensor([float(row[monitor]) for row in rows])


def model_in(folder: Path) -> torch.Tensor:
    for name in ("best.ckpt", "best.safetensors"):
        net, _ = load_trained(folder / "checkpoints" / name)
        assert all(value.isfinite().all() for value in net.state_dict().values())
    for preview in (folder / "previews").glob("*.png"):
        assert numpy.asarray(Image.open(preview)).std() > 1
    return log_of(folder, "val_loss")


def tokenizer_in(folder: Path) -> torch.Tensor:
    vae = VAVAE.from_file(folder / "tokenizer.safetensors")
    assert vae.encode(torch.zeros(1, 3, 256, 256, dtype=torch.uint8)).mean.isfinite().all()
    assert (folder / "reconstructions.png").is_file()
    return log_of(folder, "val_psnr")


def set_in(folder: Path) -> torch.Tensor:
    """samples.npz: the folder's images in turns of people."""
    with numpy.load(folder / "samples.npz") as arrays:
        images, labels = torch.from_numpy(arrays["arr_0"]).float(), arrays["arr_1"]
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(images[[0, 3, 1, 4, 2, 5]], images_in(folder))
    return images


def images_in(folder: Path) -> torch.Tensor:
    """Two images of each of three people."""
    files = [folder / row["file"] for row in rows_of(folder / "samples.csv")]
    images = numpy.stack([numpy.asarray(Image.open(file)) for file in files])
    assert images.shape == (6, 256, 256, 3) and (images.std((1, 2, 3)) > 1).all()
    assert (folder / "micro_doppler_grid.png").is_file()
    return torch.from_numpy(images).float()


def selection_in(folder: Path) -> torch.Tensor:
    decided = rows_of(folder / "selection.csv")
    assert sum(row["decision"] == "kept" for row in decided) == 6
    return images_in(folder)


def metrics_in(folder: Path) -> torch.Tensor:
    """Stage 4's page and figures, all of them finite."""

    def refuse(word: str) -> None:
        raise AssertionError(f"metrics.json holds {word}")

    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    assert (folder / "report.html").stat().st_size > 10_000
    assert all((folder / f"{name}.png").is_file() for name in PICTURES)
    return torch.tensor([float(metrics[kind]["judged_right"]["count"]) for kind in ("real", "generated")])


def sweep_in(folder: Path) -> torch.Tensor:
    settings = json.loads((folder / "sweep.json").read_text())["settings"]
    assert (folder / "sweep.png").is_file()
    images_in(next(path for path in folder.iterdir() if path.is_dir()))
    figures = [settings[0][name] for name in ("judged_right", "kid", "coverage", "memorised")]
    return torch.tensor([figure.get("share", figure.get("value")) for figure in figures])


def study_in(folder: Path) -> torch.Tensor:
    """study.json and its page; four images of each of two new people were tried on two classifiers."""
    figures = json.loads((folder / "study.json").read_text())
    assert figures["people"] == [*SPEED][:2] and figures["verdict"]["arms"]["real + classic"]["count"] == 8
    assert set(figures["gap_closed"]) == {"few", "all", "value", "interval"}
    assert (folder / "report.html").stat().st_size > 10_000
    return torch.tensor([figures["named_right"]["count"]])


def fid_in(folder: Path) -> torch.Tensor:
    report = json.loads((folder / "fid.json").read_text())
    assert report["counts"] == {"generated": 6, "reference": 12}
    assert report["left_out"] == ["Inception Score requires 10 generated images"]
    return torch.tensor([*report["figures"].values()])


def judge_in(folder: Path) -> torch.Tensor:
    return torch.tensor([*Selector.load(folder / "judge.safetensors").bounds.values()])


def chain_in(folder: Path) -> torch.Tensor:
    latents_in(folder / "latent_features"), model_in(folder / "trained_models")
    return images_in(folder / "generated_images")


def pictures_in(folder: Path) -> torch.Tensor:
    """What stage 0 leaves."""
    files = sorted(folder.rglob("*.png"))
    images = numpy.stack([numpy.asarray(Image.open(file)) for file in files])
    assert (images.std((1, 2, 3)) > 1).all()
    return torch.from_numpy(images).float()


class Row(NamedTuple):
    """A command in one of its forms: section of its keys, script, arguments, figures of its outputs."""

    section: str
    main: Callable
    arguments: Callable[[Inputs], tuple]
    figures: Callable[[Path], torch.Tensor]
    one_process: str = ""  # why it takes no second one, though its section has `devices`


stage0, stage2 = stage0_prepare.main, stage2_train_dit.main
stage3, stage4 = stage3_inference.main, stage4_evaluate.main
TUNES = SECTIONS["train"].__dataclass_fields__["tune"].metadata["choices"]
ROWS = {
    "stage 0 simulate": Row(
        "simulate", stage0, lambda given: ("--num_users 1 --samples_per_user 2",), pictures_in
    ),
    "stage 0 split": Row("split", stage0, lambda given: ("--input_dir", given.toy.images), pictures_in),
    "stage 0 spectrogram": Row(
        "spectrogram",
        stage0,
        lambda given: (f"--input {given.recording} --carrier 77e9 --prf 1000",),
        pictures_in,
    ),
    "stage 0 import": Row(
        "import", stage0, lambda given: ("sense2gol", "--input", given.public_set), pictures_in
    ),
    "stage 1": Row(
        "extract",
        stage1_extract_features.main,
        lambda given: (f"--data_dir {given.toy.data} --vavae_path {given.toy.tokenizer} --batch_size 4",),
        latents_in,
    ),
    "stage 2": Row("train", stage2, training, model_in),
    **{f"stage 2 from weights, {tune}": Row("train", stage2, tuned(tune), model_in) for tune in TUNES},
    "stage 2 distilling": Row("train", stage2, distilling, model_in),
    "stage 2 with conditions": Row("train", stage2, conditioned, model_in),
    "stage 3": Row("sample", stage3, drawing, images_in),
    "stage 3 in few steps": Row("sample", stage3, drawing_in_few_steps, images_in),
    "stage 3 set": Row("sample", stage3, lambda given: (*drawing(given), "--npz"), set_in),
    "stage 3 selecting": Row(
        "sample",
        stage3,
        lambda given: (*drawing(given), f"--select {given.selector} --keep 2"),
        selection_in,
        "--select draws on one device",
    ),
    "stage 4": Row("evaluate", stage4, evaluation, metrics_in),
    "stage 4 judge": Row("judge", stage4, lambda given: ("--real", given.walks), judge_in),
    "stage 4 fid": Row("fid", stage4, comparison, fid_in),
    "stage 4 study": Row("study", stage4, study, study_in),
    "stage 4 sweep": Row("sweep", stage4, sweep, sweep_in),
    "train_tokenizer": Row(
        "tokenizer",
        train_tokenizer.main,
        lambda given: (f"--data_dir {given.toy.data} {TRAINING} ch=32", *TINY_TOKENIZER),
        tokenizer_in,
    ),
    "run_complete_pipeline": Row("pipeline", run_complete_pipeline.main, everything, chain_in),
}
