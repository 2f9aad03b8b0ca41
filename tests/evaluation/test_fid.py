"""FID and its relatives: torch-fidelity's own figures, whatever the images come in, and what is refused."""

import json
import sys

import numpy
import pytest
import torch
from PIL import Image
from toy_run import output_of, refusal_of, snapshot

import stage4_evaluate
from benchmarks.compare_fid import compare, write_random_weights
from configs.errors import UserError
from data.image_array import write_image_array
from evaluation import fid
from evaluation.fid import features_of, measure
from evaluation.image_sources import find_source
from evaluation.inception import LOGITS, POOLED, load_inception

CPU = torch.device("cpu")


def waves(count, seed, pitch):
    """Images (count, 48, 64, 3) of waves that a pitch tells apart."""
    draw = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[:48, :64] / 8
    phase, slope = draw.uniform(0, 6, (count, 3, 1, 1)), draw.normal(pitch, 0.3, (count, 3, 1, 1))
    levels = 128 + 100 * numpy.sin(slope * (x + y / 2) + phase) + draw.normal(0, 9, (count, 3, 48, 64))
    return levels.clip(0, 255).astype("u1").transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two folders, one of them as an .npz too, and weights of a random Inception."""
    folder = tmp_path_factory.mktemp("fid")
    images = {"generated": waves(14, 0, 1.2), "reference": waves(12, 1, 1.0)}
    for name, part in images.items():
        for number, image in enumerate(part):
            path = folder / name / f"ID_{number % 3}" / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    paths = sorted((folder / "generated").rglob("*.png"))
    packed = numpy.stack([numpy.asarray(Image.open(path)) for path in paths])
    write_image_array(folder / "generated.npz", packed, packed.shape, numpy.arange(14) % 3)
    write_random_weights(folder / "inception.pth")
    return folder


@pytest.fixture(scope="module")
def network(sets):
    return load_inception(str(sets / "inception.pth"), CPU, (POOLED, LOGITS), "--inception_path")


def features(path, network, batch_size=32):
    return features_of(find_source("--generated", str(path)), network, CPU, batch_size)


def command(sets, out, **others):
    given = {"generated": sets / "generated", "reference": sets / "reference"} | others
    given = {"inception_path": sets / "inception.pth", "output_dir": out, "device": "cpu"} | given
    return (
        stage4_evaluate.main,
        "fid",
        *(word for key, value in given.items() for word in (f"--{key}", value)),
    )


@pytest.fixture(scope="module")
def compared(sets):
    """Our figures, those of torch-fidelity, and what of them differs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.compare_fid.resolve_device", lambda name: CPU)
        body, faults = compare(sets / "generated", sets / "reference", sets / "inception.pth")
    rows = [line.strip("| ").split(" | ") for line in body.splitlines() if line.startswith("| ")][2:]
    ours, theirs = ({row[0]: float(row[column]) for row in rows} for column in (1, 2))
    return ours, theirs, faults


def test_figures_are_those_of_torch_fidelity_s_own_call(compared):
    figures, theirs, faults = compared
    assert faults == [] and figures == pytest.approx(theirs, abs=1e-3, rel=1e-3)
    assert {*figures} == {
        "frechet_inception_distance",
        "inception_score_mean",
        "inception_score_std",
        "kernel_inception_distance_mean",
        "kernel_inception_distance_std",
        "precision",
        "recall",
        "f_score",
    }
    assert figures["frechet_inception_distance"] > 0.01 and figures["inception_score_mean"] > 1


def test_an_npz_and_a_folder_are_the_same_images(sets, network):
    folder, packed = (features(sets / name, network) for name in ("generated", "generated.npz"))
    assert all(torch.equal(folder[name], packed[name]) for name in (POOLED, LOGITS))
    assert folder[POOLED].shape == (14, 2048)


def test_images_of_several_sizes_and_of_grey_levels(sets, network, tmp_path):
    pictures = [Image.open(path) for path in sorted((sets / "generated").rglob("*.png"))[:4]]
    pictures[1] = pictures[1].resize((90, 30))
    pictures[2] = pictures[2].convert("L")
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    pooled = features(tmp_path, network)[POOLED]
    for number, picture in enumerate(pictures):
        alone = torch.from_numpy(numpy.array(picture.convert("RGB"))).permute(2, 0, 1)[None]
        assert torch.allclose(network(alone)[0][0], pooled[number], rtol=1e-4, atol=1e-5)


