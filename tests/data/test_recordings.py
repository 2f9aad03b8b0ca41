"""Reading measured I/Q: every way of storing it gives the same samples; what cannot be meant is refused."""

import sys

import numpy
import pytest
import scipy.io

from data.recordings import list_recordings, read_iq
from radar.spectrogram import Radar, iq_signal, remove_clutter, spectrogram, to_picture, to_unit, windows

RANDOM = numpy.random.default_rng(0)
BIN = (RANDOM.standard_normal((300, 2)) @ numpy.array([1, 1j])).astype(numpy.complex64)
MATRIX = BIN[:120].reshape(3, 40)
FORMS = {"a range bin": BIN, "a matrix": MATRIX, "pairs": numpy.stack([BIN.real, BIN.imag], -1),
         "a matrix of pairs": numpy.stack([MATRIX.real, MATRIX.imag], -1)}


def expected(array):
    return MATRIX if array.shape[0] == 3 else BIN[None]


def refusal(*arguments, **settings):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_iq(*arguments, **settings)
    assert "\n" not in str(error.value) and str(arguments[0]) in str(error.value)
    return str(error.value)


def save_hdf5(path, userblock=0, **arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=userblock) as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


def save_matlab_73(path, **arrays):
    """As MATLAB writes version 7.3: HDF5 after a text header, axes reversed, complex as (real, imag)."""
    def stored(array):
        if numpy.iscomplexobj(array):
            pair = numpy.empty(array.shape, [("real", "f8"), ("imag", "f8")])
            pair["real"], pair["imag"] = array.real, array.imag
            array = pair
        return array.T

    arrays = {name: stored(numpy.atleast_2d(array)) for name, array in arrays.items()}
    save_hdf5(path, userblock=512, **arrays)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_numpy_files(form, tmp_path):
    numpy.save(tmp_path / "rec.npy", FORMS[form])
    iq = read_iq(tmp_path / "rec.npy", cells=8)
    assert iq.dtype == numpy.complex64 and (iq == expected(FORMS[form])).all()


@pytest.mark.parametrize("form", FORMS)
def test_matlab_files(form, tmp_path):
    scipy.io.savemat(tmp_path / "rec.mat", {"iq": FORMS[form], "prf": 3287.6, "note": "walk"})
    assert (read_iq(tmp_path / "rec.mat", cells=8) == expected(FORMS[form])).all()
    scipy.io.savemat(tmp_path / "column.mat", {"iq": BIN[:, None]})
    assert (read_iq(tmp_path / "column.mat") == BIN).all()


@pytest.mark.parametrize("form", FORMS)
def test_matlab_73_files(form, tmp_path):
    path = save_matlab_73(tmp_path / "rec.mat", iq=FORMS[form], prf=numpy.array(3287.6))
    assert (read_iq(path, cells=8) == expected(FORMS[form])).all()


@pytest.mark.parametrize("form", FORMS)
def test_hdf5_files(form, tmp_path):
    path = save_hdf5(tmp_path / "rec.h5", radar__iq=FORMS[form], prf=3287.6)
    assert (read_iq(path, cells=8) == expected(FORMS[form])).all()


def test_hdf5_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # import then fails
    (tmp_path / "rec.h5").write_bytes(b"\x89HDF")
    assert "pip install h5py" in refusal(tmp_path / "rec.h5")
    (tmp_path / "rec.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))
    assert "pip install h5py" in refusal(tmp_path / "rec.mat")


def test_the_strongest_moving_cells_are_taken_in_their_order(tmp_path):
    scale = numpy.array([1, 5, 0.1, 3, 2])[:, None]
    matrix = scale * (RANDOM.standard_normal((5, 400, 2)) @ numpy.array([1, 1j])) + 50 * (scale == 0.1)
    numpy.save(tmp_path / "rec.npy", matrix)  # the weakest cell holds a wall
    for cells, rows in ((1, [1]), (3, [1, 3, 4]), (9, range(5))):
        assert (read_iq(tmp_path / "rec.npy", cells) == matrix[list(rows)].astype(numpy.complex64)).all()


def test_several_arrays_need_a_name(tmp_path):
    path = tmp_path / "rec.mat"
    scipy.io.savemat(path, {"left": BIN, "right": 2 * BIN, "limits": numpy.array([[0.0, 1.0]])})
    assert "left, right; choose with --variable" in refusal(path)
    assert (read_iq(path, variable="right") == 2 * BIN).all()
    assert "no variable 'middle'; it holds left, right" in refusal(path, variable="middle")
    scipy.io.savemat(path, {"iq": BIN, "limits": numpy.array([[0.0, 1.0]])})
    assert (read_iq(path) == BIN).all()  # a complex array comes before a pair of numbers


def test_what_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "rec.npy"
    assert "no such recording" in refusal(path)
    for array, words in ((numpy.ones(9), "no complex array and none with a last axis of 2"),
                         (MATRIX.T, "more rows than samples"), (numpy.zeros(9, complex), "not all 0"),
                         (numpy.array([1j, numpy.nan]), "finite"), (numpy.array(1j), "no complex array")):
        numpy.save(path, array)
        assert words in refusal(path)
    numpy.save(path, numpy.array([{}]), allow_pickle=True)
    assert "cannot be read" in refusal(path)
    for name in ("cut.npy", "cut.mat"):
        (tmp_path / name).write_bytes(b"no such format")
        assert "cannot be read" in refusal(tmp_path / name)


def test_recordings_of_a_tree_are_named_after_it(tmp_path):
    for name in ("ID_10/rec1.npy", "ID_2/rec2.mat", "ID_2/day2/rec1.h5", "ID_2/note.txt", "loose.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {path.relative_to(tmp_path).as_posix(): stem for path, stem in list_recordings(tmp_path).items()}
    assert list(found.items()) == [("ID_2/day2/rec1.h5", "ID_2/day2_rec1"), ("ID_2/rec2.mat", "ID_2/rec2"),
                                   ("ID_10/rec1.npy", "ID_10/rec1"), ("loose.npy", "loose")]
    assert list(list_recordings(tmp_path / "ID_2/rec2.mat").values()) == ["ID_2/rec2"]
    (tmp_path / "ID_2/rec2.npy").touch()
    with pytest.raises(ValueError, match="would write the same pictures"):
        list_recordings(tmp_path)
    nowhere = ((tmp_path / "ID_2/note.txt", "holds no recording"), (tmp_path / "x", "no such file"))
    for place, words in nowhere:
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            list_recordings(place)


def test_a_saved_recording_gives_the_pictures_of_the_signal_itself(tmp_path):
    radar, time = Radar(), numpy.arange(601) / 200
    ranges = numpy.stack([20 - 1.2 * time, 20 - 1.2 * time - 0.2 * numpy.sin(6 * time)])
    iq = iq_signal(ranges, numpy.ones_like(ranges), 200.0, radar, numpy.random.default_rng(1))
    numpy.save(tmp_path / "rec.npy", iq)

    def pictures(signal):
        whole = spectrogram(remove_clutter(signal, radar.prf_hz), radar.carrier_hz, radar.prf_hz)
        return [numpy.asarray(to_picture(to_unit(window.power_db))) for window in windows(whole)]

    direct, measured = pictures(iq), pictures(read_iq(tmp_path / "rec.npy", cells=radar.looks))
    assert len(direct) == len(measured) == 2 and direct[0].std() > 10
    assert all((a == b).all() for a, b in zip(direct, measured))
