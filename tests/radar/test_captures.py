"""Captures: every way of storing one signal gives the same samples; what cannot be meant is refused."""

import sys

import numpy
import pytest
import scipy.io
from scipy.io import wavfile

from configs.errors import UserError
from radar.captures import Facts, Hints, NoCapture, companions, read

RANDOM = numpy.random.default_rng(0)
PRF, CARRIER = 2000.0, 24e9
TOLD = Facts(carrier_hz=CARRIER, prf_hz=PRF)
IQ = (RANDOM.standard_normal((2, 1000, 2)) @ numpy.array([1, 1j])).astype(numpy.complex64)
ONE = IQ[0]


def taken(path, facts=TOLD, balance=False, **hints):
    return read(path, Hints(facts, balance=balance, **hints))


def refusal(path, facts=TOLD, **hints):
    with pytest.raises(UserError) as error:
        taken(path, facts, **hints)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def save(folder, form, **arrays):
    """The arrays as a file of this form; every name must come back."""
    path = folder / f"rec{form}"
    if form == ".npz":
        numpy.savez(path, **arrays)
    elif form == ".mat":
        scipy.io.savemat(path, arrays)
    elif form == "73.mat":
        save_matlab_73(path, **arrays)
    else:
        save_hdf5(path, **arrays)
    return path


def save_hdf5(path, userblock=0, **arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=userblock) as file:
        for name, array in arrays.items():
            file[name] = array
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


FORMS = (".npz", ".mat", "73.mat", ".h5")


@pytest.mark.parametrize("form", FORMS)
def test_one_signal_in_every_container(form, tmp_path):
    capture = taken(save(tmp_path, form, iq=ONE, fs=numpy.array(PRF), fc_GHz=numpy.array(24.0)), Facts())
    assert (capture.prf_hz, capture.carrier_hz, capture.receivers, capture.bursts) == (PRF, CARRIER, 1, 1)
    assert capture.iq.dtype == numpy.complex64 and (capture.looks == ONE).all()
    for names in (("I", "Q"), ("Q", "I"), ("sig_real", "sig_imag")):
        parts = {name: ONE.imag if name in ("Q", "sig_imag") else ONE.real for name in names}
        assert (taken(save(tmp_path, form, **parts)).looks == ONE).all()
    path = save(tmp_path, form, data=IQ.T)
    assert (taken(path, layout=("pulses", "receivers")).looks == IQ).all()
    assert "which axis is what?" in refusal(path)


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".bin", ""])
def test_content_decides_not_the_suffix(suffix, tmp_path):
    numpy.save(tmp_path / "rec.npy", ONE)
    (tmp_path / "rec.npy").rename(tmp_path / f"other{suffix}")
    assert (taken(tmp_path / f"other{suffix}").looks == ONE).all()


def test_records_go_by_their_names(tmp_path):
    path = tmp_path / "rec.npy"
    for names in (("i", "q"), ("q", "i"), ("imag", "real"), ("time", "Q", "I")):
        record = numpy.zeros(len(ONE), [(name, "f4") for name in names])
        for name in names:
            imaginary = name in ("q", "Q", "imag")
            record[name] = numpy.arange(len(ONE)) if name == "time" else ONE.imag if imaginary else ONE.real
        numpy.save(path, record)
        assert (taken(path).looks == ONE).all()
    numpy.save(path, numpy.zeros(9, [("time", "f4"), ("value", "f4")]))
    assert "nothing in it is I/Q by its name: rec (time, value) (9,)" in refusal(path)


@pytest.mark.parametrize("fields", [("fs", "iq"), ("I", "Q"), ("Q", "I", "fs")])
def test_a_struct_of_matlab(fields, tmp_path):
    values = {"fs": PRF, "iq": ONE[:, None], "I": ONE.real[:, None], "Q": ONE.imag[:, None]}
    scipy.io.savemat(tmp_path / "rec.mat", {"rec": {name: values[name] for name in fields}, "note": "walk"})
    assert (taken(tmp_path / "rec.mat").looks == ONE).all()


