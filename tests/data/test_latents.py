"""Latents files: round trips, shards, upstream's layout both ways, and one clear line for every damage."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from saved_latents import write_latents

from data import latent_files
from data.labels import LabelTable
from data.latent_files import export_lightningdit
from data.latent_stats import LatentStatistics
from data.latents import LatentSet, folder_numbers, read_latents, read_metadata

TABLE = LabelTable(["ID_2", "ID_10", "Alice"])  # natural order: Alice, ID_2, ID_10
METADATA = {"tokenizer": "abc", "preprocessing": {"resize": "stretch", "size": 256}}


def make_set(count=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(count, 4, 3, 3, generator=generator)
    return LatentSet(
        latents,
        torch.rand(count, 4, 3, 3, generator=generator),
        torch.arange(count) % 3,
        TABLE,
        [f"ID/ü{k}.png" for k in range(count)],
        dict(METADATA),
    )


def write(folder, latent_set, split="train", **options):
    return write_latents(
        folder,
        split,
        latent_set.latents,
        latent_set.latents_std,
        latent_set.labels,
        latent_set.label_table,
        latent_set.paths,
        latent_set.metadata,
        **options,
    )


def assert_same(actual, expected):
    for name in ("latents", "latents_std", "latents_flip", "labels"):
        a, b = getattr(actual, name), getattr(expected, name)
        assert (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a[:], b[:])), name
    assert actual.label_table == expected.label_table and actual.paths == expected.paths
    assert expected.metadata.items() <= actual.metadata.items()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def rewrite(path, change_tensors=None, change_header=None):
    """Write a file again with some of its content changed."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    (change_tensors or (lambda _: None))(tensors)
    (change_header or (lambda _: None))(header)
    save_file(tensors, path, metadata=header)


def test_round_trip_in_one_file(tmp_path):
    latent_set = make_set()
    folder = tmp_path / "new" / "folder"
    assert write(folder, latent_set) == [folder / "train.safetensors"]
    assert names(folder) == ["train.safetensors"]
    again = read_latents(folder, "train")
    assert_same(again, latent_set)
    assert len(again) == 7 and again.metadata["num_samples"] == 7


def test_file_holds_what_the_contract_says(tmp_path):
    write(tmp_path, make_set(4), "val")
    tensors = load_file(tmp_path / "val.safetensors")
    assert tensors["user_ids"].tolist() == [1, 2, 10, 1]  # Alice has no number: index + 1
    assert tensors["labels"].tolist() == [0, 1, 2, 0]
    assert tensors["num_samples"].tolist() == [4] and tensors["num_users"].tolist() == [3]
    assert tensors["latents"].dtype == tensors["latents_std"].dtype == torch.float32
    with safe_open(tmp_path / "val.safetensors", framework="pt") as file:
        header = {key: json.loads(value) for key, value in file.metadata().items()}
    assert header["label_table"] == ["Alice", "ID_2", "ID_10"] and header["format_version"] == 1
    assert header["paths"][3] == "ID/ü3.png" and header["preprocessing"] == METADATA["preprocessing"]


def test_two_people_never_share_a_number():
    for names, numbers in (
        (("ID_3", "ID_10"), [3, 10]),
        (("Alice", "ID_1"), [1, 2]),
        (("P7", "Q7"), [1, 2]),
        (("S1_T2", "S2_T1"), [1, 2]),
    ):
        assert folder_numbers(LabelTable(names)).tolist() == numbers


@pytest.mark.parametrize("shard_size, shards", [(7, 1), (6, 2), (3, 3), (1, 7)])
def test_round_trip_in_shards(tmp_path, shard_size, shards):
    latent_set = make_set()
    files = write(tmp_path, latent_set, shard_size=shard_size)
    expected = [f"train-{k:05d}-of-{shards:05d}.safetensors" for k in range(shards)]
    assert names(tmp_path) == (expected if shards > 1 else ["train.safetensors"]) == [f.name for f in files]
    assert_same(read_latents(tmp_path, "train"), latent_set)


def test_std_is_optional_and_other_dtypes_become_float32(tmp_path):
    latent_set = make_set()
    write_latents(tmp_path, "train", latent_set.latents.double(), None, latent_set.labels, TABLE)
    again = read_latents(tmp_path, "train")
    assert again.latents_std is None and again.latents.dtype == torch.float32


