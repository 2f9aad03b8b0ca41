"""Which arithmetic `--precision auto` takes, by clocks that are told what to show."""

import itertools
import json

import pytest
import torch

from data.kept_values import KeptValues
from runtime import precision
from runtime.precision import Choice, choose, fastest, in_turns, measured_rate

CPU = torch.device("cpu")
NAMES = ("32", "bf16-mixed")


@pytest.fixture
def store(tmp_path):
    return KeptValues(tmp_path / "precision.json")


def chosen(store, steps=1000, names=NAMES, device=CPU, **more) -> str:
    return choose("training", lambda: lambda name: None, names, device, steps, store, **more)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"32": 2.0, "bf16-mixed": 1.0}, "bf16-mixed"),
        ({"32": 1.0, "bf16-mixed": 2.0}, "32"),
        ({"32": 1.0, "bf16-mixed": 1.0}, "32"),
        ({"32": 1.029, "bf16-mixed": 1.0}, "32"),
        ({"32": 1.031, "bf16-mixed": 1.0}, "bf16-mixed"),
        ({"32": 2.0, "bf16-mixed": 1.02, "16-mixed": 1.0}, "bf16-mixed"),
        ({"32": 2.0, "bf16-mixed": 1.2, "16-mixed": 1.0}, "16-mixed"),
        ({"32": 1.02, "bf16-mixed": 3.0, "16-mixed": 1.0}, "32"),
    ],
)
def test_the_fastest_wins_and_a_tie_is_for_fp32(seconds, expected):
    assert fastest({name: [second] * 3 for name, second in seconds.items()}) == expected


def test_one_slow_turn_decides_nothing():
    assert fastest({"32": [2.0, 2.0, 2.0], "bf16-mixed": [1.0, 1.0, 9.0]}) == "bf16-mixed"


def test_few_turns_must_differ_clearly():
    assert fastest({"32": [1.15, 1.15], "bf16-mixed": [1.0, 1.0]}) == "32"
    assert fastest({"32": [1.3], "bf16-mixed": [1.0]}) == "bf16-mixed"


def test_turns_alternate_after_one_step_of_each_that_does_not_count(clock):
    calls = clock(**{"32": 0.2, "bf16-mixed": 0.1})
    seconds = in_turns(lambda name: None, NAMES, CPU, 10**6)
    assert seconds == {"32": [0.2] * precision.MOST_TURNS, "bf16-mixed": [0.1] * precision.MOST_TURNS}
    assert calls == [*NAMES] * (precision.MOST_TURNS + 1)


@pytest.mark.parametrize(
    ("second", "steps", "turns"),
    [
        (100.0, 10**6, 1),  # one turn at least, however slow
        (2.0, 10**6, 2),  # two turns of four seconds are within ten
        (0.01, 100, 2),  # a twentieth of 100 steps are five
        (0.01, 60, 1),
    ],
)
def test_measuring_is_bounded_by_seconds_and_by_the_run(clock, second, steps, turns):
    calls = clock(**dict.fromkeys(NAMES, second))
    in_turns(lambda name: None, NAMES, CPU, steps)
    assert len(calls) == 2 * (turns + 1)


def test_the_choice_is_said_and_kept_with_its_figures(clock, store, capsys):
    clock(**{"32": 0.5, "bf16-mixed": 0.4})
    assert chosen(store) == "bf16-mixed"
    said = capsys.readouterr().out
    assert said.startswith(
        "precision auto, training: bf16-mixed, 1.25 x as fast as 32 (a step: 32 0.5 s, "
        "bf16-mixed 0.4 s; medians of 7 turns, "
    ) and said.endswith(" s of measuring)\n")
    kept = json.loads(store.path.read_text())["cpu"]["training"]
    assert kept["precision"] == "bf16-mixed" and kept["seconds"] == {"32": 0.5, "bf16-mixed": 0.4}


def test_a_tie_is_called_one():
    assert ", a tie within the noise (" in str(Choice("32", {"32": 1.02, "bf16-mixed": 1.0}, 3))
    assert "tie" not in str(Choice("32", {"32": 1.0, "bf16-mixed": 1.5}, 3))