def test_parts_along_an_axis_need_its_name(tmp_path):
    path = tmp_path / "rec.npy"
    numpy.save(path, numpy.stack([ONE.real, ONE.imag]))
    assert "pulses,iq, iq,pulses (I first)" in refusal(path)
    assert (taken(path, layout=("iq", "pulses")).looks == ONE).all()
    assert (taken(path, layout=("iq", "pulses"), conjugate=True).looks == ONE.conj()).all()


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (("pulses",), "names 1 axes, the array has 2: (2, 1000)"),
        (("pulses", "pulse"), "named twice"),
        (("rows", "pulses"), "unknown axis 'rows'; expected some of frames"),
        (("receivers", "chirps*samples"), "give the lengths of all but one"),
        (("receivers", "chirps*samples=64"), "does not fit the axis of length 1000"),
        (("receivers", "ranges"), "no axis of slow time"),
    ],
)
def test_layouts_that_cannot_be(layout, said, tmp_path):
    numpy.save(tmp_path / "rec.npy", IQ)
    assert said in refusal(tmp_path / "rec.npy", layout=layout)


def test_several_arrays_need_a_name(tmp_path):
    path = tmp_path / "rec.mat"
    scipy.io.savemat(path, {"left": ONE, "right": 2 * ONE, "limits": numpy.array([[0.0, 1.0]])})
    assert "left, right; choose with --variable" in refusal(path)
    assert (taken(path, variable="right").looks == 2 * ONE).all()
    assert "no variable 'middle'; it holds left complex64 (1, 1000)" in refusal(path, variable="middle")


