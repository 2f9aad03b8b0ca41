"""Many images in one .npz: numpy reads what is written, what others write is read, the rest is refused."""

import zipfile

import numpy
import pytest

from configs.errors import UserError
from data.image_array import contents_of, read_images, read_labels, read_statistics, write_image_array

IMAGES = numpy.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), dtype=numpy.uint8)
LABELS = numpy.arange(5) % 2


def test_numpy_reads_what_is_written_and_the_bytes_are_always_the_same(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_image_array(tmp_path / name, iter(IMAGES), IMAGES.shape, LABELS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with numpy.load(tmp_path / "a.npz") as arrays:
        assert arrays.files == ["arr_0", "arr_1"] and arrays["arr_1"].dtype == numpy.int64
        assert numpy.array_equal(arrays["arr_0"], IMAGES) and numpy.array_equal(arrays["arr_1"], LABELS)
    assert contents_of(tmp_path / "a.npz") == (5, False)


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_what_numpy_writes_is_read_one_by_one(save, tmp_path):
    save(tmp_path / "x.npz", IMAGES, LABELS)
    assert numpy.array_equal(numpy.stack([*read_images(tmp_path / "x.npz")]), IMAGES)
    assert numpy.array_equal(read_labels(tmp_path / "x.npz"), LABELS)


def test_a_reference_may_bring_statistics(tmp_path):
    statistics = {"mu": numpy.arange(3.0, dtype="f4"), "sigma": numpy.eye(3)}
    numpy.savez(tmp_path / "alone.npz", **statistics)
    numpy.savez(tmp_path / "both.npz", IMAGES, **statistics)
    assert contents_of(tmp_path / "alone.npz") == (None, True)
    assert contents_of(tmp_path / "both.npz") == (5, True)
    mean, covariance = read_statistics(tmp_path / "alone.npz", 3)
    assert mean.dtype == covariance.dtype == numpy.float64
    assert numpy.array_equal(mean, statistics["mu"]) and numpy.array_equal(covariance, numpy.eye(3))
    with pytest.raises(UserError, match=r"mu \(3,\) and sigma \(3, 3\), expected \(4,\)"):
        read_statistics(tmp_path / "alone.npz", 4)
    numpy.savez(tmp_path / "alone.npz", mu=[numpy.nan], sigma=[[1.0]])
    with pytest.raises(UserError, match="not finite"):
        read_statistics(tmp_path / "alone.npz", 1)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": IMAGES}, "holds images; expected arr_0"),
        ({"arr_0": IMAGES / 255}, r"arr_0 is float64 of shape \(5, 6, 4, 3\)"),
        ({"arr_0": IMAGES.transpose(0, 3, 1, 2)}, "expected arr_0"),
        ({"arr_0": numpy.asfortranarray(IMAGES)}, "expected arr_0"),
        ({"arr_0": IMAGES[:, :0]}, "images of 4x0"),
        ({"arr_0": numpy.array([{}], dtype=object)}, "arr_0 is object"),
    ],
)
def test_other_arrays_are_refused(arrays, words, tmp_path):
    numpy.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=words):
        contents_of(tmp_path / "x.npz")


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(FileNotFoundError, match="no such file"):
        contents_of(path)
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="not an .npz file"):
        contents_of(path)
    write_image_array(path, iter(IMAGES), IMAGES.shape, LABELS)
    with zipfile.ZipFile(path) as archive:
        header = archive.read("arr_0.npy")[: -IMAGES[0].size - 1]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", header)
    with pytest.raises(UserError, match="ends within image 4 of 5"):
        list(read_images(path))
    data = bytearray(path.read_bytes())
    data[300] ^= 1  # the archive's checksum tells
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged|ends within"):
        list(read_images(path))