def test_what_was_chosen_stays_even_where_the_clock_says_otherwise_now(clock, store, capsys):
    clock(**{"32": 2.0, "bf16-mixed": 1.0})
    assert chosen(store) == "bf16-mixed"
    before = store.path.read_bytes()
    calls = clock(**{"32": 1.0, "bf16-mixed": 2.0})
    calls.clear()
    assert chosen(store) == "bf16-mixed" and not calls and store.path.read_bytes() == before
    assert "as chosen when this folder was begun" in capsys.readouterr().out


def test_each_network_and_device_has_its_own_choice(clock, store, monkeypatch):
    clock(**{"32": 2.0, "bf16-mixed": 1.0})
    assert chosen(store) == "bf16-mixed"
    clock(**{"32": 1.0, "bf16-mixed": 2.0})
    assert choose("tokenizer", lambda: print, NAMES, CPU, 1000, store) == "32"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    clock(**{"32": 2.0, "16-mixed": 1.0})
    assert chosen(store, names=("32", "16-mixed"), device=torch.device("cuda", 0)) == "16-mixed"
    kept = json.loads(store.path.read_text())
    taken = {device: {what: choice["precision"] for what, choice in kept[device].items()} for device in kept}
    assert taken == {
        "cpu": {"training": "bf16-mixed", "tokenizer": "32"},
        "Tesla V100": {"training": "16-mixed"},
    }


def test_a_short_run_is_not_measured(clock, store):
    calls = clock(**{"32": 2.0, "bf16-mixed": 1.0})
    assert chosen(store, steps=precision.LEAST_STEPS - 1) == "32"
    assert not calls and not store.path.exists()
    assert chosen(store, steps=precision.LEAST_STEPS - 1, lasting=True) == "32" and not calls
    assert chosen(store) == "32" and not calls  # what is there was made so


@pytest.mark.parametrize(
    ("capability", "names", "expected"),
    [
        ((8, 0), ("32", "bf16-mixed"), "bf16-mixed"),
        ((7, 5), ("32", "16-mixed"), "16-mixed"),
        ((7, 5), ("32",), "32"),
        ((6, 0), ("32",), "32"),
    ],
)
def test_a_short_run_on_a_gpu_goes_by_what_the_card_has(store, monkeypatch, capability, names, expected):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert chosen(store, steps=1, names=names, device=torch.device("cuda", 0)) == expected


def test_no_memory_to_measure_is_no_end(store, capsys):
    def step():
        raise MemoryError("no room")

    assert choose("training", step, NAMES, CPU, 1000, store) == "32"
    assert "not enough memory" in capsys.readouterr().out
    assert json.loads(store.path.read_text())["cpu"]["training"]["seconds"] == {}


def test_other_errors_of_a_step_are_not_hidden(store):
    def step():
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        choose("training", step, NAMES, CPU, 1000, store)


def test_further_processes_take_the_main_process_s_choice(clock, store, monkeypatch):
    clock(**{"32": 2.0, "bf16-mixed": 1.0})
    looks = []

    def main_process_answers(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            precision.keep(store, "training", Choice("bf16-mixed", {}), CPU)

    monkeypatch.setattr(precision, "is_main_process", lambda: False)
    monkeypatch.setattr(precision.time, "sleep", main_process_answers)
    assert chosen(store) == "bf16-mixed" and len(looks) == 3
    monkeypatch.setattr(precision, "LONGEST_WAIT", 0.0)
    with pytest.raises(ValueError, match="the main process has made no choice in 0 s"):
        choose("another", lambda: print, NAMES, CPU, 1000, store)


def test_emulated_arithmetic_is_not_tried(monkeypatch, store):
    rates = {torch.float32: 1e11, torch.bfloat16: 1e9}
    monkeypatch.setattr(precision, "measured_rate", lambda device, dtype, side: rates[dtype])
    monkeypatch.setattr(precision, "timed", lambda *arguments: pytest.fail("nothing to compare"))
    assert chosen(store) == "32"
    assert json.loads(store.path.read_text())["cpu"]["training"]["precision"] == "32"


def test_a_damaged_record_is_named(store):
    store.path.write_text("[1")
    with pytest.raises(ValueError, match="precision.json: damaged; delete it"):
        chosen(store)


def test_the_measured_rate_is_that_of_products(monkeypatch):
    seconds = itertools.count(step=0.5)
    monkeypatch.setattr(precision, "now", lambda device: next(seconds))
    assert measured_rate(CPU, torch.float32) == 2 * 1024**3 / 0.5
    assert measured_rate(CPU, torch.float32, side=256) == 2 * 256**3 / 0.5