def test_what_is_not_read_is_counted_and_named(sets, network, tmp_path):
    for number, path in enumerate(sorted((sets / "generated").rglob("*.png"))[:4]):
        (tmp_path / f"{number}.png").write_bytes(path.read_bytes())
    (tmp_path / "3.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "samples.csv").write_text("file,user\n0.png,ID_1\n1.png,ID_1\n3.png,ID_1\n")
    source = find_source("--generated", str(tmp_path))
    assert source.count == 3 and len(features_of(source, network, CPU, 2)[POOLED]) == 2
    said = source.account(2)
    for words in (
        "read 2 images, left out 4",
        "1 that cannot be decoded (3.png)",
        "1 not in the table (2.png)",
    ):
        assert words in said
    assert "1 .txt (notes.txt)" in said
    (tmp_path / "samples.csv").write_text("file,user\n9.png,ID_1\n")
    with pytest.raises(UserError, match="samples.csv: lists 9.png, which is not there"):
        find_source("--generated", str(tmp_path))
    (tmp_path / "samples.csv").write_text("file\n0.png\n3.png\n")
    with pytest.raises(UserError, match="read 1 image, left out .*; expected 2 images or more"):
        features_of(find_source("--generated", str(tmp_path)), network, CPU, 2)


def test_the_deviation_of_kid_is_told_where_its_subsets_differ():
    figures = {"kernel_inception_distance_mean": 0.0123456, "kernel_inception_distance_std": 0.001}
    for count, words in ((1000, "KID 0.01235"), (1001, "KID 0.01235 ± 0.001")):
        counts = {"generated": 5000, "reference": count}
        said = fid.lines({"figures": figures, "counts": counts, "accounts": {}, "left_out": []})
        assert said[0] == words and len(said) == 2
    counts["reference"] = fid.COMPARABLE
    assert len(fid.lines({"figures": figures, "counts": counts, "accounts": {}, "left_out": []})) == 1


@pytest.fixture(scope="module")
def against_statistics(sets, network, tmp_path_factory):
    """What is measured against a reference that is known by mu and sigma alone."""
    known = features(sets / "reference", network)[POOLED].double()
    path = tmp_path_factory.mktemp("adm") / "reference.npz"
    numpy.savez(path, mu=known.mean(0).numpy(), sigma=torch.cov(known.T).numpy())
    sources = {
        "generated": find_source("", str(sets / "generated.npz")),
        "reference": find_source("", str(path)),
    }
    return measure(sources, network, CPU, 32)


def test_statistics_of_a_reference_give_the_distance_alone(against_statistics, compared):
    figures, name = against_statistics["figures"], "frechet_inception_distance"
    assert figures[name] == pytest.approx(compared[1][name], rel=1e-3)
    assert {*figures} == {"frechet_inception_distance", "inception_score_mean", "inception_score_std"}
    assert against_statistics["counts"] == {"generated": 14, "reference": None}
    said = "\n".join(fid.lines(against_statistics))
    assert "not measured: KID requires images on both sides, not statistics alone" in said
    assert "not measured: precision and recall require 4 images on both sides" in said
    assert "warning: FID of 14 generated images is biased upwards; figures of fewer than 2,048 images" in said


def test_the_command_measures_once(sets, tmp_path, monkeypatch, against_statistics):
    monkeypatch.setattr(fid, "measure", lambda *arguments: against_statistics)
    said = output_of(*command(sets, tmp_path))
    figures = json.loads((tmp_path / "fid.json").read_text())["figures"]
    assert f"FID {figures['frechet_inception_distance']:.4g}, Inception Score " in said
    before = snapshot(tmp_path)
    again = output_of(*command(sets, tmp_path))
    assert again.splitlines()[1:] == said.splitlines() and "skipped" in again
    assert snapshot(tmp_path) == before
    text = refusal_of(*command(sets, tmp_path, generated=sets / "generated.npz"), unchanged=tmp_path)
    assert "was made with other settings: generated was" in text
    (tmp_path / "fid.json").write_text("{}")
    text = refusal_of(*command(sets, tmp_path), unchanged=tmp_path)
    assert text == f"error: {tmp_path}/fid.json: damaged; delete it, and it is measured again"


def test_what_is_needed_is_said_in_one_line(sets, tmp_path, monkeypatch):
    words = (
        "download weights-inception-2015-12-05-6726825d.pth from the release v0.2.0 of toshas/torch-fidelity"
    )
    main, *arguments = command(sets, tmp_path / "out")
    place = arguments.index("--inception_path")
    text = refusal_of(main, *arguments[:place], *arguments[place + 2 :])
    assert "--inception_path: requires a file of Inception's weights" in text and words in text
    text = refusal_of(*command(sets, tmp_path / "out", inception_path=tmp_path / "absent.pth"))
    assert "absent.pth: no such file of torch-fidelity's Inception" in text and words in text
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "other.pth")
    text = refusal_of(*command(sets, tmp_path / "out", inception_path=tmp_path / "other.pth"))
    assert "holds other weights than torch-fidelity's Inception: 1 (fc.weight)" in text and words in text
    one = tmp_path / "one"
    one.mkdir()
    text = refusal_of(*command(sets, tmp_path / "out", reference=one))
    assert f"--reference {one}: holds no image" in text
    Image.new("RGB", (8, 8)).save(one / "a.png")
    assert "expected 2 images or more" in refusal_of(*command(sets, tmp_path / "out", reference=one))
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    text = refusal_of(*command(sets, tmp_path / "out"))
    assert "torch_fidelity is not installed: pip install -r requirements.txt" in text
    assert not (tmp_path / "out").exists()


def test_code_in_a_weights_file_is_not_run(sets, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    text = refusal_of(*command(sets, tmp_path / "out", inception_path=tmp_path / "trap.pth"))
    assert "could run code" in text and not (tmp_path / "ran").exists()
