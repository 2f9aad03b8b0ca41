"""Training a tiny tokenizer: resuming is the run, what is measured is right, what is written loads."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from safetensors import safe_open
from tables import figures_of
from tiny_runs import TOKENIZER, Teacher, assert_same_run, read_last

import stages.train_tokenizer
import train_tokenizer
import training.fit
from configs.errors import UserError
from configs.load import resolve
from data.images import open_rgb
from runtime.seeds import generator
from tokenizer.losses import psnr, ssim
from tokenizer.vavae import load_tokenizer, preprocess, to_float
from tokenizer.weights import digest
from training.tokenizer_module import TokenizerModule

SETTINGS = {
    **TOKENIZER,
    **{"max_steps": 4, "validate_every": 2, "warmup_steps": 1, "ema_decay": 0.5, "kl_weight": 1e-6},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Two people, five training and three validation images: smooth colours, 256 pixels wide."""
    folder = tmp_path_factory.mktemp("images")
    for split, count in (("train", 5), ("val", 3)):
        for k in range(count):
            path = folder / split / f"ID_{1 + k % 2}" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            colours = torch.randint(0, 256, (4, 4, 3), generator=generator(split, k), dtype=torch.uint8)
            Image.fromarray(colours.numpy()).resize((256, 256), Image.Resampling.BICUBIC).save(path)
    return folder


def train(images: Path, folder: Path, **changes) -> None:
    layer = {**SETTINGS, "data_dir": str(images), "output_dir": str(folder), **changes}
    train_tokenizer.run(resolve(("tokenizer",), {"tokenizer": layer})["tokenizer"])


def log_rows(folder: Path) -> list[dict[str, float]]:
    return figures_of(folder / "training_log.csv")


@pytest.fixture(scope="module")
def four(images, tmp_path_factory) -> Path:
    """Four steps at once."""
    folder = tmp_path_factory.mktemp("four") / "run"
    train(images, folder)
    return folder


def test_a_run_and_its_continuation_are_the_run_at_once(images, four, tmp_path):
    train(images, tmp_path, max_steps=2)
    train(images, tmp_path, max_steps=4)
    assert_same_run(tmp_path, four, "tokenizer.safetensors")


