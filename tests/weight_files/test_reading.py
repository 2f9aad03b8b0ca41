"""One reader under tokenizer, network and judge: strict, in one line, without code, known by digests."""

import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from configs.errors import UserError
from weight_files.reading import WeightFile, list_names, load_strict, misfits, values_digest


def refused(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def network(fill=0.5):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    return net.requires_grad_(False).apply(lambda part: [value.fill_(fill) for value in part.parameters()])


def test_tensors_and_metadata_come_back_from_either_format(tmp_path):
    state = network().state_dict()
    save_file(state, tmp_path / "a.safetensors", metadata={"config": "{}"})
    torch.save(state, tmp_path / "a.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert WeightFile(tmp_path / "a.safetensors").safetensors()[1] == {"config": "{}"}
    for name in ("a.safetensors", "a.pt", "old.pt"):
        tensors = WeightFile(tmp_path / name).state()
        assert sorted(tensors) == sorted(state)
        assert all(torch.equal(tensors[key], state[key]) for key in state)


def test_refusals_carry_the_flag_the_file_and_the_way_out(tmp_path):
    file = WeightFile(tmp_path / "no.pt", "model file", "train one", "--init_from")
    with pytest.raises(FileNotFoundError, match=f"--init_from {file.path}: no such model file; train one"):
        file.torch()
    folder = WeightFile(tmp_path, "model file", "train one")
    assert refused(folder.state) == f"{tmp_path}: a folder, expected a model file; train one"
    file.path.write_bytes(b"")
    assert "an empty file (0 bytes), expected a model file; use another copy" in refused(file.torch)
    file.path.write_bytes(b"<html>")
    assert "not a whole torch file (" in refused(file.torch)
    assert "not a whole safetensors file (" in refused(file.safetensors)
    for content, expected in ([1, 2], "holds a list"), ({}, "holds a dict"), ({"epoch": 3}, "1 (epoch)"):
        torch.save(content, file.path)
        assert expected in refused(file.state)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (tmp_path / "was_run").touch, ()

    file = WeightFile(tmp_path / "hostile.pt")
    torch.save(Hostile(), file.path)
    assert "could run code" in refused(file.torch)
    file.path.write_bytes(pickle.dumps(Hostile(), protocol=2))
    assert "could run code" in refused(file.torch)
    assert not (tmp_path / "was_run").exists()


def test_strict_loading_takes_all_or_nothing_and_names_what_does_not_fit():
    net = network()
    state = {name: torch.ones_like(value) for name, value in net.state_dict().items()}
    assert misfits(net, state) == ""
    whole = dict(state)
    del state["0.bias"]
    state |= {"extra": torch.ones(1), "0.weight": torch.ones(7), "1.bias": torch.full((3,), torch.nan)}
    text = refused(load_strict, net, state, "some.pt", "judge", "train again")
    assert text == (
        "some.pt: does not fit the judge (missing: 1 (0.bias); unexpected: 1 (extra); of another shape: "
        "1 (0.weight (7,) instead of (3, 2)); not of finite floating-point numbers: 1 (1.bias)); train again"
    )
    assert net[0].weight.unique().tolist() == [0.5]
    load_strict(net, whole, "some.pt")
    assert net[0].weight.unique().tolist() == [1.0] and net[1].num_batches_tracked == 1
    with torch.device("meta"):
        empty = nn.Linear(2, 3)
    load_strict(empty, {"weight": torch.ones(3, 2, dtype=torch.float16), "bias": torch.zeros(3)}, "some.pt")
    assert empty.weight.dtype == torch.float32 and empty.weight.sum() == 6


def test_long_lists_are_counted_and_cut():
    assert list_names("abc") == "3 (a, b, c)" and list_names(range(9)) == "9 (0, 1, 2, 3, 4, 5, 6, 7, …)"


def test_a_digest_is_of_names_and_values_as_written():
    layer = nn.Linear(1, 2).requires_grad_(False)
    layer.weight.fill_(1), layer.bias.fill_(-2)
    ones, twos = b"\x00\x3c" * 2, b"\x00\xc0" * 2  # half precision, little-endian
    expected = hashlib.sha256(b"bias (2,)\n" + twos + b"weight (2, 1)\n" + ones).hexdigest()
    assert values_digest(layer, torch.float16, "{name} {shape}\n") == expected
