"""Arithmetic and devices by what a card truly has; the cards are played by patched torch.cuda functions."""

import pytest
import torch

from runtime.devices import (
    autocast,
    candidate_precisions,
    lightning_precision,
    resolve_device,
    resolve_devices,
    resolve_precision,
    tokenizer_candidates,
    tokenizer_precision,
)

CARDS = {
    "Tesla P100-PCIE-16GB": (6, 0),
    "Tesla V100": (7, 0),
    "Tesla T4": (7, 5),
    "NVIDIA A100": (8, 0),
    "NVIDIA H100": (9, 0),
    "NVIDIA GeForce GTX 1080": (6, 1),
}
CURRENT_BUILD = ["sm_75", "sm_80", "sm_86", "sm_90a", "sm_100", "sm_120", "compute_120"]
OLD_BUILD = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
CUDA = torch.device("cuda", 0)


@pytest.fixture
def machine(monkeypatch):
    """Call with a card's name (or none), their number and the architectures of the torch build."""

    def play(name: str | None, count: int = 1, built: list[str] = OLD_BUILD) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: name is not None)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count if name else 0)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: CARDS[name])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)  # as a T4 claims

    return play


def refusal(call, *arguments) -> str:
    with pytest.raises(ValueError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("Tesla T4", "16-mixed"),
        ("Tesla V100", "16-mixed"),
        ("NVIDIA A100", "bf16-mixed"),
        ("NVIDIA H100", "bf16-mixed"),
        ("Tesla P100-PCIE-16GB", "32"),
        ("NVIDIA GeForce GTX 1080", "32"),
    ],
)
def test_unmeasured_auto_goes_by_the_true_capability(machine, card, expected):
    machine(card)
    assert resolve_precision("auto", CUDA) == expected


@pytest.mark.parametrize(("card", "expected"), [("Tesla T4", ("32",)), ("NVIDIA A100", ("32", "bf16-mixed"))])
def test_a_tokenizer_is_never_tried_in_fp16(machine, card, expected):
    machine(card)
    assert tokenizer_candidates(CUDA) == expected


def test_emulated_bf16_is_refused_and_named(machine):
    machine("Tesla T4")
    message = refusal(resolve_precision, "bf16-mixed", CUDA)
    assert "Tesla T4" in message and "--precision bf16-mixed" in message and "16-mixed" in message
    assert resolve_precision("16-mixed", CUDA) == "16-mixed" and resolve_precision("32", CUDA) == "32"
    machine("NVIDIA A100")
    assert resolve_precision("bf16-mixed", CUDA) == "bf16-mixed"


def test_16_bit_on_a_cpu_is_refused_with_the_choices():
    message = refusal(resolve_precision, "16-mixed", torch.device("cpu"))
    assert all(word in message for word in ("--precision 16-mixed", "cpu", "auto", "bf16-mixed", "32"))


def test_candidates_are_fp32_and_what_the_device_has(machine):
    assert candidate_precisions(torch.device("cpu")) == ("32", "bf16-mixed")
    assert candidate_precisions(torch.device("mps")) == ("32",)
    for card, expected in (
        ("Tesla P100-PCIE-16GB", ("32",)),
        ("Tesla T4", ("32", "16-mixed")),
        ("NVIDIA A100", ("32", "bf16-mixed")),
    ):
        machine(card)
        assert candidate_precisions(CUDA) == expected


def test_unmeasured_a_cpu_takes_fp32_whatever_its_make():
    cpu = torch.device("cpu")
    assert [resolve_precision(name, cpu) for name in ("auto", "32", "bf16-mixed")] == [
        "32",
        "32",
        "bf16-mixed",
    ]


def test_a_card_without_kernels_is_refused_and_named(machine):
    machine("Tesla P100-PCIE-16GB", built=CURRENT_BUILD)
    for call in ((resolve_device, "auto"), (resolve_device, "cuda"), (resolve_devices, "auto", "auto")):
        message = refusal(*call)
        assert "Tesla P100-PCIE-16GB" in message and "6.0" in message and "7.5" in message and "T4" in message
    assert resolve_device("cpu").type == "cpu"
    machine("Tesla P100-PCIE-16GB", built=OLD_BUILD)
    assert resolve_device("auto").type == "cuda"
    machine("Tesla T4", built=CURRENT_BUILD)
    assert resolve_device("auto").type == "cuda"


def test_devices_are_counted(machine):
    machine("Tesla T4", count=2)
    assert resolve_devices("auto", "auto") == ("cuda", 2)
    assert resolve_devices("cuda", "1") == ("cuda", 1)
    assert resolve_devices("cpu", "auto") == ("cpu", 1)
    assert resolve_devices("cpu", "2") == ("cpu", 2)
    assert "2 usable GPUs" in refusal(resolve_devices, "auto", "4")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert "--device cuda:2" in refusal(resolve_device, "cuda:2")


def test_a_machine_without_a_gpu(machine):
    machine(None)
    assert resolve_device("auto").type == "cpu" and resolve_devices("auto", "auto") == ("cpu", 1)
    assert "--accelerator cpu" in refusal(resolve_devices, "cuda", "1")
    assert "0 usable GPUs" in refusal(resolve_device, "cuda")


@pytest.mark.parametrize("wrong", ["gpu0", "meta", "cuda:x"])
def test_unknown_devices_are_refused(machine, wrong):
    machine("Tesla T4")
    assert f"--device {wrong}" in refusal(resolve_device, wrong)


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "0,1"])
def test_unknown_device_counts_are_refused(machine, wrong):
    machine("Tesla T4")
    assert f"--devices {wrong}" in refusal(resolve_devices, "auto", wrong)


def test_the_tokenizer_stays_in_32_bit_on_fp16_cards():
    assert {name: tokenizer_precision(name) for name in ("32", "16-mixed", "bf16-mixed")} == {
        "32": "32",
        "16-mixed": "32",
        "bf16-mixed": "bf16",
    }


def test_autocast_follows_the_precision():
    cpu, x = torch.device("cpu"), torch.ones(2, 2)
    with autocast(cpu, "32"):
        assert (x @ x).dtype == torch.float32
    with autocast(cpu, "bf16-mixed"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(cpu, "16-mixed"):
        assert (x @ x).dtype == torch.float16
    assert [lightning_precision(name) for name in ("32", "16-mixed", "bf16-mixed")] == [
        "32-true",
        "16-mixed",
        "bf16-mixed",
    ]
