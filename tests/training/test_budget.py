"""The account of a training's memory against what the allocator was asked for."""

import gc

import pytest
import torch
from tiny_runs import CHANNELS, SIDE
from torch.profiler import ProfilerActivity, profile

from models.lightningdit import LightningDiT, LightningDiT_models
from training.budget import largest_batch, training_memory

SMALL = {
    "input_size": SIDE,
    "patch_size": 1,
    "in_channels": CHANNELS,
    "hidden_size": 64,
    "num_heads": 4,
    "num_classes": 3,
    "use_qknorm": True,
    "depth": 6,
}
BATCH = 16


def allocated(function) -> tuple[int, int]:
    """Bytes that `function` leaves allocated, and the most there were at a time, as the allocator saw it."""
    gc.collect()  # or what earlier tests left may be freed meanwhile
    gc.disable()
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            kept = function()
    finally:
        gc.enable()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = torch.tensor([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    assert kept is not None and len(changes)
    return int(changes.sum()), int(changes.cumsum(0).max())


def forward(net, precision: str = "32"):
    x, t = torch.randn(BATCH, CHANNELS, SIDE, SIDE), torch.rand(BATCH)
    y, drop = torch.zeros(BATCH, dtype=torch.int64), torch.zeros(BATCH, dtype=torch.bool)

    def run():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision != "32"):
            return net(x, t, y, drop)

    return run


@pytest.mark.parametrize("changes", [{}, {"use_swiglu": False, "use_rmsnorm": False}, {"depth": 1}])
@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_activations_are_those_that_a_forward_pass_leaves(changes, precision):
    arguments = {**SMALL, **changes}
    torch.manual_seed(0)
    net = LightningDiT(**arguments).train()
    forward(net, precision)()  # what the first call allocates for good is not at issue
    measured, _ = allocated(forward(net, precision))
    expected = training_memory(arguments, BATCH, precision)["activations"]
    assert measured == pytest.approx(expected, rel=0.02)


def test_weights_gradients_optimizer_and_average_to_the_byte():
    expected = training_memory(SMALL, BATCH, "32")
    torch.manual_seed(0)

    def build_and_step():
        net = LightningDiT(**SMALL).train()
        optimizer = torch.optim.AdamW(net.parameters(), fused=True)
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        return net, optimizer

    left, _ = allocated(build_and_step)
    counters = 4 * sum(1 for _ in LightningDiT(**SMALL).parameters())  # Adam's step numbers
    assert left - counters == expected["weights"] + expected["gradients"] + expected["optimizer"]
    assert expected["average"] == expected["weights"]
    assert training_memory(SMALL, BATCH, "32", ema_on_host=True)["average"] == 0


def test_checkpointing_stays_below_its_account_and_far_below_the_rest():
    arguments = {**SMALL, "use_checkpoint": True}
    torch.manual_seed(0)
    net = LightningDiT(**arguments).train()
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)

    def step():
        forward(net)().square().mean().backward()
        return net

    step()
    _, peak = allocated(step)
    expected, plain = (training_memory(a, BATCH, "32")["activations"] for a in (arguments, SMALL))
    assert 0.6 * expected < peak < 1.3 * expected and expected < 0.4 * plain


def test_the_largest_published_model_trains_within_15_gigabytes():
    arguments = {
        **LightningDiT_models["LightningDiT-XL/1"].keywords,
        "input_size": 16,
        "in_channels": 32,
        "num_classes": 31,
        "use_qknorm": True,
        "use_checkpoint": True,
    }
    needed = training_memory(arguments, 16, "bf16-mixed", ema_on_host=True)
    assert needed["weights"] > 2.6e9  # 674 M parameters
    assert sum(needed.values()) < 15e9 - 1e9  # the driver's own share
    assert sum(training_memory({**arguments, "use_checkpoint": False}, 16, "bf16-mixed").values()) > 15e9


def test_the_largest_batch_fits_and_its_double_does_not():
    def needed(batch):
        return sum(training_memory(SMALL, batch, "32").values())

    for batch, room, expected in ((11, 1.0, 8), (8, 1.01, 8), (8, 0.99, 4), (1, 1.01, 1)):
        assert largest_batch(SMALL, round(needed(batch) * room / 0.9), "32") == expected
    assert largest_batch(SMALL, needed(1), "32") == 0


def test_what_is_not_tuned_needs_neither_gradient_nor_moments():
    full, part = (training_memory(SMALL, 1, "32", tune=tune) for tune in ("full", "difffit"))
    assert part["optimizer"] == 2 * part["gradients"] < 0.2 * full["optimizer"]
    assert part["weights"] == full["weights"]
