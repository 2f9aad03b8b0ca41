"""Recordings of a folder tree, and the images that a saved recording gives."""

import numpy
import pytest
from PIL import Image

from configs.errors import UserError
from data.folders import Rules
from preparation.recordings import find_recordings, stem
from radar.captures import Facts, Hints, read
from radar.echoes import Radar, iq_signal
from radar.spectrogram import remove_clutter, spectrogram, to_image, to_unit, windows


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def stems(*arguments):
    return [stem(record) for record in find_recordings(*arguments).records]


def test_recordings_of_a_tree_are_named_after_it(tmp_path):
    touched(
        tmp_path,
        "ID_10/rec1.npy",
        "ID_2/rec2.mat",
        "ID_2/day2/rec1.h5",
        "ID_2/note.md",
        "loose.npy",
        "ID_2/._rec2.mat",
        "__MACOSX/ID_2/rec2.mat",
    )
    assert stems(tmp_path) == ["ID_2/day2_rec1", "ID_2/rec2", "ID_10/rec1"]
    left_out = find_recordings(tmp_path).left_out
    assert left_out == {
        "hidden or of the system": ["__MACOSX/ID_2/rec2.mat", "ID_2/._rec2.mat"],
        ".md": ["ID_2/note.md"],
        "in no person's folder": ["loose.npy"],
    }
    assert stems(tmp_path / "ID_2/rec2.mat") == ["ID_2/rec2"]
    assert stems(tmp_path / "ID_2/rec2.mat", Rules(name="rec(?P<person>.)")) == ["2/ID_2_rec2"]
    touched(tmp_path, "ID_2/rec2.npy")
    with pytest.raises(UserError, match="would write the same images.*--leave_out"):
        find_recordings(tmp_path)
    assert len(stems(tmp_path, Rules(leave_out=["*.npy"]))) == 2  # of ID_10 nothing is left, as told
    nowhere = ((tmp_path / "ID_2/note.md", "holds no recording"), (tmp_path / "x", "no such file"))
    for place, words in nowhere:
        with pytest.raises((UserError, FileNotFoundError), match=words):
            find_recordings(place)


def test_a_saved_recording_gives_the_pictures_of_the_signal_itself(tmp_path):
    radar, time = Radar(), numpy.arange(601) / 200
    ranges = numpy.stack([20 - 1.2 * time, 20 - 1.2 * time - 0.2 * numpy.sin(6 * time)])
    iq = iq_signal(ranges, numpy.ones_like(ranges), 200.0, radar, numpy.random.default_rng(1))
    numpy.save(tmp_path / "rec.npy", iq)

    def pictures(signal):
        whole = spectrogram(remove_clutter(signal, radar.prf_hz), radar.carrier_hz, radar.prf_hz)
        return [numpy.asarray(to_image(to_unit(window.power_db))) for window in windows(whole)]

    hints = Hints(Facts(radar.carrier_hz, radar.prf_hz), layout=("receivers", "pulses"), balance=False)
    direct, measured = pictures(iq), pictures(read(tmp_path / "rec.npy", hints).looks)
    assert len(direct) == len(measured) == 2 and direct[0].std() > 10
    assert all((a == b).all() for a, b in zip(direct, measured))


def test_images_are_recordings_where_they_are_asked_for(tmp_path):
    for name, largest in (("a.png", 4000), ("b.tif", 3000)):
        (tmp_path / "ID_1").mkdir(exist_ok=True)
        Image.fromarray(numpy.full((9, 9), largest, numpy.uint16)).save(tmp_path / "ID_1" / name)
    with pytest.raises(UserError, match="holds no recording, found .*stage0_prepare.py split.*--db_range"):
        find_recordings(tmp_path)
    records = find_recordings(tmp_path, images=True).records
    assert [stem(record) for record in records] == ["ID_1/a", "ID_1/b"]
    assert {record.white for record in records} == {4095}
