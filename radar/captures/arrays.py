"""Files of named arrays: NumPy's .npy and .npz, MATLAB's .mat (v4 to v7.3) and HDF5."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import scipy.io

from configs.errors import UserError
from radar.captures.contract import Contents, Format, Hints

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def load_npy(path: Path, hints: Hints) -> Contents:
    """Memory-mapped, so that a cube larger than memory can be read by parts."""
    array = numpy.load(path, mmap_mode="r", allow_pickle=False)
    return Contents({path.stem: array})


def load_npz(path: Path, hints: Hints) -> Contents:
    with numpy.load(path, allow_pickle=False) as pack:
        return Contents(dict(pack))


def load_mat(path: Path, hints: Hints) -> Contents:
    variables = scipy.io.loadmat(path)
    arrays = dict(_flattened(variables))
    several = [name for name, array in variables.items() if _is_several(array)]
    if several and all(array.size < 2 for array in arrays.values()):
        raise UserError(
            f"{', '.join(several)}: a cell or struct array of {variables[several[0]].size}: which of them is "
            "the recording? save each in a file of its own"
        )
    return Contents(arrays)


def _is_several(array: Any) -> bool:
    """Whether it is MATLAB's cell or struct array of more than one element."""
    is_array = isinstance(array, numpy.ndarray) and array.size > 1
    return bool(is_array and (array.dtype.names or array.dtype.kind == "O"))


def _flattened(variables: dict[str, Any], above: str = "") -> Iterator[tuple[str, numpy.ndarray]]:
    """Numeric arrays with the path of their names; a struct's fields become rec.fs, rec.iq, a
    cell its content.
    """
    for name, array in variables.items():
        if name.startswith("__") or not isinstance(array, numpy.ndarray):
            continue
        if array.dtype.kind == "O" and array.size == 1:  # a cell
            yield from _flattened({name: array.item()}, above)
        elif array.dtype.names and array.size == 1:
            fields = {field: array[field].item() for field in array.dtype.names}
            yield from _flattened(fields, f"{above}{name}.")
        elif array.dtype.kind in "fiuc":
            yield above + name, array


def load_hdf5(path: Path, hints: Hints) -> Contents:
    """Data sets, and attributes as rec/iq.fs. MATLAB's axes lie in reverse order in the file."""
    try:
        import h5py  # here, because only these files need it
    except ImportError as error:
        raise UserError("HDF5 and MATLAB 7.3 files need h5py: pip install h5py") from error
    arrays: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        matlab = file.userblock_size >= 128

        def take(name: str, item: Any) -> None:
            inner = name.startswith("#")  # MATLAB's own references
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiucV" and not inner:
                arrays[name] = item[()].T if matlab else item[()]
            for key, value in {} if inner else item.attrs.items():
                if isinstance(value, (numpy.ndarray, numpy.generic)) and value.dtype.kind in "fiuc":
                    arrays[f"{name}.{key}"] = numpy.asarray(value)

        take("", file)
        file.visititems(take)
    return Contents({name.lstrip("."): numpy.asarray(array) for name, array in arrays.items()})


def _is_npz(path: Path, head: bytes) -> bool:
    if not head.startswith(b"PK") or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as pack:
        return any(name.endswith(".npy") for name in pack.namelist())


def _is_mat(path: Path, head: bytes) -> bool:
    """Version 5 has a text header, version 4 a type and counts that scipy checks."""
    if head[:6] == b"MATLAB":
        return not _is_hdf5(path, head)
    try:
        return head[:4] in (b"\0\0\0\0", b"\x0a\0\0\0", b"\xe8\3\0\0") and bool(scipy.io.whosmat(path))
    except Exception:  # scipy raises nearly anything on other bytes
        return False


def _is_hdf5(path: Path, head: bytes) -> bool:
    return HDF5_MAGIC in (head[start : start + 8] for start in (0, 512, 1024, 2048)) or (
        head[:10] == b"MATLAB 7.3"
    )


FORMATS = (
    Format(".npy", (".npy",), lambda path, head: head.startswith(b"\x93NUMPY"), load_npy),
    Format(".npz", (".npz",), _is_npz, load_npz),
    Format("HDF5 or MATLAB 7.3", (".mat", ".h5", ".hdf5"), _is_hdf5, load_hdf5),
    Format("MATLAB", (".mat",), _is_mat, load_mat),
)
