"""The benchmarks' own verdicts: the plain loop and ours agree, and a wrong one is noticed."""

import importlib
import math
import sys
from types import SimpleNamespace

import pytest
import torch
from browser import browser
from conftest import PROJECT
from PIL import Image

from benchmarks import __main__ as every
from benchmarks import (
    bench_tokenizer,
    bench_training,
    compare_unet,
    draw_named,
    draw_page,
    draw_strip,
    form,
    peer_tokenizer,
    peer_unet,
    pictures,
    turns,
)
from benchmarks.pictures import high_frequency_energy
from configs.errors import UserError
from data.images import find_images
from data.latent_stats import LatentStatistics
from data.latents import read_latents
from tokenizer.vavae import VAVAE

TINY = {
    "input_size": 16,
    "patch_size": 4,
    "in_channels": 32,
    "hidden_size": 32,
    "num_heads": 2,
    "depth": 1,
    "num_classes": bench_training.PEOPLE,
    "use_qknorm": True,
    "class_dropout_prob": 0.1,
}
SHOWN = PROJECT / "docs" / "simulated_beside_generated.jpg"
OPTIONS = SimpleNamespace(steps=3, compile=False, precision="32")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(bench_training, "resolve_device", lambda name: torch.device("cpu"))


def test_a_loop_that_learns_otherwise_is_noticed(monkeypatch):
    update = bench_training.Published.__init__

    def slower(self, *arguments):
        update(self, *arguments)
        self.optimizer.param_groups[0]["lr"] *= 0.5

    monkeypatch.setattr(bench_training.Published, "__init__", slower)
    _, faults = bench_training.measure("tiny:4", TINY, 4, OPTIONS)
    assert len(faults) == 1 and "losses of 'ours, 32' differ" in faults[0]


def test_without_their_libraries_peers_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    bench_training.write_samples(tmp_path)
    latents = read_latents(tmp_path, "train")
    assert bench_training.peers(latents, TINY, 4, ["32"], False) == {}
    assert peer_tokenizer.peers({}, "encode", torch.zeros(1), "32", False) == {}


def test_peers_have_our_sizes(tmp_path):
    pytest.importorskip("diffusers")
    config = VAVAE.from_file("compact").model.config
    images = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
    (encode,) = peer_tokenizer.peers(config, "encode", images, "32", False).values()
    (decode,) = peer_tokenizer.peers(config, "decode", encode(), "32", False).values()
    assert encode().shape == (1, 32, 16, 16) and decode().shape == images.shape
    pytest.importorskip("torchcfm")
    bench_training.write_samples(tmp_path)
    (loop,) = bench_training.peers(read_latents(tmp_path, "train"), TINY, 4, ["32"], False).values()
    assert loop.step().isfinite()


def test_a_unet_takes_the_transformers_place():
    pytest.importorskip("diffusers")
    net, again = (peer_unet.initial_unet(TINY, seed=0) for _ in range(2))
    x, t, labels = torch.randn(2, 32, 16, 16), torch.tensor([0.2, 0.7]), torch.tensor([0, 3])
    dropped = net(x, t, labels, torch.tensor([[True], [False]]))
    assert torch.equal(dropped, again(x, t, torch.tensor([net.null_class, 3])))
    assert not torch.equal(dropped, net(x, t, labels)) and dropped.shape == x.shape


def test_processor_time_ends_a_training(tmp_path, monkeypatch):
    bench_training.write_samples(tmp_path)
    LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1)).save(tmp_path / "latents_stats.pt")
    monkeypatch.setattr(compare_unet.time, "process_time", iter(range(9)).__next__)
    options = SimpleNamespace(precision="32", unet_lr=1.0)
    configs = compare_unet.settings(options, "transformer", tmp_path, 0)
    trained = compare_unet.train("transformer", read_latents(tmp_path, "train"), configs, minutes=3 / 60)
    assert trained.steps == 3 and math.isfinite(trained.loss)
    assert compare_unet.settings(options, "UNet", tmp_path, 0)["train"].lr == 1


def test_item_by_item_is_what_a_gather_gives(tmp_path):
    bench_training.write_samples(tmp_path)
    loop = bench_training.Published(tmp_path, TINY, 4, "32", False)
    latents, rows = read_latents(tmp_path, "train"), torch.tensor([5, 0, 255])
    batch = loop.load(rows)
    assert torch.equal(batch["mean"], latents.latents[rows]) and torch.equal(batch["labels"], rows % 4)
    assert torch.equal(batch["std"], latents.latents_std[rows])


def test_decibels_of_pixels_and_latents():
    pixels = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    assert bench_tokenizer.psnr_of(pixels, pixels + 1) == pytest.approx(48.13, abs=0.01)
    latents = torch.tensor([0.0, 10.0])
    assert bench_tokenizer.psnr_of(latents, latents + 0.1) == pytest.approx(40.0, abs=0.01)


def test_pictures_are_read_as_people(tmp_path):
    pictures.write_pictures(tmp_path, 5)
    records = find_images(tmp_path).records
    assert [record.user for record in records] == ["ID_1", "ID_1", "ID_2", "ID_3", "ID_4"]
    assert Image.open(records[0].path).size == (256, 256)


