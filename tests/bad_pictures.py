"""Pictures, folders, recordings and tables that cannot be right."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
from bad_inputs import Bad, Trap, draw, encoded, extract, judge, speckle, spectrogram, split, train, written
from PIL import Image
from toy_run import Toy

import stage0_prepare as stage0
import stage1_extract_features as stage1
import stage2_train_dit as stage2
import stage3_inference as stage3
import stage4_evaluate as stage4

# Images


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


KINDS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF", "webp": "WEBP"}
NOT_IMAGES = {
    "text": b"not an image\n",
    "html": b"<!doctype html><title>404</title>",
    "pdf": b"%PDF-1.7\n%\xe2\xe3",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(60),
    "gzip": b"\x1f\x8b\x08" + bytes(30),
    "zeros": bytes(5000),
    "noise": numpy.random.default_rng(1).bytes(3000),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "one byte": b"\x89",
    "signature": b"\x89PNG\r\n\x1a\n",
    "jpeg start": b"\xff\xd8\xff\xe0",
    "newline": b"\n",
}


def bad_images() -> Iterator[tuple[str, str, bytes]]:
    """Name, file name and content."""
    for suffix, kind in KINDS.items():
        whole = encoded(speckle(), kind)
        yield f"empty {suffix}", f"a.{suffix}", b""
        for share in (0.02, 0.3, 0.6, 0.9):
            yield f"{suffix} cut at {share}", f"a.{suffix}", whole[: int(len(whole) * share)]
    for name, content in NOT_IMAGES.items():
        for suffix in ("png", "JPG"):
            yield f"{name} as {suffix}", f"a.{suffix}", content
    for width, height in ((100_000, 100_000), (2**31 - 1, 1), (9000, 9000), (1, 2**27), (0, 5), (5, 0)):
        yield f"png of {width} x {height}", "a.png", png_of_size(width, height)
    numbers = numpy.arange(1600).reshape(40, 40)
    yield "float tiff", "a.tif", encoded(Image.fromarray(numbers.astype(numpy.float32)), "TIFF")
    yield "32-bit tiff", "a.tif", encoded(Image.fromarray((numbers * 1000).astype(numpy.int32)), "TIFF")
    yield "negative tiff", "a.tif", encoded(Image.fromarray((numbers - 9).astype(numpy.int32)), "TIFF")
    png = bytearray(encoded(speckle(), "PNG"))
    for place in (16, 24, 26, 30, 45, 200, 900, 3000):  # size, depth, colours, check sums, data
        flipped = png.copy()
        flipped[place] ^= 0x55
        yield f"png flipped at {place}", "a.png", bytes(flipped)


def with_image(name: str, content: bytes) -> Callable[[Toy, Path], list[Any]]:
    def make(toy: Toy, work: Path) -> list[Any]:
        folder = work / "data/train/ID_1"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content)
        speckle().save(folder / "good.png")
        return extract(toy, work, data_dir=work / "data")

    return make


IMAGES = [
    Bad(f"image {name}", stage1.main, with_image(file, content), f"train/ID_1/{file}: ")
    for name, file, content in bad_images()
]


# Folders


def people(work: Path, *names: str, images: int = 1) -> Path:
    """A data folder whose train/ has these people."""
    for person, name in enumerate(names):
        (work / "data/train" / name).mkdir(parents=True)
        for number in range(images):
            speckle(seed=person * images + number).save(work / "data/train" / name / f"{number}.png")
    return work / "data"


def folder_case(name: str, change: Callable[[Path], None], said: str = "") -> Bad:
    def make(toy: Toy, work: Path) -> list[Any]:
        (work / "data/train").mkdir(parents=True)
        change(work / "data/train")
        return extract(toy, work, data_dir=work / "data")

    return Bad(f"folder {name}", stage1.main, make, said)


def loop(train_folder: Path) -> None:
    (train_folder / "ID_1").symlink_to(train_folder / "ID_2")
    (train_folder / "ID_2").symlink_to(train_folder / "ID_1")


def in_itself(train_folder: Path) -> None:
    (train_folder / "ID_1").symlink_to(train_folder)


def only_hidden(train_folder: Path) -> None:
    (train_folder / ".ID_1").mkdir()
    speckle().save(train_folder / ".ID_1/a.png")


def dangling(train_folder: Path) -> None:
    (train_folder / "ID_1").mkdir()
    (train_folder / "ID_1/a.png").symlink_to("nowhere.png")


def queue(train_folder: Path) -> None:
    (train_folder / "ID_1").mkdir()
    os.mkfifo(train_folder / "ID_1/a.png")  # opening it would wait for ever


def not_unicode(train_folder: Path) -> None:
    os.mkdir(os.fsencode(train_folder) + b"/ID_\xff1")
    with open(os.fsencode(train_folder) + b"/ID_\xff1/a.png", "wb") as file:
        file.write(encoded(speckle(), "PNG"))


FOLDERS = [
    folder_case("empty", lambda train_folder: None, "holds no image, found nothing; expected"),
    folder_case("only an empty person", lambda f: (f / "ID_1").mkdir(), "found 1 empty folder (ID_1)"),
    folder_case("symlink loop", loop),
    folder_case("a person that is its parent", in_itself),
    folder_case("only hidden people", only_hidden),
    folder_case("dangling image", dangling),
    folder_case("an image that is a queue", queue, "1 queue, socket or device (ID_1/a.png)"),
    folder_case("a name that is not Unicode", not_unicode),
    folder_case("an image that is a folder", lambda f: (f / "ID_1/a.png").mkdir(parents=True)),
    folder_case("loose images", lambda f: speckle().save(f / "a.png"), "1 loose image"),
    folder_case("only texts", lambda f: [(f / "ID_1").mkdir(), (f / "ID_1/a.txt").write_text("x")]),
    folder_case(
        "only ppm", lambda f: [(f / "ID_1").mkdir(), speckle().save(f / "ID_1/a.ppm")], "1 .ppm (ID_1/a.ppm)"
    ),
    folder_case(
        "one level too deep",
        lambda f: [(f / "all/ID_1").mkdir(parents=True), speckle().save(f / "all/ID_1/a.png")],
        "which folder of all/ID_1/a.png is the person",
    ),
    Bad(
        "split of one-image users",
        stage0.main,
        lambda toy, work: split(toy, work, input_dir=people(work, "ID_1", "ID_2") / "train"),
        "too few images: ID_1 has 1",
    ),
    Bad(
        "split of two recordings named one",
        stage0.main,
        lambda toy, work: split(toy, work, input_dir=people(work, "ID_1") / "train", recordings="x"),
        "matches nothing",
    ),
    Bad(
        "split into its source",
        stage0.main,
        lambda toy, work: split(
            toy, work, input_dir=people(work, "ID_1", images=9) / "train", output_dir=work / "data/train/out"
        ),
        "lies in the images' folder",
    ),
    Bad(
        "split of a file",
        stage0.main,
        lambda toy, work: split(toy, work, input_dir=written(work / "a.png", b"x")),
        "no such folder",
    ),
    Bad(
        "a person unknown to train",
        stage1.main,
        lambda toy, work: extract(toy, work, data_dir=people_and_stranger(work)),
        "ID_9 not among the known users",
    ),
    Bad(
        "evaluation of one person",
        stage4.main,
        lambda toy, work: judge(toy, work, real=people(work, "ID_1")),
        "expected two people",
    ),
]


def people_and_stranger(work: Path) -> Path:
    (people(work, "ID_1") / "val/ID_9").mkdir(parents=True)
    speckle().save(work / "data/val/ID_9/a.png")
    return work / "data"


# Recordings and tables


def recorded(work: Path) -> Path:
    noise = numpy.random.default_rng(0).standard_normal((8219, 2)) @ numpy.array([1, 1j])
    (work / "iq").mkdir(exist_ok=True)
    numpy.save(work / "iq/rec1.npy", noise)
    return work


def recordings() -> Iterator[Bad]:
    whole = io.BytesIO()
    numpy.save(whole, numpy.ones(9000, complex))
    objects = io.BytesIO()
    numpy.save(objects, numpy.array([Trap(Path("sprung"))], object), allow_pickle=True)
    claim = whole.getvalue().replace(b"(9000,)", b"(9" + b"0" * 14 + b",)"[:3])
    for name, content in {
        "empty": b"",
        "cut": whole.getvalue()[:5000],
        "header": whole.getvalue()[:40],
        "text": b"1 2 3",
        "objects": objects.getvalue(),
        "huge claim": claim,
        "zeros": bytes(500),
    }.items():
        for suffix in ("npy", "mat", "h5"):
            yield Bad(
                f"recording {name} as {suffix}",
                stage0.main,
                lambda toy, work, content=content, suffix=suffix: spectrogram(
                    toy, work, input=written(work / f"iq/rec.{suffix}", content).parent
                ),
            )
    for name, array in {
        "nan": numpy.full(9000, complex("nan")),
        "zeros": numpy.zeros(9000, complex),
        "text": numpy.array(["a"] * 9000),
        "booleans": numpy.ones(9000, bool),
        "nothing": numpy.zeros(0, complex),
        "one": numpy.ones((), complex),
        "records": numpy.zeros(9000, [("a", "f4")]),
        "five axes": numpy.ones((1, 1, 1, 1, 9000), "f4"),
        "tall": numpy.ones((9000, 3), complex),
    }.items():
        yield Bad(
            f"recording of {name}",
            stage0.main,
            lambda toy, work, array=array: spectrogram(
                toy, work, input=numpy_file(work / "iq/rec.npy", array).parent
            ),
        )


def numpy_file(path: Path, array: numpy.ndarray) -> Path:
    path.parent.mkdir(parents=True)
    numpy.save(path, array)
    return path


def tables() -> Iterator[Bad]:
    """samples.csv and the records of folders."""
    for name, content in {
        "empty": "",
        "only a head": "file,user\n",
        "no such column": "a,b\n1,2\n",
        "a stranger": "file,user\na.png,ID_77\n",
        "an absent file": "file,user\nabsent.png,ID_1\n",
        "zeros": b"file,user\na\0.png,ID_1\n",
        "bytes": b"\xff\xfe\x00\x01",
        "short row": "file,user\na.png\n",
        "empty file name": "file,user\n,ID_1\n",
        "a huge cell": "file,user\n" + "a" * 200_000 + ",ID_1\n",
        "a folder as file": "file,user\n.,ID_1\n",
        "a path outside": "file,user\n../../x.png,ID_1\n",
        "a long name": "file,user\n" + "a" * 5000 + ".png,ID_1\n",
        "quotes": 'file,user\n"a.png,ID_1\n',
    }.items():
        yield Bad(
            f"samples.csv {name}",
            stage4.main,
            lambda toy, work, content=content: [
                *judge(toy, work),
                written(work / "generated/samples.csv", content) and "seed=0",
            ],
        )
    for name, content in {
        "empty": "",
        "a list": "[1]",
        "a number": "7",
        "half": '{"a"',
        "bytes": b"\xff\xfe",
        "of another": '{"lr": 3}',
        "deep": "[" * 100_000,
    }.items():
        yield Bad(
            f"run.json {name} in stage 2",
            stage2.main,
            lambda toy, work, content=content: [
                *train(toy, work),
                written(work / "models/run.json", content) and "seed=0",
            ],
        )
        yield Bad(
            f"run.json {name} in stage 3",
            stage3.main,
            lambda toy, work, content=content: [
                *draw(toy, work),
                written(work / "images/run.json", content) and "seed=0",
            ],
        )
        yield Bad(
            f"split.json {name}",
            stage0.main,
            lambda toy, work, content=content: [
                *split(toy, work),
                written(work / "data_split/split.json", content) and "seed=0",
            ],
        )
