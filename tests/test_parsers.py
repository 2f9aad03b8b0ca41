"""Our parsers under mutated and invented bytes (hypothesis), and under what the fuzzer found."""

import io
import json

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parsers import HEADER, LATENTS, PARSERS, feed
from PIL import Image
from safetensors.numpy import save

USUAL = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def torch_bytes() -> bytes:
    stream = io.BytesIO()
    torch.save({"mean": torch.zeros(1, 4, 1, 1), "std": torch.ones(1, 4, 1, 1)}, stream)
    return stream.getvalue()


def png_bytes() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(stream, "PNG")
    return stream.getvalue()


def numpy_bytes() -> bytes:
    stream = io.BytesIO()
    numpy.save(stream, numpy.exp(1j * numpy.arange(600)))
    return stream.getvalue()


def ancortek_bytes() -> bytes:
    """Half a second of a point that recedes through the cells, 8 samples a chirp."""
    chirp, sample = numpy.ogrid[:512, :8]
    turns = numpy.pi * chirp / 8 + 2 * numpy.pi * (1 + chirp / 256) * sample / 8
    beat = (f"{z.real:.2f}{z.imag:+.2f}i" for z in numpy.exp(1j * turns).ravel())
    return "\n".join(("5.8e9", "1", "8", "4e8", *beat)).encode()


def image_array_bytes() -> bytes:
    stream = io.BytesIO()
    arrays = {"mu": numpy.zeros(2), "sigma": numpy.eye(2), "arr_0": numpy.zeros((2, 3, 4, 3), "u1")}
    numpy.savez(stream, **arrays)
    return stream.getvalue()


def latents_bytes() -> bytes:
    return save(LATENTS, HEADER)


PAYLOAD = {
    "format": "microdoppler-dit-1",
    "model": {},
    "transport": {},
    "labels": ["ID_1"],
    "statistics": {"mean": [0.0], "std": [1.0]},
    "tokenizer_digest": None,
    "preprocessing": {},
    "config": {},
}
GOOD = {
    "labels": b'["ID_1", "ID_2", "ID_10"]',
    "users": b"1\n2-2\nID_10\nall",
    "header": b'paths=["b.png"]',
    "latents": latents_bytes(),
    "statistics": torch_bytes(),
    "advice": b"Recommendation: imagenet\n",
    "payload": json.dumps(PAYLOAD).encode(),
    "record": b'{"format": 2, "lr": 1.0}',
    "samples": b"file,user\na.png,ID_1\n",
    "metadata": b'{"file_name": "a.png", "label": "ID_1"}\n',
    "preset": b"train: {lr: 1.0e-3, max_steps: 5}\n",
    "override": b"model.depth=3",
    "image": png_bytes(),
    "recording": numpy_bytes(),
    "ancortek": ancortek_bytes(),
    "design_table": b"fname,subject,pattern,exp_fname\nnormal_00000,3,normal,a\ntexting_00001,4,texting,b",
    "truth": b"user,speed_mps\nID_1_slow,0.9\nID_1_slow,1.1\nID_2_slow,1.2\n",
    "image_array": image_array_bytes(),
    "colours": bytes(range(30)),
}


def mutated(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` with some bytes changed, put in or taken out."""

    def change(edits: list[tuple[int, int, int]]) -> bytes:
        data = bytearray(good)
        for place, kind, value in edits:
            place %= len(data) + 1
            data[place : place + (kind != 1)] = b"" if kind == 0 else bytes([value])
        return bytes(data)

    edit = st.tuples(st.integers(0, len(good)), st.integers(0, 2), st.integers(0, 255))
    return st.lists(edit, min_size=1, max_size=6).map(change)


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_good_is_taken(name):
    assert feed(PARSERS[name], GOOD[name])


@pytest.mark.parametrize(("name", "data"), [("samples", b"ile,user\na.png,ID_1\n"), ("colours", b"")])
def test_what_was_found_stays_found(name, data):
    feed(PARSERS[name], data)


@pytest.mark.parametrize("name", PARSERS)
def test_mutated_bytes_are_taken_or_refused(name):
    @USUAL
    @given(mutated(GOOD[name]))
    def run(data: bytes) -> None:
        feed(PARSERS[name], data)

    run()


@pytest.mark.parametrize("name", PARSERS)
def test_any_bytes_are_taken_or_refused(name):
    @USUAL
    @given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
    def run(data: bytes) -> None:
        feed(PARSERS[name], data)

    run()