def test_the_form_names_machine_load_and_command(tmp_path, monkeypatch):
    assert turns.report("x", "X", "python x", "| a |", ["too dark"], write=False) == 1
    monkeypatch.setattr(form, "RESULTS", tmp_path)
    assert turns.report("x", "X", "python x", "| a |", [], write=True) == 0
    (path,) = tmp_path.glob("x_*.md")
    for part in ("# X", "**Hardware**", "Load of", torch.__version__, "`python x`", "| a |"):
        assert part in path.read_text()


def test_functions_are_called_in_turn_and_the_warm_up_is_left_out(monkeypatch):
    times, calls = iter([0, 9, 9, 18, 20, 21, 21, 24]), []
    monkeypatch.setattr(turns.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(turns, "progress", lambda items, description: items)
    seconds = turns.in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 1, "what")
    assert calls == ["a", "b"] * 2 and seconds == {"a": 1, "b": 3}


TOOLS = [path.stem for kind in ("bench", "compare") for path in PROJECT.glob(f"benchmarks/{kind}_*.py")]


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_says_how_it_is_used(tool, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{tool}").main(["--help"])
    assert ended.value.code == 0 and "python -m benchmarks." in capsys.readouterr().out


def test_all_quick_variants_are_run_and_every_wrong_one_is_named(monkeypatch, capsys):
    sources = {name: (PROJECT / f"benchmarks/{name}.py").read_text(encoding="utf-8") for name in TOOLS}
    quick = {f"benchmarks.{name}" for name, source in sources.items() if '"--quick"' in source}
    assert {module.__name__ for module, *_ in every.BENCHMARKS} == quick
    given = []

    def ends(status):
        return lambda argv: given.append(argv) or sys.exit(status)

    tools = [SimpleNamespace(__name__=name, main=ends(status)) for name, status in (("a", 0), ("b", 1))]
    monkeypatch.setattr(every, "BENCHMARKS", [(tools[0],), (tools[1], "--more"), (tools[0],)])
    with pytest.raises(SystemExit) as ended:
        every.main(["--quick"])
    assert ended.value.code == 1 and given == [["--quick"], ["--quick", "--more"], ["--quick"]]
    assert capsys.readouterr().out.endswith("wrong: b\n")


@pytest.mark.parametrize("bins, energy", ((4, 0.0), (6, 0.0), (7, 0.5 * 0.3**2), (20, 0.5 * 0.3**2)))
@pytest.mark.parametrize("turned", (False, True))
def test_high_frequency_energy_of_a_cosine(bins, energy, turned):
    """Amplitude 0.3 at bins/64 cycles per pixel, the cutoff clear of it: the window spreads by one bin."""
    wave = 0.2 + 0.3 * torch.cos(2 * math.pi * bins / 64 * torch.arange(64.0, dtype=torch.float64))
    images = wave.expand(2, 3, 64, 64)
    measured = high_frequency_energy(images.mT if turned else images, (8.5 if bins < 7 else 5.5) / 64)
    torch.testing.assert_close(measured, torch.full((2,), energy, dtype=torch.float64), rtol=1e-6, atol=1e-9)


def test_high_frequency_energy_of_white_noise_is_its_share_of_the_plane():
    images = 0.5 * torch.randn(8, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    expected = 0.25 * (1 - math.pi * 0.1**2)  # the disc below 0.1 in a unit square of frequencies
    assert high_frequency_energy(images).mean().item() == pytest.approx(expected, rel=0.01)
    assert high_frequency_energy(2 * images).sum() == pytest.approx(4 * high_frequency_energy(images).sum())


def test_the_picture_of_the_readme_is_drawn_again(tmp_path, monkeypatch):
    monkeypatch.setattr(draw_strip, "PEOPLE", (3,))
    monkeypatch.setattr(draw_strip, "EACH", 1)
    draw_strip.main([str(tmp_path / "strip.jpg")])
    with Image.open(tmp_path / "strip.jpg") as drawn, Image.open(SHOWN) as shown:
        assert (drawn.format, drawn.size) == (shown.format, shown.size)
    assert SHOWN.stat().st_size <= 300_000


def test_the_named_walk_is_drawn_again(tmp_path):
    draw_named.main([str(tmp_path / "named.png")])
    with (
        Image.open(tmp_path / "named.png") as drawn,
        Image.open(SHOWN.with_name("spectrogram_named.png")) as shown,
    ):
        assert drawn.size == shown.size


def test_a_page_is_photographed(tmp_path):
    with pytest.raises(UserError, match="absent.html: no such file"):
        draw_page.main([str(tmp_path / "absent.html"), str(tmp_path / "page.png")])
    with browser():  # or skipped
        pass
    (tmp_path / "page.html").write_text("<p>A page</p>")
    draw_page.main([str(tmp_path / "page.html"), str(tmp_path / "page.png")])
    with Image.open(tmp_path / "page.png") as drawn:
        assert drawn.size == (draw_page.SIZE["width"], draw_page.SIZE["height"])
