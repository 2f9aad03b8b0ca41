"""Recordings of a folder tree, and the images that a saved recording gives."""

import numpy
import pytest

from data.recordings import list_recordings
from radar.captures import Facts, Hints, read
from radar.spectrogram import Radar, iq_signal, remove_clutter, spectrogram, to_picture, to_unit, windows


def test_recordings_of_a_tree_are_named_after_it(tmp_path):
    for name in ("ID_10/rec1.npy", "ID_2/rec2.mat", "ID_2/day2/rec1.h5", "ID_2/note.md", "loose.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {path.relative_to(tmp_path).as_posix(): stem for path, stem in list_recordings(tmp_path).items()}
    assert list(found.items()) == [("ID_2/day2/rec1.h5", "ID_2/day2_rec1"), ("ID_2/rec2.mat", "ID_2/rec2"),
                                   ("ID_10/rec1.npy", "ID_10/rec1"), ("loose.npy", "loose")]
    assert list(list_recordings(tmp_path / "ID_2/rec2.mat").values()) == ["ID_2/rec2"]
    (tmp_path / "ID_2/rec2.npy").touch()
    with pytest.raises(ValueError, match="would write the same pictures"):
        list_recordings(tmp_path)
    nowhere = ((tmp_path / "ID_2/note.md", "holds no recording"), (tmp_path / "x", "no such file"))
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

    told = Hints(Facts(radar.carrier_hz, radar.prf_hz), layout=("receivers", "pulses"), balance=False)
    direct, measured = pictures(iq), pictures(read(tmp_path / "rec.npy", told).looks)
    assert len(direct) == len(measured) == 2 and direct[0].std() > 10
    assert all((a == b).all() for a, b in zip(direct, measured))
