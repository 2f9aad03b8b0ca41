"""Everything that runs on a device, on a GPU that FakeTensorMode only pretends to have: results lie there,
nothing is brought there twice, and tensors of two devices do not mix.

There are no values: what reads one to go on cannot run here (dopri5's choice of its step, the tokenizer's
look for numbers that are not finite, the network's for labels of the host that are out of range), and
generators of a GPU do not exist.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_gpu import GPU, Copies, fake_gpu
from pytorch_lightning.plugins.precision import Precision
from tiny_runs import CHANNELS, SIDE, USERS, stage2_settings, tiny_network, tiny_payload
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.utils._python_dispatch import _disable_current_modes

import transport.sampler
from configs.load import resolve
from configs.schema import SOLVERS
from data.latent_stats import LatentStatistics
from evaluation.judge import TIME, VELOCITY, SmallJudge, to_input
from models.lightningdit import LightningDiT
from sampling.latent_sampler import LatentSampler
from sampling.model_file import DitPayload
from tokenizer import vavae
from tokenizer.autoencoder import AutoencoderKL
from training.dit_module import DiTModule
from training.fine_tuning import CLASS_TABLE, hold_rows_
from training.resumable import ResumableModule
from training.tokenizer_module import TokenizerModule
from transport import create_transport
from transport.solvers import ADAPTIVE_SOLVERS, adaptive_solver
from transport.timesteps import grids_between

PAIRS = [[0, -1], [0, 0], [1, -1]]  # one label of each of USERS
HOST = torch.device("cpu")
MIXTURE = "on the same device|found two different devices"  # the latter by torch 2.10


@pytest.fixture
def copies(monkeypatch) -> Iterator[Copies]:
    """A GPU for one test; the grid of times is made of the host's own numbers, before any tensor is on it."""
    adaptive_solver()  # torchdiffeq makes its tables when it is imported: imported here, they would be fake
    monkeypatch.setattr(transport.sampler, "grids_between", real_grids)
    with fake_gpu() as counted:
        yield counted


def real_grids(*arguments) -> list[list[float]]:
    with _disable_current_modes():
        return grids_between(*arguments)


def payload(combinations: list[list[int]] | None) -> DitPayload:
    """Of real numbers on the host, as a file gives them."""
    return tiny_payload(tiny_network(combinations=combinations))


PAYLOADS = {"people": payload(None), "conditions": payload(PAIRS)}


def network(kind: str) -> LightningDiT:
    with GPU:
        return LightningDiT(**PAYLOADS[kind].model).eval()


def latents(count: int = 3, device: torch.device = GPU) -> Tensor:
    return torch.empty(count, CHANNELS, SIDE, SIDE, device=device)


def labels(count: int = 3, device: torch.device = GPU) -> Tensor:
    return torch.zeros(count, dtype=torch.int64, device=device)


def sampler(kind: str, **changes) -> LatentSampler:
    given = {"dit_checkpoint": "-", "vavae_path": "-", "num_steps": 3, "guidance_scale": 2.0, **changes}
    config = resolve(("sample",), {"sample": given})["sample"]
    return LatentSampler(network(kind), PAYLOADS[kind], config, GPU, "32")


# Networks


@pytest.mark.parametrize("kind", PAYLOADS)
def test_the_network(copies, kind):
    net, times = network(kind), torch.rand(3, device=GPU)
    assert net(latents(), times, labels()).device == GPU
    for mixed in ((latents(device=HOST), times, labels()), (latents(), times.cpu(), labels())):
        with pytest.raises(RuntimeError, match=MIXTURE):
            net(*mixed)


@pytest.fixture
def tokenizer(monkeypatch) -> vavae.VAVAE:
    """Of the GPU; the digest of its weights and the look for numbers that are not finite read values."""
    monkeypatch.setattr(vavae, "digest", lambda model: "d" * 64)
    monkeypatch.setattr(vavae, "_finite", lambda values, what, precision: values)
    with fake_gpu(), GPU:
        model = AutoencoderKL(embed_dim=CHANNELS, ch=32, ch_mult=(1,), num_res_blocks=1, patch_size=16)
        return vavae.VAVAE(model, GPU)


def test_the_tokenizer_takes_and_gives_what_lies_on_the_host(tokenizer, copies):
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    posterior = tokenizer.encode(images)
    assert posterior.mean.device == posterior.std.device == posterior.kl().device == GPU
    decoded = tokenizer.decode(posterior.mean)
    assert decoded.shape == images.shape and decoded.device.type == "cpu"
    assert copies.count == 2  # the images there, the decoded ones back
    for half, given in ((tokenizer.model.encode, images.float()), (tokenizer.model.decode, latents(1, HOST))):
        with pytest.raises(RuntimeError, match=MIXTURE):
            half(given)


