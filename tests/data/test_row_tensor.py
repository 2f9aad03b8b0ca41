"""Rows of several shards read as one tensor, and latents files filled row by row without holding them all."""

import threading
from pathlib import Path

import pytest
import torch
from saved_latents import write_latents

from data.labels import LabelTable
from data.latent_files import LatentFiles
from data.latent_stats import LatentStatistics
from data.latents import read_latents
from data.row_tensor import RowTensor


@pytest.mark.parametrize("lengths", [(5,), (2, 3, 1), (1, 1, 1, 1)])
def test_rows_are_those_of_the_joined_tensor(lengths):
    whole = torch.randn(sum(lengths), 3, 2, generator=torch.Generator().manual_seed(0))
    rows = RowTensor(whole.split(lengths))
    assert (len(rows), rows.shape, rows.ndim, rows.numel()) == (
        len(whole),
        whole.shape,
        whole.ndim,
        whole.numel(),
    )
    assert torch.equal(torch.stack(list(rows)), whole)
    some = torch.tensor([3, 0, 3, len(whole) - 1]) % len(whole)
    assert torch.equal(rows[some], whole[some])
    for part in (slice(None), slice(1, 3), slice(3, 99), slice(2, 2), slice(-2, None)):
        assert torch.equal(rows[part], whole[part])


def test_parts_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="do not fit together"):
        RowTensor([torch.zeros(2, 3), torch.zeros(2, 4)])


TABLE, COUNT = LabelTable(("ID_1", "ID_2")), 11


def arguments(seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    latents, std = torch.randn(COUNT, 4, 3, 3, generator=draw), torch.rand(COUNT, 4, 3, 3, generator=draw)
    return latents, std, torch.arange(COUNT) % 2, TABLE, [f"{i}.png" for i in range(COUNT)], {"made": "so"}


def test_rows_put_in_any_order_by_several_threads_make_the_same_files(tmp_path):
    latents, std, labels, table, paths, metadata = arguments()
    expected = write_latents(tmp_path / "a", "train", *arguments(), shard_size=4)

    def put(rows: torch.Tensor) -> None:  # as another process does: it knows the arguments, not the files
        files = LatentFiles(tmp_path / "b", "train", (4, 3, 3), labels, table, paths, metadata, shard_size=4)
        files.put(int(rows[0]), latents[rows], std[rows])

    main = LatentFiles(tmp_path / "b", "train", (4, 3, 3), labels, table, paths, metadata, shard_size=4)
    with main.written():
        threads = [threading.Thread(target=put, args=(rows,)) for rows in torch.arange(COUNT).split(3)[::-1]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not list((tmp_path / "b").glob("train*"))  # nothing under its own name before the end
    assert [path.read_bytes() for path in main.paths] == [path.read_bytes() for path in expected]


def test_an_error_while_filling_leaves_the_earlier_files(tmp_path):
    before = [path.read_bytes() for path in write_latents(tmp_path, "train", *arguments())]
    files = LatentFiles(tmp_path, "train", (4, 3, 3), *arguments()[2:])
    with pytest.raises(RuntimeError), files.written():
        raise RuntimeError("power cut")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == before


def anonymous_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the process's memory from /proc")
def test_reading_shards_and_their_statistics_takes_no_memory_for_them(tmp_path):
    count, shape = 3000, (32, 8, 8)  # 24 MB of means and as much of deviations
    files = LatentFiles(
        tmp_path, "train", shape, torch.zeros(count).long(), TABLE, ["a"] * count, {}, shard_size=1000
    )
    with files.written():
        for first in range(0, count, 100):
            values = torch.full((100, *shape), float(first)) + torch.arange(8.0)
            files.put(first, values, values)
    read_latents(tmp_path, "train")  # once before: what the first call allocates for good is not at issue
    before = anonymous_kib()
    latent_set = read_latents(tmp_path, "train")
    assert torch.equal(latent_set.latents[torch.tensor([2999, 0])][:, 0, 0, 0], torch.tensor([2900.0, 0.0]))
    assert anonymous_kib() - before < 4096
    whole = torch.cat([part.clone() for part in latent_set.latents.parts])
    ours, expected = (LatentStatistics.from_latents(latents) for latents in (latent_set.latents, whole))
    assert torch.equal(ours.std, expected.std)