def test_shards_of_an_earlier_extraction_are_removed(tmp_path):
    write(tmp_path, make_set(seed=1), "val", shard_size=2)
    write(tmp_path, make_set(), shard_size=2)
    write(tmp_path, make_set(5), shard_size=3)
    assert [name for name in names(tmp_path) if name.startswith("train")] == [
        "train-00000-of-00002.safetensors",
        "train-00001-of-00002.safetensors",
    ]
    write(tmp_path, make_set(6))
    assert_same(read_latents(tmp_path, "train"), make_set(6))
    assert_same(read_latents(tmp_path, "val"), make_set(seed=1))
    write(tmp_path, make_set(6), shard_size=5)
    assert "train.safetensors" not in names(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write(tmp_path, make_set())
    real, calls = latent_files.reserve_tensors, []

    def full_disk(tensors, path, metadata):
        calls.append(path)
        if len(calls) == 2:
            raise OSError("No space left on device")
        real(tensors, path, metadata)

    monkeypatch.setattr(latent_files, "reserve_tensors", full_disk)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, make_set(seed=9), shard_size=3)
    assert names(tmp_path) == ["train.safetensors"]
    assert_same(read_latents(tmp_path, "train"), make_set())


def test_metadata_is_read_for_skip_decisions(tmp_path):
    assert read_metadata(tmp_path, "train") is None and read_metadata(tmp_path / "absent", "train") is None
    write(tmp_path, make_set(), shard_size=3)
    metadata = read_metadata(tmp_path, "train")
    assert METADATA.items() <= metadata.items() and metadata["label_table"] == list(TABLE.names)
    assert metadata["num_samples"] == 7 and metadata["num_users"] == 3 and "paths" not in metadata
    assert metadata == read_latents(tmp_path, "train").metadata
    (tmp_path / "train-00001-of-00003.safetensors").unlink()
    assert read_metadata(tmp_path, "train") is None


def test_fingerprint_tells_extractions_apart(tmp_path):
    def fingerprint(latent_set):
        write(tmp_path, latent_set)
        return read_metadata(tmp_path, "train")["fingerprint"]

    changed = make_set()
    changed.latents[-1, -1, -1, -1] += 1
    relabelled = make_set()
    relabelled.labels[0] = 1
    renamed = make_set()
    renamed.metadata["tokenizer"] = "other"
    assert fingerprint(make_set()) == fingerprint(make_set())
    assert len({fingerprint(s) for s in (make_set(), changed, relabelled, renamed)}) == 4


def check_damage(folder, words, split="train"):
    with pytest.raises(ValueError, match=f"(?s){words}.*stage1_extract_features.py") as error:
        read_latents(folder, split)
    assert "\n" not in str(error.value)


def test_absent_files_name_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such latents folder.*stage1_extract_features.py"):
        read_latents(tmp_path / "absent", "train")
    with pytest.raises(FileNotFoundError, match="no latents of split 'val'.*val.safetensors"):
        read_latents(tmp_path, "val")


@pytest.mark.parametrize("keep", [0, 5, 200, -10])
def test_truncated_files(tmp_path, keep):
    path = write(tmp_path, make_set())[0]
    path.write_bytes(path.read_bytes()[:keep])
    check_damage(tmp_path, "train.safetensors: damaged")
    assert read_metadata(tmp_path, "train") is None


def test_missing_and_left_over_shards(tmp_path):
    files = write(tmp_path, make_set(), shard_size=3)
    files[2].rename(tmp_path / "aside")
    check_damage(tmp_path, "not one complete set .*train-00002-of-00003")
    (tmp_path / "aside").rename(files[2])
    (tmp_path / "train.safetensors").write_bytes(files[0].read_bytes())
    check_damage(tmp_path, "not one complete set .*train-00000-of-00003")


def test_shards_of_two_extractions_are_not_mixed(tmp_path):
    write(tmp_path / "a", make_set(), shard_size=4)
    other = write(tmp_path / "b", make_set(seed=1), shard_size=4)
    other[1].replace(tmp_path / "a" / other[1].name)
    check_damage(tmp_path / "a", "another extraction")
    assert read_metadata(tmp_path / "a", "train") is None


def test_swapped_shards_are_noticed(tmp_path):
    first, second = write(tmp_path, make_set(6), shard_size=3)
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    check_damage(tmp_path, "another extraction")


