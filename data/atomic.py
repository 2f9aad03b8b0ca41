"""Writing a file so that a killed run never leaves half of one under its real name, and reading it again."""

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.json_text import parse_json

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the user's share of it, the largest file


def temporary_name(path: Path) -> Path:
    """Where `replacing(path)` lets its caller write, for further processes that write to the same file."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a hidden temporary name in the folder of `path`; on success it becomes `path`, on an error it is
    removed.

    The temporary name is fixed, so what a killed run left behind is overwritten by the next run.
    """
    path = Path(path)
    temporary = temporary_name(path)
    temporary.unlink(missing_ok=True)  # it may be a link to something that is still wanted
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        said = f"{error.strerror}; free some space and run the same command again"
        raise OSError(error.errno, said, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def share_file(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Give `source` a second name, without a second copy on disk where the file system can; atomic."""
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, temporary)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 with unchanged line ends, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def write_text_if_new(path: str | os.PathLike, text: str) -> None:
    """`write_text`, unless the file holds just this text: its time then stays what it was."""
    path = Path(path)
    if not (path.is_file() and path.read_bytes() == text.encode()):
        write_text(path, text)


def read_object(
    path: str | os.PathLike, way_out: str, names: Collection[str] = (), values: type = object
) -> dict[str, Any]:
    """The JSON object that this project wrote; UserError, ending in `way_out`: the file holds none, or one
    that lacks one of `names` or has other `values`.
    """
    refusal = UserError(f"{path}: damaged; {way_out}")
    try:
        content = dict(parse_json(Path(path).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise refusal from error
    if not content.keys() >= {*names} or not all(isinstance(value, values) for value in content.values()):
        raise refusal
    return content
