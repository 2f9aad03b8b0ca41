"""Pictures, folders, recordings and tables that cannot be right."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
from bad_inputs import (
    EXTRACT,
    JUDGE,
    SPECTROGRAM,
    Bad,
    Put,
    Trap,
    bad,
    encoded,
    file,
    folder_of,
    speckle,
    written,
)
from PIL import Image
from toy_run import Toy

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


def with_image(name: str, content: bytes) -> Put:
    def put(toy: Toy, work: Path) -> Path:
        written(work / "data/train/ID_1" / name, content)
        speckle().save(work / "data/train/ID_1/good.png")
        return work / "data"

    return put


IMAGES = [
    bad(f"image {name}", EXTRACT, said=f"train/ID_1/{image}: ", data_dir=with_image(image, content))
    for name, image, content in bad_images()
]


# Folders


def one_person(toy: Toy, work: Path) -> Path:
    written(work / "data/train/ID_1/0.png", encoded(speckle(), "PNG"))
    return work / "data"


def folder_case(name: str, change: Callable[[Path], Any], said: str = "") -> Bad:
    def put(toy: Toy, work: Path) -> Path:
        (work / "data/train").mkdir(parents=True)
        change(work / "data/train")
        return work / "data"

    return bad(f"folder {name}", EXTRACT, said=said, data_dir=put)


def loop(train_folder: Path) -> None:
    (train_folder / "ID_1").symlink_to(train_folder / "ID_2")
    (train_folder / "ID_2").symlink_to(train_folder / "ID_1")


def in_itself(train_folder: Path) -> None:
    (train_folder / "ID_1").symlink_to(train_folder)


def not_unicode(train_folder: Path) -> None:
    os.mkdir(os.fsencode(train_folder) + b"/ID_\xff1")
    with open(os.fsencode(train_folder) + b"/ID_\xff1/a.png", "wb") as file:
        file.write(encoded(speckle(), "PNG"))


# What else holds no image, the tests of its reader know.
FOLDERS = [
    folder_case("symlink loop", loop),
    folder_case("a person that is its parent", in_itself),
    folder_case("a name that is not Unicode", not_unicode),
    folder_case("an image that is a folder", lambda f: (f / "ID_1/a.png").mkdir(parents=True)),
    bad("evaluation of one person", JUDGE, said="expected two people", real=one_person),
]


# Recordings and tables


def recorded(toy: Toy, work: Path) -> Path:
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
            put = folder_of(file(f"iq/rec.{suffix}", content))
            yield bad(f"recording {name} as {suffix}", SPECTROGRAM, input=put)
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
        stream = io.BytesIO()
        numpy.save(stream, array)
        put = folder_of(file("iq/rec.npy", stream.getvalue()))
        yield bad(f"recording of {name}", SPECTROGRAM, input=put)


def tables() -> Iterator[Bad]:
    """samples.csv."""
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
        yield bad(f"samples.csv {name}", JUDGE, file("generated/samples.csv", content))
