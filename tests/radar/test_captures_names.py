"""I and Q by unusual names, vectors beside arrays, MATLAB's cells, numbers as other countries write them."""

import numpy
import pytest
import scipy.io

from configs.errors import UserError
from radar.captures import Facts, Hints, NoCapture, check_period, read

PRF, CARRIER = 2000.0, 24e9
TOLD = Facts(CARRIER, PRF)
DRAWN = numpy.random.default_rng(0).normal(size=(2, 1000)).astype(numpy.float32)
I, Q = DRAWN.astype(numpy.float64)  # noqa: E741
ONE = (I + 1j * Q).astype(numpy.complex64)


def taken(path, facts=TOLD, **hints):
    return read(path, Hints(facts, balance=False, **hints))


def refusal(path, facts=TOLD, **hints):
    with pytest.raises(UserError) as error:
        taken(path, facts, **hints)
    assert "\n" not in str(error.value)
    return str(error.value)


def record(**parts):
    array = numpy.empty(len(ONE), [(name, "f8") for name in parts])
    for name, part in parts.items():
        array[name] = part
    return array


def test_i_and_q_are_chosen_by_two_names(tmp_path):
    pack = tmp_path / "rec.npz"
    numpy.savez(pack, ch1=I, ch2=Q, t=numpy.arange(len(ONE)) / PRF)
    assert "several arrays may be the recording: ch1, ch2; choose with --variable, or" in refusal(pack)
    assert (taken(pack, variable="ch1,ch2").looks == ONE).all()
    assert (taken(pack, variable="ch2, ch1").looks == Q + 1j * I).all()
    assert "no real variable 'ch3'; it holds ch1" in refusal(pack, variable="ch1,ch3")
    numpy.save(tmp_path / "rec.npy", record(x=I, y=Q))
    assert "--variable a,b takes a as I, b as Q" in refusal(tmp_path / "rec.npy")
    assert (taken(tmp_path / "rec.npy", variable="x,y").looks == ONE).all()


def test_a_layout_of_pulses_and_iq_is_for_arrays_that_need_it(tmp_path):
    for name, array in (("pair", numpy.stack([I, Q])), ("vector", ONE), ("record", record(i=I, q=Q))):
        numpy.save(tmp_path / f"{name}.npy", array)
        assert (taken(tmp_path / f"{name}.npy", layout=("iq", "pulses")).looks == ONE).all(), name
    notes = taken(tmp_path / "vector.npy", layout=("iq", "pulses")).notes
    assert notes == ("a vector of I/Q, for which --layout iq,pulses is not needed",)
    assert "names 2 axes" in refusal(tmp_path / "vector.npy", layout=("pulses", "ranges"))  # may be flattened


def test_cells_and_structs_of_matlab(tmp_path):
    cell = numpy.empty(1, object)
    cell[0] = ONE
    scipy.io.savemat(tmp_path / "one.mat", {"c": cell})
    assert (taken(tmp_path / "one.mat").looks == ONE).all()
    cells, structs = numpy.empty(2, object), numpy.zeros(3, [("iq", object), ("fs", object)])
    cells[:] = [ONE[:500], ONE[:400]]
    for path, array, count in ((tmp_path / "c.mat", cells, 2), (tmp_path / "s.mat", structs, 3)):
        scipy.io.savemat(path, {"recs": array})
        assert f"recs: a cell or struct array of {count}: which of them is the" in refusal(path)


@pytest.mark.parametrize("divider", [";", "\t"])
def test_decimal_commas(divider, tmp_path):
    path = tmp_path / "rec.csv"
    rows = [f"{a!r}{divider}{b!r}".replace(".", ",") for a, b in zip(I.tolist(), Q.tolist())]
    path.write_text("\n".join([f"I{divider}Q", *rows]))
    assert (taken(path).looks == ONE).all()


def test_a_few_numbers_of_any_shape_are_no_recording_and_an_empty_file_is_a_damaged_one(tmp_path):
    numpy.save(tmp_path / "background.npy", numpy.ones((4, 16)))
    with pytest.raises(NoCapture, match="background holds 64 numbers"):
        taken(tmp_path / "background.npy")
    (tmp_path / "rec.npy").write_bytes(b"")
    with pytest.raises(UserError, match="rec.npy: empty .0 bytes") as error:
        taken(tmp_path / "rec.npy")
    assert not isinstance(error.value, NoCapture)


@pytest.mark.parametrize(("period", "meant"), [(200.0, "0.2"), (2e5, "0.2"), (60.0, "0.06")])
def test_a_period_in_milliseconds_is_refused_with_the_one_in_seconds(period, meant, tmp_path):
    numpy.save(tmp_path / "rec.npy", ONE.reshape(10, 100))
    said = refusal(
        tmp_path / "rec.npy", Facts(CARRIER, PRF, burst_period_s=period), layout=("bursts", "pulses")
    )
    assert f"give --burst_period {meant} if that was meant" in said
    assert check_period(0.2) == 0.2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"duration_s": 2000.0}, "times are 50 s apart.*give --duration in s .1.95 if these are ms"),
        ({"velocity_mps": (-120.0, 120.0)}, "velocities up to 115.* m/s; expected up to 50"),
    ],
)
def test_a_ready_matrix_in_other_units(changes, said, tmp_path):
    numpy.save(tmp_path / "a.npy", numpy.random.default_rng(0).uniform(60, 100, (24, 40)))
    hints = {"velocity_mps": (-1.2, 1.2), "duration_s": 2.0, "scale": "db", **changes}
    with pytest.raises(UserError, match=said):
        read(tmp_path / "a.npy", Hints(layout=("velocities", "times"), **hints))