def table(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(*columns, divider=","):
    return [divider.join(f"{value:.9g}" for value in row) for row in zip(*columns)]


def test_tables_of_text(tmp_path):
    path, time = tmp_path / "rec.csv", numpy.arange(1000) / PRF
    known = ["# carrier = 24 GHz", "# fs: 2000 Hz"]
    forms = (
        [*known, "i,q", *rows(ONE.real, ONE.imag)],
        [*known, "Q;I", *rows(ONE.imag, ONE.real, divider=";")],
        [*known[:1], "time [ms],I [V],Q [V]", *rows(1e3 * time, ONE.real, ONE.imag)],
        [*known, *(f"{value.real:.9g}{value.imag:+.9g}i" for value in ONE)],
    )
    for lines in forms:
        capture = taken(table(path, lines), Facts())
        assert (capture.looks == ONE).all() and capture.carrier_hz == CARRIER
        assert capture.prf_hz == pytest.approx(PRF, rel=1e-6)
    assert "which axis is what?" in refusal(table(path, rows(time, ONE.real)))
    assert "row 3 of numbers has 1" in refusal(table(path, [*rows(*ONE[:2].view("2f4").T), "7"]))
    assert "holds no numbers" in refusal(table(path, ["nothing", "here"]))


def test_times_tell_of_bursts_and_gaps(tmp_path):
    path, time = tmp_path / "rec.csv", numpy.arange(1000) / PRF
    burst = time + numpy.arange(1000) // 100 * 0.1
    capture = taken(table(path, ["t,I,Q", *rows(burst, ONE.real, ONE.imag)]), Facts(carrier_hz=CARRIER))
    assert capture.iq.shape == (1, 1, 10, 100) and capture.burst_period_s == pytest.approx(0.15, rel=1e-6)
    gap = time + 0.1 * (time > 0.2)
    assert "time jumps by 0.1" in refusal(table(path, ["t,I,Q", *rows(gap, ONE.real, ONE.imag)]))
    assert "do not ascend" in refusal(table(path, ["t,I,Q", *rows(-time, ONE.real, ONE.imag)]))


@pytest.mark.parametrize("names", [("a_RE", "a_IM"), ("a_i", "a_q"), ("I", "Q"), ("b-real", "b-imag")])
def test_a_file_each_for_both_parts(names, tmp_path):
    real, imaginary = (tmp_path / f"{name}.txt" for name in names)
    table(real, rows(ONE.real))
    assert f"expected {imaginary.name} beside it" in refusal(real) and not companions(real)
    table(imaginary, rows(ONE.imag))
    assert (taken(real).looks == ONE).all() and (taken(imaginary).looks == ONE).all()
    assert companions(real) == (imaginary,) and not companions(imaginary)
    assert not companions(tmp_path / "gone_RE.txt") and not companions(tmp_path)  # reading tells why
    table(imaginary, rows(ONE.imag[:-1]))
    assert f"1000 samples here, 999 in {imaginary.name}" in refusal(real)


def blocks(parts=2):
    lines = []
    for burst in ONE.reshape(10, 5, 20):
        for name, part in (("I", burst.real), ("Q", burst.imag))[:parts]:
            lines += [f"  ------------- {name} raw samples ------------- ", *rows(*part.T, divider=" "), ""]
    return lines


def test_blocks_of_raw_samples(tmp_path):
    path = table(tmp_path / "rec.txt", blocks())
    capture = taken(path, Facts(CARRIER, PRF, burst_period_s=0.2))
    assert (capture.looks == ONE.reshape(10, 100)).all() and capture.burst_period_s == 0.2
    assert "--burst_period in s (0.05 when they follow without a pause)" in refusal(path)
    assert (taken(path, Facts(CARRIER, PRF, burst_period_s=0.05)).looks == ONE).all()
    assert "expected as much or more" in refusal(path, Facts(CARRIER, PRF, burst_period_s=0.01))
    for lines in (blocks(1), blocks()[:-4]):
        assert "the file is cut short" in refusal(table(path, lines))


def test_sound_files(tmp_path):
    path, pcm = tmp_path / "rec.wav", (1000 * numpy.stack([ONE.real, ONE.imag], -1)).astype("<i2")
    wavfile.write(path, int(PRF), pcm)
    capture = taken(path, Facts(carrier_hz=CARRIER))
    assert (capture.looks == pcm[:, 0] + 1j * pcm[:, 1]).all() and capture.prf_hz == PRF
    wavfile.write(path, int(PRF), pcm[:, 0])
    assert "one real channel" in refusal(path)
    folded = taken(path, folded=True)
    assert folded.folded and (folded.looks == pcm[:, 0]).all()
    wavfile.write(path, int(PRF), pcm[:, [0, 1, 0]])
    assert "3 channels; expected two (I, Q) or one" in refusal(path)


def test_joined_bursts_are_found_and_their_length_named(tmp_path):
    path, time = tmp_path / "rec.npy", numpy.arange(64) / 3000
    phases = RANDOM.uniform(0, 2 * numpy.pi, (15, 1))
    bursts = numpy.exp(1j * (2 * numpy.pi * 100 * time + phases)) + 0.02 * RANDOM.standard_normal((15, 64))
    numpy.save(path, bursts.ravel())
    assert "jumps after every 64 samples" in refusal(path, Facts(CARRIER, 3000.0))
    facts = Facts(CARRIER, 3000.0, burst_samples=64, burst_period_s=0.2)
    assert (taken(path, facts).looks == bursts.astype(numpy.complex64)).all()
    numpy.save(path, bursts.ravel()[:-9])
    assert "951 pulses are not whole bursts of 64" in refusal(path, facts)
    assert "needs --burst_samples" in refusal(path, Facts(CARRIER, 3000.0, burst_period_s=0.2))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (Facts(), "give --carrier, 3e+08 to 3e+11 Hz"),
        (Facts(CARRIER), "give --prf, 20 to 1e+06 Hz"),
        (Facts(24.0, PRF), "--carrier 24: expected 3e+08 to 3e+11 Hz; give --carrier 24000000000 if"),
        (Facts(77e6, PRF), "give --carrier 77000000000 if"),
        (Facts(CARRIER, 2.0), "give --prf 2000 if"),
        (Facts(1e15, PRF), "expected 3e+08 to 3e+11 Hz"),
        (Facts(CARRIER, 1e9), "expected 20 to 1e+06 Hz"),
    ],
)
def test_numbers_outside_physics(facts, said, tmp_path):
    numpy.save(tmp_path / "rec.npy", ONE)
    assert said in refusal(tmp_path / "rec.npy", facts)


def test_a_files_own_numbers_are_checked_and_contradictions_told(tmp_path):
    scipy.io.savemat(tmp_path / "rec.mat", {"iq": ONE, "fc": 24.0, "prf": PRF})
    assert "--carrier of the file 24: expected" in refusal(tmp_path / "rec.mat", Facts())
    capture = taken(tmp_path / "rec.mat", Facts(CARRIER, 1500.0))
    assert capture.prf_hz == 1500 and "prf_hz 1500 was asked for, the file states 2000" in capture.notes