def test_a_run_that_fell_over_is_the_run(images, four, tmp_path, monkeypatch):
    class Cut(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step == 3:
                raise RuntimeError("power cut")

    fit = training.fit.fit
    with monkeypatch.context() as patch:
        patch.setattr(training.fit, "fit", lambda *arguments: fit(*arguments, [Cut()]))
        with pytest.raises(RuntimeError, match="power cut"):
            train(images, tmp_path)
    train(images, tmp_path)
    assert_same_run(tmp_path, four, "tokenizer.safetensors")


def test_validation_is_by_hand(images, four):
    """The last row of the log against the saved average, decoding posterior means."""
    state = read_last(four)["state_dict"]
    net = load_tokenizer(four / "tokenizer.safetensors")
    net.load_state_dict({k.removeprefix("ema."): v for k, v in state.items() if k.startswith("ema.")})
    paths = sorted((images / "val").rglob("*.png"))
    x = to_float(torch.stack([preprocess(open_rgb(path)) for path in paths]))
    with torch.no_grad():
        posterior = net.encode(x)
        reconstruction = net.decode(posterior.mean).clamp(-1, 1)
    last = log_rows(four)[-1]
    assert last["step"] == 4
    assert last["val_psnr"] == pytest.approx(float(psnr(x, reconstruction).mean()), rel=1e-5)
    assert last["val_ssim"] == pytest.approx(float(ssim(x, reconstruction).mean()), rel=1e-4)
    assert last["val_kl"] == pytest.approx(float(posterior.kl().mean()), rel=1e-4)


def test_the_written_tokenizer_is_the_best_average_in_half_precision(four):
    rows = log_rows(four)
    best = torch.load(four / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == max(rows, key=lambda row: row["val_psnr"])["step"]
    net = load_tokenizer(four / "tokenizer.safetensors")
    for name, value in net.state_dict().items():
        assert torch.equal(value, best["state_dict"][f"ema.{name}"].half().float())
    assert net.config["patch_size"] == 16 and net.config["ch_mult"] == [1]
    assert digest(load_tokenizer(four / "checkpoints" / "best.ckpt")) == digest(net)
    assert (four / "reconstructions.png").is_file() and (four / "training_report.png").is_file()


def test_the_error_falls(images, tmp_path):
    train(images, tmp_path, max_steps=16, validate_every=8, lr=3e-3)
    first, last = log_rows(tmp_path)
    assert last["val_psnr"] > first["val_psnr"] and last["train_loss"] < 0.8 * first["train_loss"]


def test_fine_tuning_starts_from_the_given_weights(images, four, tmp_path):
    train(
        images, tmp_path, init_from=str(four / "tokenizer.safetensors"), max_steps=1, lr=1e-9, ema_decay=0.0
    )
    files = (folder / "tokenizer.safetensors" for folder in (four, tmp_path))
    start, end = (load_tokenizer(file).state_dict() for file in files)
    for name, value in end.items():
        torch.testing.assert_close(value, start[name], rtol=0, atol=1e-6)
    state = read_last(tmp_path)["state_dict"]
    assert any(not torch.equal(state[f"net.{name}"], value) for name, value in start.items())


def test_weights_keep_their_shape(images, four, tmp_path):
    given = f"--data_dir {images} --output_dir {tmp_path} --init_from {four}/tokenizer.safetensors --dry_run"
    train_tokenizer.main([*given.split(), "patch_size=16", "ch_mult=[1]"])
    with pytest.raises(
        UserError, match=r"tokenizer.safetensors: its patch_size is 16, not 8; leave --patch_s"
    ):
        train_tokenizer.main([*given.split(), "--patch_size", "8"])


def test_every_parameter_gets_a_gradient(four):
    state = read_last(four)
    moments = state["optimizer_states"][0]["state"]
    assert len(moments) == sum(name.startswith("net.") for name in state["state_dict"])
    assert all(moment["exp_avg_sq"].any() for moment in moments.values())


def test_a_tokenizer_that_does_not_end_at_16_positions_is_refused(images, tmp_path):
    with pytest.raises(ValueError, match="patch_size=8 .* 8-fold, expected 16-fold"):
        train(images, tmp_path, patch_size=8)


def test_without_validation_images_the_latest_counts(images, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(images / "train")
    train(tmp_path / "data", tmp_path / "run", max_steps=2, validate_every=1)
    assert "no val folder" in capsys.readouterr().out
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 2


# Further losses

OPTIONS = {"crop": 64}
TWO = {"max_steps": 2, "lr": 1e-2}


def module_of(images, tmp_path, teacher=None, **changes) -> TokenizerModule:
    layer = {**SETTINGS, "data_dir": str(images), "output_dir": str(tmp_path), **changes}
    config = resolve(("tokenizer",), {"tokenizer": layer})["tokenizer"]
    net = stages.train_tokenizer.fresh_tokenizer(config)
    return TokenizerModule(net, config, 2, torch.empty(0, 3, 256, 256, dtype=torch.uint8), teacher)


@pytest.fixture(scope="module")
def plain(images, tmp_path_factory) -> Path:
    """Two steps without further losses."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    train(images, folder, **TWO)
    return folder


def trained_otherwise(folder: Path, plain: Path) -> bool:
    """Whether every weight matrix of the network differs from the plain run's; all must be finite."""
    states = [read_last(path)["state_dict"] for path in (folder, plain)]
    assert all(value.isfinite().all() for value in states[0].values())
    matrices = [name for name, value in states[1].items() if name.startswith("net.") and value.ndim == 4]
    return all((states[0][name] != states[1][name]).any() for name in matrices)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_further_option_trains_another_network(images, plain, tmp_path, option):
    train(images, tmp_path, **TWO, **{option: OPTIONS[option]})
    assert trained_otherwise(tmp_path, plain)
    assert load_tokenizer(tmp_path / "tokenizer.safetensors").config["patch_size"] == 16


def test_an_alignment_trains_another_network_and_its_own_projection(images, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(stages.train_tokenizer, "teacher_of", lambda config: Teacher())
    train(images, tmp_path, **TWO)
    assert trained_otherwise(tmp_path, plain)
    every_parameter_moved(tmp_path, module_of(images, tmp_path, Teacher()), "linear_proj.")
    nothing_but_the_tokenizer_is_exported(tmp_path)


def every_parameter_moved(folder: Path, module: TokenizerModule, prefix: str) -> None:
    """All parameters have had gradients, those named `prefix` among them."""
    names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    moments = read_last(folder)["optimizer_states"][0]["state"]
    assert len(moments) == len(names) and any(name.startswith(prefix) for name in names)
    assert all(moment["exp_avg_sq"].any() for moment in moments.values())


def nothing_but_the_tokenizer_is_exported(folder: Path) -> None:
    with safe_open(folder / "tokenizer.safetensors", "pt") as file:
        exported = set(file.keys())
    assert exported == set(load_tokenizer(folder / "tokenizer.safetensors").state_dict())
    assert digest(load_tokenizer(folder / "checkpoints" / "best.ckpt")) == digest(
        load_tokenizer(folder / "tokenizer.safetensors")
    )


def test_all_initial_weights_depend_on_the_seed_only(images, tmp_path):
    one, again, other = (module_of(images, tmp_path, Teacher(), seed=seed).state_dict() for seed in (0, 0, 1))
    assert not [name for name, value in again.items() if not torch.equal(one[name], value)]
    assert not torch.equal(one["linear_proj.weight"], other["linear_proj.weight"])


def test_a_run_with_everything_on_and_its_continuation_are_the_run_at_once(images, tmp_path, monkeypatch):
    monkeypatch.setattr(stages.train_tokenizer, "teacher_of", lambda config: Teacher())
    train(images, tmp_path / "once", **OPTIONS)
    train(images, tmp_path / "twice", max_steps=2, **OPTIONS)
    train(images, tmp_path / "twice", max_steps=4, **OPTIONS)
    assert_same_run(tmp_path / "twice", tmp_path / "once", "tokenizer.safetensors")
