"""Stage 3's folder as other programs read it: a folder per person, tables, arrays and labelled figures."""

import shutil
from dataclasses import replace

import numpy
import pytest
from PIL import Image
from tables import rows_of
from torchvision.datasets import ImageFolder
from toy_run import DRAWING, EXACT, PEOPLE, changed, digests, names, output_of, refusal_of, snapshot

import stage3_inference
from data.axes import Axes
from data.labels import LabelTable
from evaluation.generated import find_generated
from sampling.image_sampler import wanted
from sampling.model_file import load_trained, write_slim

FLAT = {f"micro_doppler_user{user}_{k:03d}.png" for user in ("01", "02", "10") for k in (1, 2)}
FOLDERS = {f"ID_{int(name.split('user')[1][:2])}/{name}" for name in FLAT}
BESIDE = {"micro_doppler_grid.png", "samples.csv", "metadata.csv", "run.json"}
FIGURES = {f"figure_user{user}.png" for user in ("01", "02", "10")}


def draw(toy, out, *more, checkpoint=None):
    paths = ("--dit_checkpoint", checkpoint or toy.lively, "--vavae_path", toy.tokenizer, "--output_dir", out)
    return stage3_inference.main, *paths, *DRAWING, *EXACT, *more


@pytest.fixture(scope="module")
def drawn(toy, tmp_path_factory):
    """The same images in both layouts, those in folders with arrays."""
    folder = tmp_path_factory.mktemp("layouts")
    output_of(*draw(toy, folder / "flat"))
    output_of(*draw(toy, folder / "folders", "--layout", "folders", "--arrays"))
    return folder


def pixels(path):
    return numpy.asarray(Image.open(path)).astype(int)


def test_both_layouts_hold_the_same_images(drawn):
    assert names(drawn / "flat") == FLAT | BESIDE
    arrays = {name.replace(".png", ".npz") for name in FOLDERS}
    assert names(drawn / "folders") == FOLDERS | arrays | BESIDE | FIGURES
    people = LabelTable(PEOPLE)
    flat, folders = (find_generated(drawn / layout, people) for layout in ("flat", "folders"))
    assert not flat.left_out and not folders.left_out
    for one, other in zip(flat.records, folders.records):
        assert (one.relative, one.user) == (other.relative, other.user) and one.path != other.path
        assert (pixels(one.path) == pixels(other.path)).all()
    assert flat.axes == folders.axes is not None


def test_torchvision_reads_people_as_classes(drawn):
    dataset = ImageFolder(drawn / "folders")
    assert dataset.classes == sorted(PEOPLE) and len(dataset) == len(FOLDERS)
    for path, target in dataset.samples:
        assert path.split("/")[-2] == dataset.classes[target]
        assert f"user{int(dataset.classes[target][3:]):02d}_" in path


@pytest.mark.parametrize(("layout", "images"), [("flat", FLAT), ("folders", FOLDERS)])
def test_metadata_name_every_image_and_person(drawn, layout, images):
    rows = rows_of(drawn / layout / "metadata.csv")
    assert {row["file_name"] for row in rows} == images and next(iter(rows[0])) == "file_name"
    samples = {row["file"]: row for row in rows_of(drawn / layout / "samples.csv")}
    for row in rows:
        same = samples[row["file_name"]]
        assert (row["user"], row["label"], row["sample"]) == (same["user"], same["label"], same["sample"])
        assert PEOPLE[int(row["label"])] == row["user"]


@pytest.mark.parametrize(
    ("folder", "asked", "said"),
    [
        ("flat", "folders", "layout was None, now 'folders'"),
        ("folders", "flat", "layout was 'folders', now None"),
    ],
)
def test_one_folder_has_one_layout(toy, drawn, folder, asked, said):
    assert said in refusal_of(*draw(toy, drawn / folder, "--layout", asked), unchanged=drawn / folder)


def test_folders_are_gone_on_with(toy, drawn, tmp_path):
    out = shutil.copytree(drawn / "folders", tmp_path / "images")
    before = snapshot(out)
    said = output_of(*draw(toy, out, "--layout", "folders", "--arrays"))
    assert "6 of them there: drawing skipped" in said and "wrote 0 arrays" in said
    assert not changed(before, snapshot(out)) & (FOLDERS | {name.replace(".png", ".npz") for name in FOLDERS})
    (out / "ID_2/micro_doppler_user02_001.png").unlink()
    (out / "ID_10/micro_doppler_user10_001.npz").unlink()
    said = output_of(*draw(toy, out, "--layout", "folders", "--arrays"))
    assert "wrote 1 images" in said and "wrote 1 arrays" in said
    assert digests(before) == digests(snapshot(out))


def test_arrays_are_added_to_images_that_are_there(toy, drawn, tmp_path):
    out = shutil.copytree(drawn / "flat", tmp_path / "images")
    before = snapshot(out)
    assert "wrote 6 arrays" in output_of(*draw(toy, out, "--arrays"))
    assert not changed(before, snapshot(out)) & FLAT
    with numpy.load(out / "micro_doppler_user10_002.npz") as arrays:
        assert arrays["db"].shape == (256, 256) and arrays["db"].dtype == numpy.float32
        assert arrays["velocity_mps"][[0, -1]] == pytest.approx([-1.2125, 5.1625], abs=1e-3)
        assert arrays["time_s"][-1] == pytest.approx(2.108 * 255.5 / 256, abs=1e-3)
        assert (float(arrays["range_db"]), str(arrays["colour_map"])) == (32, "jet")


def older_model(toy, path, axes):
    """The toy's model as one that carries other axes, or none."""
    net, payload = load_trained(toy.lively)
    write_slim(path, net.state_dict(), replace(payload, axes=axes))
    return path


def test_arrays_require_axes_and_the_range_of_the_colours(toy, tmp_path):
    one, axes = ("--user_ids", 1, "--num_samples_per_user", 1), ("--axes", 0, 6, 2, 30)
    old = older_model(toy, tmp_path / "old.safetensors", None)
    said = refusal_of(*draw(toy, tmp_path / "out", *one, "--arrays", checkpoint=old))
    assert "carries no axes" in said and not (tmp_path / "out").exists()
    output_of(*draw(toy, tmp_path / "out", *one, *axes, checkpoint=old))
    assert find_generated(tmp_path / "out", LabelTable(PEOPLE)).axes == Axes(0, 6, 2, 30)
    said = refusal_of(*draw(toy, tmp_path / "out", *one, checkpoint=old))
    assert "axes was [0.0, 6.0, 2.0, 30.0], now None" in said
    part = older_model(toy, tmp_path / "part.safetensors", Axes(0, 6, 2, colour_map="jet"))
    said = refusal_of(*draw(toy, tmp_path / "more", *one, "--arrays", checkpoint=part))
    assert "carries no range in dB" in said
    assert "wrote 1 arrays" in output_of(
        *draw(toy, tmp_path / "more", *one, "--arrays", *axes, checkpoint=part)
    )


def test_no_name_leads_out_of_the_folder():
    table = LabelTable(("..", "../up", "a b", ".a", "%2E."))
    folders = [wanted(table, label, 1, "folders").name.split("/")[0] for label in range(len(table))]
    assert len(set(folders)) == len(table) and not any(name.startswith(".") for name in folders)
