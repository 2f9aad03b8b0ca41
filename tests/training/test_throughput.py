"""Operations counted, rates logged, and compilation that never ends a run."""

import os
from pathlib import Path

import pytest
import torch
from conftest import reference_weights_
from tables import figures_of
from tiny_runs import stage2_settings, write_tiny_latents
from torch.utils.checkpoint import checkpoint

import stage2_train_dit
from configs.load import resolve
from models.flops import counted_flops, evaluation_flops, training_flops
from models.lightningdit import LightningDiT, LightningDiT_models, LightningDiTBlock
from runtime import compiling
from tokenizer.vavae import VAVAE
from training import callbacks as throughput
from training import dit_run
from training.start import model_arguments, read_splits

LATENTS = {"input_size": 16, "in_channels": 32, "num_classes": 31, "class_dropout_prob": 0.1}


@pytest.mark.parametrize(
    ("preset", "gigaflop"), [("S/2", 2.8), ("S/1", 12.1), ("B/1", 46), ("L/1", 161), ("XL/1", 237)]
)
def test_training_costs_three_forward_passes(preset, gigaflop):
    arguments = {**LightningDiT_models[f"LightningDiT-{preset}"].keywords, **LATENTS}
    assert training_flops(arguments) == pytest.approx(3e9 * gigaflop, rel=0.012)
    assert evaluation_flops(arguments) == pytest.approx(1e9 * gigaflop, rel=0.012)


def test_shallow_networks_tell_a_deep_one_and_samples_add_up():
    arguments = {**LATENTS, "patch_size": 2, "hidden_size": 64, "num_heads": 4, "depth": 4}
    assert training_flops(arguments) == counted_flops(arguments, 1)
    assert training_flops(arguments, 3) == counted_flops(arguments, 3) == 3 * training_flops(arguments)


def test_a_plain_network_by_hand():
    """Forward: 2 per multiply-add of the patch embedding, four matrices a block (GELU MLP), attention's two
    products, the condition and the last layer; backward twice that, but none for the input's gradient.
    """
    d, tokens, patch = 16, 4, 32
    arguments = {
        **LATENTS,
        "input_size": 2,
        "patch_size": 1,
        "hidden_size": d,
        "num_heads": 2,
        "depth": 1,
        "use_swiglu": False,
        "mlp_ratio": 4.0,
    }
    block = tokens * (3 * d * d + d * d + 8 * d * d) + 2 * tokens * tokens * d + 6 * d * d
    last = tokens * d * patch + 2 * d * d
    times = 256 * d + d * d
    forward = block + last + times + tokens * patch * d
    without_gradient = tokens * patch * d + 256 * d
    assert training_flops(arguments) == 2 * (3 * forward - without_gradient)
    assert evaluation_flops(arguments) == 2 * forward


def logged(folder) -> list[dict[str, float]]:
    return figures_of(folder / "lightning_logs/version_0/metrics.csv")