def test_what_is_no_recording(tmp_path):
    path = tmp_path / "rec.npy"
    with pytest.raises(FileNotFoundError):
        taken(path)
    for array in (ONE[:64], numpy.array("note"), numpy.ones(1)):
        numpy.save(path, array)
        with pytest.raises(NoCapture):
            taken(path)
    numpy.save(path, ONE[:400])
    assert "last 0.2 s" in refusal(path)
    path.write_bytes(b"\x00\x01\xff\xfe" * 99)
    assert "no known format" in refusal(path)
    beyond = [ONE.astype(complex) * factor for factor in (1e300, 1e-300, 0.0)]
    for array in (numpy.where(numpy.arange(1000) == 7, numpy.nan, ONE), *beyond):
        numpy.save(path, array)
        assert "finite samples that are not all 0" in refusal(path)
    numpy.save(path, numpy.array([{}]), allow_pickle=True)
    assert "cannot be read as .npy" in refusal(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_file_is_named(form, tmp_path):
    path = save(tmp_path, form, iq=ONE)
    path.write_bytes(path.read_bytes()[:-600])
    assert refusal(path)


def test_hdf5_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # import then fails
    (tmp_path / "rec.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "pip install h5py" in refusal(tmp_path / "rec.h5")


def walk(seconds=3.0):
    """A walker's echo that turns through all phases, on a direct current."""
    time = numpy.arange(round(seconds * PRF)) / PRF
    speed = 1.2 + 0.4 * numpy.sin(11 * time)
    echo = numpy.exp(1j * 2 * numpy.pi * numpy.cumsum(2 * CARRIER / 3e8 * speed) / PRF)
    return echo * (1 + time) + 7 - 5j + 0.01 * (RANDOM.standard_normal((time.size, 2)) @ numpy.array([1, 1j]))


def mirror_db(iq):
    """The strongest line of each 0.1 s relative to the one at the opposite velocity, mean power."""
    spectrum = numpy.abs(numpy.fft.fft(iq.reshape(-1, 200) * numpy.blackman(200))) ** 2
    spectrum[:, [0, 1, 2, -1, -2]] = 0  # the direct current
    rows, best = numpy.arange(len(spectrum)), spectrum.argmax(1)
    return 10 * numpy.log10(spectrum[rows, best].sum() / spectrum[rows, -best].sum())


@pytest.mark.parametrize("bursts", [1, 30])
def test_imbalance_is_found_told_and_removed(bursts, tmp_path):
    clean = walk()
    turned = clean.real + 1j * 1.2 * (clean.imag * numpy.cos(0.35) + clean.real * numpy.sin(0.35))
    facts = TOLD if bursts == 1 else Facts(CARRIER, PRF, len(clean) // bursts, 0.2)
    numpy.save(tmp_path / "rec.npy", turned)
    before = taken(tmp_path / "rec.npy", facts)
    after = taken(tmp_path / "rec.npy", facts, balance=True)
    assert mirror_db(before.looks) < 15 and mirror_db(after.looks) > 35
    assert not before.notes and "I and Q: gain 1.2" in after.notes[0] and "--no-balance" in after.notes[0]
    numpy.save(tmp_path / "rec.npy", clean)
    assert not taken(tmp_path / "rec.npy", facts, balance=True).notes


def test_saturation_is_told(tmp_path):
    clean = walk() - 7 + 5j
    numpy.save(tmp_path / "rec.npy", 300 * clean)
    assert not taken(tmp_path / "rec.npy").notes
    counts = numpy.rint(300 * clean.real), numpy.rint(300 * clean.imag).clip(-600, 600)
    numpy.save(tmp_path / "rec.npy", counts[0] + 1j * counts[1])
    ends = numpy.mean(numpy.abs(counts[1]) == 600)
    (said,) = taken(tmp_path / "rec.npy").notes
    assert f"saturated: {100 * ends:.2g} % of the samples" in said and "-3 times" in said
