"""Sets of images without people, for figures that ask nobody's name: a folder of any layout, or an .npz."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy

from configs.errors import UserError
from data.grey_depth import with_white
from data.image_array import contents_of, read_images
from data.images import IMAGE_EXTENSIONS, ImageRecord, file_digest, inputs_digest, open_rgb
from data.tables import read_rows
from data.tree import account, sorted_out, tally
from evaluation.generated import UNLISTED
from evaluation.generated_tables import SAMPLES

UNREAD = "that cannot be decoded"


@dataclass
class ImageSource:
    """`count` images, which `images()` gives one by one as (H, W, 3) uint8; None: statistics alone.

    `digest` is what the content is known by. `left_out` are paths by reason, and gains those that cannot be
    decoded while they are read.
    """

    path: Path
    digest: str
    count: int | None
    images: Callable[[], Iterator[numpy.ndarray]]
    has_statistics: bool = False
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def account(self, read: int) -> str:
        """What was read of it and what not."""
        return f"{self.path}: {account(read, 'image', self.left_out)}"


def find_source(flag: str, name: str) -> ImageSource:
    """The images of an .npz, or of a folder and those below it; where samples.csv lies, only what it lists.

    FileNotFoundError: no such folder or file. UserError: no images there, a table that cannot be read or
    lists what is not there, errors of `data.image_array.contents_of`.
    """
    path = Path(name)
    if not path.is_dir():
        count, has_statistics = contents_of(path)
        return ImageSource(path, file_digest(path), count, lambda: read_images(path), has_statistics)
    paths, left_out = sorted_out(path, IMAGE_EXTENSIONS, ())
    listed = listed_files(path)
    if listed:
        absent = sorted(listed - set(paths))
        if absent:
            raise UserError(f"{path / SAMPLES}: lists {absent[0]}, which is not there; run stage 3 again")
        beside = [one for one in paths if one not in listed]
        left_out |= {UNLISTED: beside} if beside else {}
        paths = [one for one in paths if one in listed]
    if not paths:
        raise UserError(f"{flag} {path}: holds no image, found {tally(left_out) or 'nothing'}")
    records = with_white([ImageRecord(path / one, one, "") for one in paths])
    return ImageSource(
        path, inputs_digest(records), len(records), lambda: decoded(records, left_out), left_out=left_out
    )


def listed_files(folder: Path) -> set[str]:
    """Files that samples.csv of stage 3 lists; none where there is no such table."""
    path = folder / SAMPLES
    rows = read_rows(path, "a table of stage 3", "run stage 3 again", "file") if path.is_file() else []
    return {row["file"] for row in rows}


def decoded(records: list[ImageRecord], left_out: dict[str, list[str]]) -> Iterator[numpy.ndarray]:
    """Images (H, W, 3) uint8 of the records that can be decoded; the others go to `left_out`."""
    unread = []
    for record in records:
        try:
            yield numpy.asarray(open_rgb(record))
        except UserError:
            unread.append(record.relative)
    if unread:
        left_out[UNREAD] = unread
