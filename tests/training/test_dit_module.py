"""Training step and validation of the DiT against hand computation; draws by position, not by history."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import CHANNELS, SIDE, USERS, tiny_batch, tiny_module, tiny_network, write_tiny_latents

from data.latents import read_latents
from runtime.seeds import generator, noise_for
from training.dit_module import GOLDEN_RATIO, total_loss, validation_means
from training.resumable import rate_factor
from training.start import initial_network


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    return read_latents(write_tiny_latents(tmp_path_factory.mktemp("latents"), 6, 13), "val")


def scramble_global_state() -> None:
    torch.manual_seed(int(torch.randint(10**6, ())))
    torch.randn(5)


# Training step


def test_a_step_depends_on_its_position_only():
    module = tiny_module(tiny_network())
    first = module.training_step(tiny_batch(), 0)
    scramble_global_state()
    assert torch.equal(module.training_step(tiny_batch(), 3), first)
    assert not torch.equal(module.training_step({**tiny_batch(), "position": 1}, 0), first)
    assert not torch.equal(tiny_module(tiny_network(), seed=1).training_step(tiny_batch(), 0), first)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_make_the_step_of_one_process(world_size):
    batch, whole = tiny_batch(12), tiny_module(tiny_network())
    loss = whole.training_step(batch, 0)
    loss.backward()
    gradients = {name: torch.zeros_like(p) for name, p in whole.net.named_parameters()}
    losses, size = [], 12 // world_size
    for rank in range(world_size):
        part = {
            name: value[rank * size : (rank + 1) * size] if name != "position" else value
            for name, value in batch.items()
        }
        module = tiny_module(tiny_network(), rank=rank, world_size=world_size)
        losses.append(module.training_step(part, 0))
        losses[-1].backward()
        for name, p in module.net.named_parameters():
            gradients[name] += p.grad / world_size
    torch.testing.assert_close(sum(losses) / world_size, loss, rtol=1e-6, atol=0)
    for name, p in whole.net.named_parameters():
        torch.testing.assert_close(gradients[name], p.grad, rtol=1e-4, atol=1e-6)


def test_every_parameter_and_every_label_gets_a_gradient():
    module = tiny_module(tiny_network(class_dropout_prob=0.3, depth=2))
    module.training_step(tiny_batch(24), 0).backward()
    without = [name for name, p in module.net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without
    rows = module.net.y_embedder.embedding_table.weight.grad.abs().sum(1)
    assert len(rows) == len(USERS) + 1 and (rows > 0).all()


def test_the_null_row_learns_over_a_few_steps():
    module = tiny_module(tiny_network(class_dropout_prob=0.2))
    table = module.net.y_embedder.embedding_table.weight
    before, optimizer = table.detach().clone(), torch.optim.SGD(module.net.parameters(), lr=0.1)
    for position in range(5):
        optimizer.zero_grad()
        module.training_step(tiny_batch(6, position), 0).backward()
        optimizer.step()
    assert (table.detach() - before)[module.net.null_class].abs().max() > 1e-4


def test_labels_are_dropped_at_the_models_rate():
    module = tiny_module(tiny_network(class_dropout_prob=0.1))
    dropped = module.draw_dropped_labels(20_000, generator("drops"))
    assert dropped.dtype == torch.bool
    assert abs(float(dropped.float().mean()) - 0.1) < 5 * math.sqrt(0.1 * 0.9 / 20_000)


def test_a_model_without_dropout_has_no_null_row_and_trains():
    module = tiny_module(tiny_network(class_dropout_prob=0.0))
    assert module.draw_dropped_labels(4, generator(0)) is None
    module.training_step(tiny_batch(), 0).backward()
    assert module.net.y_embedder.embedding_table.weight.grad.shape[0] == len(USERS)


def test_latents_are_drawn_from_the_posterior_and_normalised():
    module, batch = tiny_module(tiny_network()), tiny_batch()
    statistics = module.payload.statistics
    draws = torch.stack([module.draw_latents(batch, generator(k)) for k in range(400)])
    mean, std = statistics.normalise(batch["mean"]), batch["std"] / statistics.std
    assert ((draws.mean(0) - mean).abs() <= 6 * std / 20 + 1e-6).all()
    assert ((draws.std(0) / std - 1).abs() < 6 / math.sqrt(800)).all()
    only_means = tiny_module(tiny_network(), sample_posterior=False)
    assert torch.equal(only_means.draw_latents(batch, generator(0)), mean)
    del batch["std"]
    assert torch.equal(module.draw_latents(batch, generator(0)), mean)


def test_upstreams_flipped_latents_are_taken_half_of_the_time():
    module = tiny_module(tiny_network())
    zeros = torch.zeros(4000, CHANNELS, 1, 1)
    drawn = module.draw_latents({"mean": zeros, "flip": zeros + 1}, generator("coin"))
    chosen = module.payload.statistics.denormalise(drawn)[:, 0, 0, 0].round()
    assert set(chosen.tolist()) == {0.0, 1.0}
    assert abs(float(chosen.mean()) - 0.5) < 5 * 0.5 / math.sqrt(4000)


def test_the_loss_is_the_velocity_error_plus_the_cosine_term():
    loss, cosine = torch.tensor([2.0, 1.0]), torch.tensor([0.5, 0.25])
    assert total_loss({"loss": loss, "t": loss}).tolist() == [2.0, 1.0]
    assert total_loss({"loss": loss, "cos_loss": cosine, "t": loss}).tolist() == [2.5, 1.25]


def test_totals_are_means_over_batches_and_start_anew():
    module = tiny_module(tiny_network())
    losses = [module.training_step(tiny_batch(6, p), 0).item() for p in range(3)]
    assert module.take_mean_loss() == pytest.approx(sum(losses) / 3, rel=1e-6)
    last = module.training_step(tiny_batch(6, 3), 0).item()
    assert module.take_mean_loss() == pytest.approx(last, rel=1e-6)
    assert module.take_mean_loss() == 0.0


# Validation


def losses_by_hand(module, val, seed: int) -> list[tuple[float, int, int]]:
    """(loss, bin, label) of every validation sample on the linear path, one at a time."""
    results = []
    for j, label in enumerate(val.labels.tolist()):
        t = (j % 5 + (j // 5 * GOLDEN_RATIO) % 1) / 5
        x1 = module.payload.statistics.normalise(val.latents[j : j + 1])
        x0 = noise_for((CHANNELS, SIDE, SIDE), seed, "validation", j)[None]
        with torch.no_grad():
            v = module.ema(t * x1 + (1 - t) * x0, torch.tensor([t]), torch.tensor([label]))
        error = F.mse_loss(v, x1 - x0) + (1 - F.cosine_similarity(v, x1 - x0, dim=1)).mean()
        results.append((float(error), int(t * 5), label))
    return results


def test_validation_is_the_mean_by_hand_overall_by_time_and_by_person(val):
    module = tiny_module(tiny_network(), val, seed=4)
    rows, metrics = losses_by_hand(module, val, 4), module.validate()
    expected = {"val_loss": [loss for loss, _, _ in rows]}
    for b, name in enumerate(("0.0_0.2", "0.2_0.4", "0.4_0.6", "0.6_0.8", "0.8_1.0")):
        expected[f"val_loss_t{name}"] = [loss for loss, fifth, _ in rows if fifth == b]
    for index, user in enumerate(USERS):
        expected[f"val_loss_user_{user}"] = [loss for loss, _, label in rows if label == index]
    assert metrics.keys() == expected.keys()
    for name, values in expected.items():
        assert metrics[name] == pytest.approx(sum(values) / len(values), rel=1e-5), name


def test_validation_repeats_whatever_happened_between(val):
    module = tiny_module(tiny_network(), val)
    first = module.validate()
    scramble_global_state()
    module.trainer.global_step = 1000
    module.train(False)
    assert module.validate() == first
    assert tiny_module(tiny_network(), val, seed=1).validate() != first


@pytest.mark.parametrize("batch_size", [1, 3, 13, 50])
def test_validation_does_not_depend_on_the_batch_size(val, batch_size):
    whole = tiny_module(tiny_network(), val).validate()
    parts = tiny_module(tiny_network(), val, batch_size=batch_size).validate()
    assert parts == pytest.approx(whole, rel=1e-5)


def test_validation_measures_the_average_not_the_network(val):
    module = tiny_module(tiny_network(), val)
    first = module.validate()
    with torch.no_grad():
        module.net.final_layer.linear.bias.add_(1)
    assert module.validate() == first
    with torch.no_grad():
        module.ema.final_layer.linear.bias.add_(1)
    assert module.validate() != first


def test_validation_times_stay_inside_the_transports_interval(val):
    module = tiny_module(tiny_network(), val, transport={"path_type": "GVP", "prediction": "noise"})
    seen = []
    module.ema.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[1]))
    module.validate()
    times = torch.cat(seen)
    assert float(times.min()) >= 1e-3 and float(times.max()) <= 1 - 1e-3
    assert ((times - 1e-3) / (1 - 2e-3) * 5 + 1e-4).long().bincount(minlength=5).tolist() == [3, 3, 3, 2, 2]


def test_without_validation_data_nothing_is_measured():
    assert tiny_module(tiny_network()).validate() == {}


def test_means_leave_out_what_has_no_samples():
    sums = torch.zeros(2, 3, 2)
    sums[0, 0], sums[1, 0] = torch.tensor([6.0, 0.0]), torch.tensor([3.0, 0.0])
    sums[0, 2], sums[1, 2] = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])
    assert validation_means(sums, ("a", "b", "c")) == {
        "val_loss": 1.75,
        "val_loss_t0.0_0.5": 1.75,
        "val_loss_user_a": 2.0,
        "val_loss_user_c": 1.0,
    }


# Learning rate, initial weights


def test_the_rate_warms_up_and_decays_to_its_ends():
    for decay in ("constant", "linear", "cosine"):
        assert [rate_factor(s, 24, 4, decay) for s in range(4)] == [0.2, 0.4, 0.6, 0.8]
        assert rate_factor(4, 24, 4, decay) == 1.0
    assert rate_factor(23, 24, 4, "constant") == rate_factor(10**6, 24, 4, "constant") == 1.0
    assert rate_factor(14, 24, 4, "linear") == rate_factor(14, 24, 4, "cosine") == pytest.approx(0.5)
    assert rate_factor(9, 24, 4, "linear") == 0.75
    assert rate_factor(9, 24, 4, "cosine") == pytest.approx((1 + math.sqrt(0.5)) / 2)
    for decay in ("linear", "cosine"):
        assert rate_factor(24, 24, 4, decay) == rate_factor(30, 24, 4, decay) == pytest.approx(0.0)
        assert 0 < rate_factor(23, 24, 4, decay) < 0.06
    assert rate_factor(0, 1, 0, "cosine") == 1.0


def test_initial_weights_depend_on_the_seed_only():
    arguments = tiny_network().config
    first = initial_network(arguments, 3).state_dict()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    again = initial_network(arguments, 3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    other = initial_network(arguments, 4).state_dict()
    assert not torch.equal(first["blocks.0.attn.qkv.weight"], other["blocks.0.attn.qkv.weight"])
