"""samples.npz of stage 3: the images of the folder in turns of labels, the same bytes however they came."""

import numpy
import pytest
from PIL import Image
from test_published_system import PRESET, published  # noqa: F401 (a fixture)
from toy_run import EXACT, digest_of, names, output_of, refusal_of, run_as_script, snapshot

import stage3_inference
from data.atomic import replacing
from sampling import image_set

STEPS = ("--num_steps", "2", "--batch_size", "2")


def draw(toy, out, *more):
    networks = ("--dit_checkpoint", toy.lively, "--vavae_path", toy.tokenizer)
    return stage3_inference.main, *networks, "--output_dir", out, *STEPS, *EXACT, "--npz", *more


@pytest.fixture(scope="module")
def drawn(toy, tmp_path_factory):
    """Seven images of three people: three of the first one."""
    out = tmp_path_factory.mktemp("set") / "images"
    output_of(*draw(toy, out, "--num_samples", 7))
    return out


def test_labels_take_turns_and_the_first_get_what_cannot_be_shared(drawn):
    with numpy.load(drawn / "samples.npz") as arrays:
        images, labels = arrays["arr_0"], arrays["arr_1"]
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0] and images.shape == (7, 256, 256, 3)
    users = ["01", "02", "10"]
    for place, (image, label) in enumerate(zip(images, labels)):
        file = drawn / f"micro_doppler_user{users[label]}_{place // 3 + 1:03d}.png"
        assert (numpy.asarray(Image.open(file)) == image).all()
    assert len(names(drawn, "micro_doppler_user*.png")) == 7


def test_a_set_drawn_in_pieces_has_the_bytes_of_one_drawn_at_once(toy, drawn, tmp_path, monkeypatch):
    out = tmp_path / "pieces"
    output_of(*draw(toy, out, "--num_samples", 7))
    (out / "micro_doppler_user01_001.png").unlink()
    (out / "micro_doppler_user10_002.png").unlink()
    written = (out / "samples.npz").stat().st_mtime_ns

    def killed(path, images, shape, labels):
        with replacing(path):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_set, "write_image_array", killed)
        assert run_as_script(*draw(toy, out, "--num_samples", 7))[0] == 130
    assert (out / "samples.npz").stat().st_mtime_ns == written and not names(out, ".*.tmp")
    output_of(*draw(toy, out, "--num_samples", 7))
    assert (out / "samples.npz").stat().st_mtime_ns > written
    assert digest_of(out / "samples.npz") == digest_of(drawn / "samples.npz")


def test_what_is_packed_stays_and_more_images_are_packed_anew(toy, drawn, tmp_path):
    out = tmp_path / "more"
    output_of(*draw(toy, out, "--num_samples_per_user", 1))
    before = snapshot(out)
    output_of(*draw(toy, out, "--num_samples_per_user", 1))
    assert snapshot(out)["samples.npz"] == before["samples.npz"]
    output_of(*draw(toy, out, "--num_samples", 7))
    more, whole = (numpy.load(folder / "samples.npz") for folder in (out, drawn))
    assert numpy.array_equal(more["arr_1"], whole["arr_1"])
    assert numpy.abs(more["arr_0"].astype(int) - whole["arr_0"]).max() <= 1  # as any image of other batches
    digest = digest_of(out / "samples.npz")
    (out / "samples.npz").write_bytes(b"damaged")
    output_of(*draw(toy, out, "--num_samples", 7))
    assert digest_of(out / "samples.npz") == digest


def test_fewer_images_than_people(toy, tmp_path):
    said = output_of(*draw(toy, tmp_path / "two", "--num_samples", 2))
    assert "2 images of 2 people" in said
    with numpy.load(tmp_path / "two/samples.npz") as arrays:
        assert arrays["arr_1"].tolist() == [0, 1]


def test_selected_images_are_counted_by_keep(toy, tmp_path):
    text = refusal_of(*draw(toy, tmp_path, "--select", "judge.safetensors", "--num_samples", 6))
    assert "--num_samples 6: --select keeps so many of each person; give --keep" in text


def test_a_set_of_published_classes(published, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("runtime.disk.free_space", lambda folder: 2**40)  # else 50,000 images want 18 GiB
    arguments = "--config", PRESET, *published, "--output_dir", tmp_path, "--npz", "--num_steps", 1
    said = output_of(stage3_inference.main, *arguments, "--num_samples", 50000, "--dry_run")
    assert "would draw 50000 of 50000 images of 1000 people" in said
    some = "--user_ids", "899-999", "--num_samples", 103
    said = output_of(stage3_inference.main, *arguments, *some, "--batch_size", 64)
    assert "micro_doppler_grid.png shows the first 100 of 101 people" in said
    with numpy.load(tmp_path / "samples.npz") as arrays:
        assert arrays["arr_1"].tolist() == [*range(899, 1000), 899, 900]
        assert arrays["arr_0"].shape == (103, 256, 256, 3)