def test_unknown_format_version(tmp_path):
    path = write(tmp_path, make_set())[0]
    rewrite(path, change_header=lambda header: header.update(format_version="2"))
    check_damage(tmp_path, "format version 2, expected 1")
    assert read_metadata(tmp_path, "train") is None
    save_file({"latents": torch.zeros(1)}, path)  # somebody else's file
    check_damage(tmp_path, "format version None")


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda t: t["latents"].view(-1)[9].fill_(float("nan")),
            r"\(latents holds .* not finite in sample 0",
        ),
        (
            lambda t: t["latents_std"].view(-1)[30].fill_(float("inf")),
            "latents_std holds values .* in sample 0",
        ),
        (lambda t: t["latents_std"].neg_(), "negative"),
        (lambda t: t.update(latents_std=t["latents_std"][:, :2].contiguous()), "latents_std has shape"),
        (lambda t: t.update(latents=t["latents"][:5].contiguous()), "samples and users, the header says"),
        (lambda t: t.update(latents=t["latents"].flatten(1)), "expected .N, C, H, H."),
        (lambda t: t["labels"].fill_(3), "labels from 3 to 3, the label table has 3"),
        (lambda t: t["labels"].fill_(-1), "labels from -1"),
        (lambda t: t.update(labels=t["labels"].int()), "int32"),
        (lambda t: t.pop("labels"), "labels"),
    ],
)
def test_wrong_content(tmp_path, change, words):
    path = write(tmp_path, make_set())[0]
    rewrite(path, change_tensors=change)
    check_damage(tmp_path, f"train.safetensors: damaged.*{words}")


def test_upstream_shards_are_read_in_numeric_order(tmp_path):
    generator = torch.Generator().manual_seed(3)
    parts = []
    for rank, shard in ((0, 0), (0, 1), (1, 0), (1, 10), (1, 9)):
        part = {
            "latents": torch.randn(2, 4, 3, 3, generator=generator),
            "latents_flip": torch.randn(2, 4, 3, 3, generator=generator),
            "labels": torch.tensor([shard, 11]),
        }
        save_file(part, tmp_path / f"latents_rank{rank:02d}_shard{shard:03d}.safetensors")
        parts.append(part)
    latent_set = read_latents(tmp_path, "train")
    order = [0, 1, 2, 4, 3]  # shard 9 before shard 10
    for name in ("latents", "latents_flip", "labels"):
        assert torch.equal(getattr(latent_set, name)[:], torch.cat([parts[k][name] for k in order]))
    assert latent_set.label_table.names == tuple(map(str, range(12))) and latent_set.latents_std is None
    assert folder_numbers(latent_set.label_table)[11] == 11  # class numbers
    assert len(set(latent_set.paths)) == 10
    with pytest.raises(FileNotFoundError):
        read_latents(tmp_path, "val")
    assert read_metadata(tmp_path, "train") is None


def test_export_is_what_upstream_reads(tmp_path):
    latent_set = make_set()
    export_lightningdit(make_set(9), tmp_path, shard_size=2)
    files = export_lightningdit(latent_set, tmp_path, shard_size=4)
    assert names(tmp_path) == [
        "latents_rank00_shard000.safetensors",
        "latents_rank00_shard001.safetensors",
        "latents_stats.pt",
    ]
    assert all(set(load_file(path)) == {"latents", "latents_flip", "labels"} for path in files)
    exported = read_latents(tmp_path, "train")
    assert torch.equal(exported.latents[:], latent_set.latents)
    assert torch.equal(exported.labels, latent_set.labels)
    assert torch.equal(exported.latents_flip[:], latent_set.latents)  # a mirrored walk is another walk
    saved = LatentStatistics.load(tmp_path / "latents_stats.pt")
    torch.testing.assert_close(saved.std.flatten(), latent_set.latents.std(dim=(0, 2, 3)), rtol=1e-6, atol=0)


def test_export_keeps_flipped_latents_it_was_given(tmp_path):
    latent_set = make_set()
    flipped = LatentSet(
        latent_set.latents, None, latent_set.labels, TABLE, latent_set.paths, {}, latent_set.latents.flip(3)
    )
    export_lightningdit(flipped, tmp_path)
    assert torch.equal(read_latents(tmp_path, "train").latents_flip, latent_set.latents.flip(3))


def test_export_does_not_overwrite_our_own_folder(tmp_path):
    write(tmp_path, make_set())
    with pytest.raises(ValueError, match="holds other latents .train.safetensors.*another folder"):
        export_lightningdit(make_set(), tmp_path)
    assert names(tmp_path) == ["train.safetensors"]


def test_damaged_upstream_shards(tmp_path):
    files = export_lightningdit(make_set(), tmp_path, shard_size=4)
    rewrite(files[1], change_tensors=lambda t: t.pop("latents_flip"))
    check_damage(tmp_path, "latents_flip is in 1 of 2 shards")
    files = export_lightningdit(make_set(), tmp_path, shard_size=4)
    rewrite(files[1], change_tensors=lambda t: t["labels"].fill_(-5))
    check_damage(tmp_path, "labels from -5")
    files[1].write_bytes(b"")
    check_damage(tmp_path, "shard001.safetensors: damaged")