def test_the_judge_of_selection(copies):
    with GPU:
        judge = SmallJudge(3).eval()
    pictures = torch.zeros(2, VELOCITY, TIME, 3, dtype=torch.uint8)
    assert judge(to_input(pictures.to(GPU))).device == GPU
    with pytest.raises(RuntimeError, match=MIXTURE):
        judge(to_input(pictures))


# Statistics


@pytest.mark.parametrize("way", [LatentStatistics.normalise, LatentStatistics.denormalise])
def test_statistics_move_once_and_do_not_mix(copies, way):
    known = PAYLOADS["people"].statistics
    moved = known.to(GPU)
    before = copies.count
    assert way(moved, latents()).device == GPU and copies.count == before > 0
    with pytest.raises(RuntimeError, match=MIXTURE):
        way(known, latents())


# Sampling


@pytest.mark.parametrize("kind, conditions", [("people", None), ("conditions", None), ("conditions", 3.0)])
@pytest.mark.parametrize("solver", [name for name in SOLVERS if name not in ADAPTIVE_SOLVERS])
def test_sampling_copies_nothing_after_its_first_call(copies, solver, kind, conditions):
    draw = sampler(
        kind, sampler=solver, guidance_condition=conditions, guidance_person=conditions, guidance_rescale=0.5
    )
    assert draw(latents(), labels()).device == GPU
    before = copies.count
    assert draw(latents(), labels()).device == GPU
    assert copies.count == before > 0
    assert draw(latents(device=HOST), labels(device=HOST)).device == GPU
    assert copies.count == before + 2  # noise and labels, drawn on the host


@pytest.mark.parametrize("solver", ADAPTIVE_SOLVERS)
def test_an_adaptive_solver_reads_values_so_it_does_not_run_here(copies, solver):
    with pytest.raises(DataDependentOutputException):
        sampler("people", sampler=solver)(latents(), labels())


@pytest.mark.parametrize("prediction", ["noise", "score"])
def test_other_predictions(copies, prediction):
    velocity = create_transport(prediction=prediction).velocity(network("people"))
    assert velocity(latents(), 0.5, labels()).device == GPU


# Training


def as_of_one_process(module: ResumableModule) -> ResumableModule:
    """The module with a trainer's place, drawing without a generator: none exists of such a GPU."""
    module.trainer = SimpleNamespace(global_rank=0, world_size=1, global_step=1, precision_plugin=Precision())
    module.batch_generator = lambda position: None
    return module.to(GPU).train()


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_training_step_copies_nothing_after_the_first(copies, kind):
    config = stage2_settings(Path("-"), Path("-"))["train"]
    module = as_of_one_process(
        DiTModule(network(kind), create_transport(), config, PAYLOADS[kind], config.max_steps, None)
    )
    module.transport.draw_times = lambda count, draw: torch.rand(count, device=GPU)
    batch = {"mean": latents(), "std": latents(), "flip": latents(), "labels": labels(), "position": 0}
    assert module.training_step(batch, 0).device == GPU
    before = copies.count
    assert module.training_step(batch, 1).device == GPU
    assert copies.count == before > 0


def test_the_rows_that_are_held_go_to_the_device_with_the_network(copies):
    with torch.device("cpu"):
        net = LightningDiT(**PAYLOADS["people"].model)
    hold_rows_(net, torch.tensor([1]))
    (hook,) = net.get_parameter(CLASS_TABLE)._backward_hooks.values()
    net.to(GPU)
    before = copies.count
    assert hook(torch.empty(len(USERS) + 1, 32, device=GPU)).device == GPU
    assert copies.count == before


def test_the_tokenizers_crops_and_loss_copy_nothing(copies):
    layer = {"data_dir": "-", "output_dir": "-", "init_from": "-", "crop": 32}
    config = resolve(("tokenizer",), {"tokenizer": layer})["tokenizer"]
    with GPU:
        net = AutoencoderKL(embed_dim=CHANNELS, ch=32, ch_mult=(1,), num_res_blocks=1, patch_size=16)
        module = as_of_one_process(TokenizerModule(net, config, 1, torch.zeros(0)))
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8, device=GPU)
    before = copies.count
    assert module.random_crops(images, None).shape == (2, 3, 32, 32)
    assert module.training_step({"images": images, "position": 0}, 0).device == GPU
    assert copies.count == before