def test_a_run_logs_images_a_second_and_its_share_of_the_peak(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(throughput, "peak_rate", lambda device, precision: (1e12, "stated peak"))
    latents = write_tiny_latents(tmp_path / "latents")
    settings = stage2_settings(latents, tmp_path / "run", log_every=2, accumulate=2)
    stage2_train_dit.run(settings)
    rows = [row for row in logged(tmp_path / "run") if "images_per_second" in row]
    assert [row["step"] for row in rows] == [2, 3, 4, 6]  # log points, and before each validation
    flops = training_flops(model_arguments(settings["model"], read_splits(latents)[0]))
    for row in rows:
        assert row["mfu"] == pytest.approx(row["images_per_second"] * flops / 1e12)
        assert 0 < row["loader_wait"] < 1
    assert "images/s" in capsys.readouterr().out


def test_a_failing_compiler_costs_one_warning(monkeypatch, capsys):
    def broken(function):
        def call(*arguments):
            raise RuntimeError("no compiler\nfound")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    double = compiling.compiled(lambda x: 2 * x)
    assert [double(3), double(4)] == [6, 8]
    said = capsys.readouterr().out
    assert said.count("torch.compile failed (RuntimeError: no compiler)") == said.count("\n") == 1


def test_a_compiled_tokenizer_shares_the_weights_and_gives_the_same(monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "compile", lambda function: lambda x: calls.append(function) or function(x))
    vae = VAVAE.from_file("compact")
    images = torch.randint(0, 256, (1, 3, 256, 256), dtype=torch.uint8)
    fast = compiling.compiled_tokenizer(vae)
    latents = vae.encode(images).mean
    assert not calls  # the tokenizer that was given stays as it was
    assert torch.equal(fast.encode(images).mean, latents)
    assert torch.equal(fast.decode(latents), vae.decode(latents)) and len(calls) == 2
    shared = zip(fast.model.parameters(), vae.model.parameters(), strict=True)
    assert all(one is other for one, other in shared)


def test_a_compiled_function_is_the_one_that_is_called(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: lambda x: ("compiled", function(x)))
    assert compiling.compiled(lambda x: 2 * x)(3) == ("compiled", 6)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, "home/torch/inductor/{}"),
        ("{}/torchinductor_me", "home/torch/inductor/{}"),  # by torch
        ("{}/mine", "mine/{}"),
    ],
)
def test_each_kind_of_processor_keeps_its_compiled_code(named, expected, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for vectors in ("AVX512", "AVX2"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda vectors=vectors: vectors)
        monkeypatch.delenv(compiling.CACHE, raising=False)
        if named:
            monkeypatch.setenv(compiling.CACHE, named.format(tmp_path))
        for _ in range(2):  # a process that this one starts finds the folder named
            compiling.keep_compiled_code()
            folder = os.environ[compiling.CACHE]
            assert folder == str(tmp_path / expected.format(compiling.processor()))
            assert Path(folder).name.startswith(vectors.lower() + "-")


@pytest.mark.skipif(torch.__version__ < "2.5", reason="the network is compiled as a whole")
def test_blocks_share_compiled_code_and_keep_their_names(monkeypatch):
    sent = []

    def compile(function):
        sent.append(function)
        return lambda block, *arguments: function(block, *arguments)

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setenv(compiling.CACHE, "the user's")
    torch.manual_seed(0)
    net = LightningDiT(input_size=4, in_channels=4, hidden_size=32, num_heads=2, depth=3)
    reference_weights_(net)
    inputs = torch.randn(2, 4, 4, 4), torch.rand(2), torch.tensor([0, 1]), torch.tensor([False, True])
    names, expected = list(net.state_dict()), net(*inputs)
    compiling.compile_blocks_(net)
    assert torch.equal(net(*inputs), expected) and list(net.state_dict()) == names
    assert sent == [LightningDiTBlock.forward]


def test_the_end_of_a_recomputation_is_no_failure_of_a_compiler(monkeypatch):
    inputs = [torch.randn(2, 3, requires_grad=True)]
    monkeypatch.setattr(torch, "compile", lambda function: lambda x: function(x))
    block = compiling.compiled(lambda x: torch.sin(x).exp())
    checkpoint(block, *inputs, use_reentrant=False).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[0].cos() * inputs[0].sin().exp())


@pytest.mark.parametrize(
    ("asked", "steps", "compiler", "expected"),
    [
        (None, 30, True, False),
        (None, 4_000, True, True),
        (None, 4_000, False, False),
        (True, 30, False, True),
        (False, 4_000, True, False),
    ],
)
def test_long_runs_on_a_cpu_are_compiled(asked, steps, compiler, expected, monkeypatch, capsys):
    monkeypatch.setattr(compiling, "has_compiler", lambda: compiler)
    settings = {"latent_dir": "-", "compile": asked, "accelerator": "cpu", "batch_size": 16}
    config = resolve(("train",), {"train": settings})["train"]
    arguments = {**LATENTS, "patch_size": 2, "hidden_size": 192, "num_heads": 3, "depth": 6}
    assert dit_run.compiles(config, arguments, steps) == expected
    assert ("no C++ compiler" in capsys.readouterr().out) == (not compiler and asked is None)


@pytest.mark.parametrize(
    ("asked", "operations", "device", "expected"),
    [
        (None, 1.9e13, "cpu", False),
        (None, 2.1e13, "cpu", True),
        (None, 1e15, "cuda", False),
        (True, 1, "cuda", True),
        (False, 1e15, "cpu", False),
    ],
)
def test_long_drawing_on_a_cpu_is_compiled(asked, operations, device, expected, monkeypatch):
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    assert compiling.worth_compiling(asked, "draw", lambda: operations, device) == expected


@pytest.mark.slow
def test_a_compiled_run_is_the_run_within_rounding(tmp_path):
    latents = write_tiny_latents(tmp_path / "latents")
    losses = []
    for name, compile in (("plain", False), ("compiled", True)):
        stage2_train_dit.run(stage2_settings(latents, tmp_path / name, compile=compile))
        losses.append([row["val_loss"] for row in figures_of(tmp_path / name / "training_log.csv")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_an_average_on_the_host_is_the_same_run(tmp_path):
    latents = write_tiny_latents(tmp_path / "latents")
    for name, where in (("device", False), ("host", True)):
        stage2_train_dit.run(stage2_settings(latents, tmp_path / name, ema_on_host=where))
    weights = [(tmp_path / name / "checkpoints/best.safetensors").read_bytes() for name in ("device", "host")]
    assert weights[0] == weights[1]
