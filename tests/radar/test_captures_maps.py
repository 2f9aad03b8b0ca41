"""Ready matrices of velocity and time come in with their axes; what is not stated is asked for."""

import numpy
import pytest
import scipy.io
from PIL import Image

from configs.errors import UserError
from radar.captures import Hints, read

POWER_DB = numpy.random.default_rng(0).uniform(60, 100, (24, 40))
VELOCITY, TIME = numpy.linspace(-1.15, 1.15, 24), (numpy.arange(40) + 0.5) / 20
LAYOUT = ("velocities", "times")
SCALES = {"db": POWER_DB, "power": 10 ** (POWER_DB / 10), "amplitude": 10 ** (POWER_DB / 20)}


@pytest.mark.parametrize("scale", SCALES)
def test_a_matrix_by_its_axes(scale, tmp_path):
    axes = {"layout": LAYOUT, "velocity_mps": (-1.2, 1.2), "duration_s": 2.0, "scale": scale}
    scipy.io.savemat(tmp_path / "a.mat", {"tfmap": SCALES[scale]})
    numpy.savez(tmp_path / "b.npz", values=SCALES[scale].T[:, ::-1], velocity_mps=VELOCITY[::-1], time_s=TIME)
    for name, hints in (("a.mat", axes), ("b.npz", {"layout": LAYOUT[::-1], "scale": scale})):
        shown = read(tmp_path / name, Hints(**hints))
        assert numpy.allclose(shown.power_db, POWER_DB, atol=1e-4)
        assert numpy.allclose(shown.velocity_mps, VELOCITY) and numpy.allclose(shown.time_s, TIME)


def test_velocities_of_the_wrong_sign_are_swapped(tmp_path):
    numpy.savez(tmp_path / "a.npz", values=POWER_DB, velocity_mps=VELOCITY, time_s=TIME)
    swapped = read(tmp_path / "a.npz", Hints(layout=LAYOUT, scale="db", conjugate=True))
    assert numpy.allclose(swapped.power_db, POWER_DB[::-1]) and numpy.allclose(swapped.velocity_mps, VELOCITY)


@pytest.mark.parametrize(
    ("hints", "said"),
    [
        ({}, "which axis is what?"),
        ({"layout": LAYOUT}, "give --velocity_range .*, --duration in s, --scale db"),
        ({"layout": LAYOUT, "velocity_mps": (-1, 1)}, "give --duration in s"),
        ({"layout": LAYOUT, "velocity_mps": (-1, 1), "duration_s": 2.0}, "give --scale db, power or"),
        (
            {"layout": LAYOUT, "velocity_mps": (-1, 1), "duration_s": 2.0, "scale": "power"},
            "expected --scale db",
        ),
        ({"layout": ("velocities", "pulses")}, "a ready matrix has velocities and times"),
    ],
)
def test_what_a_matrix_does_not_say(hints, said, tmp_path):
    numpy.save(tmp_path / "a.npy", POWER_DB - 70)
    with pytest.raises(UserError, match=said):
        read(tmp_path / "a.npy", Hints(**hints))


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, 0.0])
def test_values_without_power_or_number_are_refused(value, tmp_path):
    """But some 0 among others are as dark as the darkest of these."""
    hints = Hints(layout=LAYOUT, velocity_mps=(-1.2, 1.2), duration_s=2.0, scale="power")
    power = SCALES["power"].copy()
    power[3:5] = 0.0
    numpy.save(tmp_path / "a.npy", power)
    dark = read(tmp_path / "a.npy", hints).power_db[3:5]
    assert dark == pytest.approx(numpy.delete(POWER_DB, (3, 4), 0).min(), rel=1e-6)
    power[0 if value else ...] = value
    numpy.save(tmp_path / "a.npy", power)
    with pytest.raises(UserError, match="a.npy: expected finite values"):
        read(tmp_path / "a.npy", hints)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_grey_image_is_power_in_db_upwards(bits, tmp_path):
    white = 2**bits - 1
    grey = numpy.rint((POWER_DB - 60) / 40 * white)[::-1].astype("u1" if bits == 8 else "u2")
    Image.fromarray(grey).save(tmp_path / "a.png")
    numpy.save(tmp_path / "a.npy", grey[::-1])
    axes = {"velocity_mps": (-1.2, 1.2), "duration_s": 2.0, "db_range": (60.0, 100.0), "white": white}
    for name, layout in (("a.png", ()), ("a.npy", LAYOUT)):
        shown = read(tmp_path / name, Hints(**axes, layout=layout))
        assert numpy.allclose(shown.power_db, POWER_DB, atol=20 / white + 1e-4)
        assert numpy.allclose(shown.velocity_mps, VELOCITY) and numpy.allclose(shown.time_s, TIME)


@pytest.mark.parametrize(
    ("values", "hints", "said"),
    [
        ("colours", {}, "an image in colours, expected grey in dB.*split takes them as they are"),
        ("floats", {}, "whole numbers; values are float64"),
        ("grey", {"scale": "power"}, "values are uint8, --scale is power"),
    ],
)
def test_what_has_no_range_in_db(values, hints, said, tmp_path):
    axes = {"velocity_mps": (-1.2, 1.2), "duration_s": 2.0, "db_range": (60.0, 100.0)}
    path = tmp_path / ("a.npy" if values == "floats" else "a.png")
    if values == "floats":
        numpy.save(path, POWER_DB)
    else:
        Image.new("RGB" if values == "colours" else "L", (40, 24), "red" if values == "colours" else 9).save(
            path
        )
    with pytest.raises(UserError, match=said):
        read(path, Hints(**axes, **hints, layout=LAYOUT if values == "floats" else ()))
