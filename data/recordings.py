"""Measured recordings of complex I/Q from .npy, .mat and .h5 files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import scipy.io

from configs.errors import UserError
from data.labels import listing, natural_key

RECORDING_EXTENSIONS = (".npy", ".mat", ".h5", ".hdf5")


def list_recordings(source: str | os.PathLike) -> dict[Path, str]:
    """Recordings in a folder tree, naturally sorted, and the stem of their pictures' paths.

    ID_7/rec1.npy gives ID_7/rec1; what lies deeper keeps its folders in the name, ID_7/day2/rec1.npy gives
    ID_7/day2_rec1. A single file belongs to the person its folder names. FileNotFoundError: no such file or
    folder. UserError: no recording in it, or two with one stem.
    """
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder; expected recordings like ID_1/rec1.npy")
    paths = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    paths = sorted((path for path in paths if path.suffix.lower() in RECORDING_EXTENSIONS),
                   key=lambda path: natural_key(str(path)))
    if not paths:
        raise UserError(f"{source}: holds no recording; expected {listing(RECORDING_EXTENSIONS)}")
    stems: dict[str, Path] = {}
    for path in paths:
        top = source if source.is_dir() else source.absolute().parents[1]
        user, *rest = path.absolute().relative_to(top.absolute()).with_suffix("").parts
        stem = "/".join([user, "_".join(rest)] if rest else [user])
        if stem in stems:
            raise UserError(f"{path} and {stems[stem]} would write the same pictures; rename one")
        stems[stem] = path
    return {path: stem for stem, path in stems.items()}


def read_iq(path: str | os.PathLike, cells: int = 1, variable: str | None = None) -> numpy.ndarray:
    """I/Q of a recording as complex64 (rows, P), slow time last; the `cells` strongest rows at most.

    The file holds one range bin (P,) or a matrix (range, P), complex, or real with a last axis of 2 (I, Q);
    further leading axes (receive channels) count as more rows. `variable` names the array in a .mat or .h5
    that holds several. FileNotFoundError: no such file. UserError, one line: unreadable, no such array,
    several, not finite, only zeros, or more rows than samples (a transposed matrix).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such recording")
    array = _as_complex(_load(path, variable))
    iq = array.reshape(-1, array.shape[-1])
    if iq.shape[0] > iq.shape[1]:
        raise UserError(f"{path}: shape {array.shape} has more rows than samples; expected slow time as the "
                        "last axis: transpose it")
    if not numpy.isfinite(iq).all() or not iq.any():
        raise UserError(f"{path}: expected finite samples that are not all 0; record or export it again")
    power = (numpy.abs(iq) ** 2).mean(1)
    power -= numpy.abs(iq.mean(1)) ** 2  # a wall is strong but does not move
    return iq[numpy.sort(numpy.argsort(-power, kind="stable")[:cells])].astype(numpy.complex64)


def _load(path: Path, variable: str | None) -> numpy.ndarray:
    """The one array of a file that holds I/Q."""
    try:
        if path.suffix.lower() == ".npy":
            return _choose({path.stem: numpy.load(path, allow_pickle=False)}, None)
        if path.suffix.lower() == ".mat":
            try:
                return _choose(scipy.io.loadmat(path), variable)
            except NotImplementedError:  # version 7.3 is HDF5, with MATLAB's axes in reverse order
                return _load_hdf5(path, variable).T
        return _load_hdf5(path, variable)
    except _Refusal as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # the readers raise nearly anything on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason}); export it again") from error


class _Refusal(Exception):
    """What to tell the user about a file; the file's name comes before it."""


def _load_hdf5(path: Path, variable: str | None) -> numpy.ndarray:
    try:
        import h5py  # here, because only these files need it
    except ImportError as error:
        raise _Refusal("HDF5 and MATLAB 7.3 files need h5py: pip install h5py") from error
    arrays: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: arrays.update({name: item} if hasattr(item, "dtype") else {}))
        return _choose(arrays, variable, pair_axis=0 if path.suffix.lower() == ".mat" else -1)


def _choose(arrays: Mapping[str, Any], variable: str | None, pair_axis: int = -1) -> numpy.ndarray:
    """The array called `variable`, else the only one that can be I/Q; complex ones come before I, Q pairs."""
    arrays = {name: item for name, item in arrays.items() if hasattr(item, "dtype") and item.ndim > 0}
    if variable is not None and variable not in arrays:
        raise _Refusal(f"no variable {variable!r}; it holds {listing(arrays) or 'none'}")
    complexes = [name for name, item in arrays.items() if item.dtype.kind == "c" or _is_pair(item.dtype)]
    pairs = [name for name, item in arrays.items()
             if item.dtype.kind in "fiu" and item.ndim > 1 and item.shape[pair_axis] == 2]
    found = [name for name in complexes + pairs if variable in (None, name)]
    found = [name for name in found if name in complexes] or found
    if not found:
        seen = listing(f"{name} {item.dtype} {tuple(item.shape)}" for name, item in arrays.items())
        raise _Refusal(f"no complex array and none with a last axis of 2 (I, Q); found {seen or 'nothing'}")
    if len(found) > 1:
        raise _Refusal(f"several arrays may be the recording: {listing(found)}; choose with --variable")
    return numpy.asarray(arrays[found[0]][()])


def _is_pair(dtype: numpy.dtype) -> bool:
    """HDF5 knows no complex numbers: MATLAB and others store pairs called real and imag (or r and i)."""
    return dtype.names is not None and len(dtype.names) == 2


def _as_complex(array: numpy.ndarray) -> numpy.ndarray:
    if array.dtype.names:
        real, imaginary = array.dtype.names
        array = array[real] + 1j * array[imaginary]
    elif array.dtype.kind != "c":
        array = array[..., 0] + 1j * array[..., 1]
    if array.ndim == 2 and array.shape[1] == 1:  # MATLAB's column vector
        array = array.T
    return array
