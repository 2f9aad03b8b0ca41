"""Streams of a DCA1000 and Infineon's text, written by the published layouts; the truth is known."""

import json
from dataclasses import replace

import numpy
import pytest
from fmcw_walker import Chirps, beat, pulse_times, torso_range_m, walking

from configs.errors import UserError
from radar.captures import Facts, Hints, companions, read
from radar.captures.ti import StreamCube, read_profile

RANDOM = numpy.random.default_rng(0)
SDK = """% Platform: xWR16xx
channelCfg {rx} 3 0
adcCfg {adc} {fmt}
adcbufCfg -1 {real} {swap} {channels} 1
profileCfg 0 60 10 5 60 0 0 20 1 {samples} 1000 0 0 30
{chirps}
frameCfg 0 {last} {loops} {frames} {period} 1 0
"""


def profile(
    folder, rx=15, adc=2, fmt=1, swap=0, channels=1, samples=32, tx=(1,), loops=8, frames=0, period=20
):
    chirps = "\n".join(f"chirpCfg {n} {n} 0 0 0 0 0 {mask}" for n, mask in enumerate(tx))
    path = folder / "radar.cfg"
    path.write_text(
        SDK.format(
            rx=rx,
            adc=adc,
            fmt=fmt,
            real=int(not fmt),
            swap=swap,
            channels=channels,
            samples=samples,
            chirps=chirps,
            last=len(tx) - 1,
            loops=loops,
            frames=frames,
            period=period,
        )
    )
    return path


def stream(cube, lanes=2, interleaved=False, swapped=False):
    """Words of (frames, chirps, transmitters, receivers, samples), as the lanes send them."""
    cube = cube.swapaxes(-1, -2) if interleaved else cube
    if not numpy.iscomplexobj(cube):
        return cube.ravel().astype("<i2")
    parts = (cube.imag, cube.real) if swapped else (cube.real, cube.imag)
    return numpy.stack([part.reshape(-1, lanes) for part in parts], 1).ravel().astype("<i2")


def numbers(shape, bits=16, is_complex=True):
    most = 2 ** (bits - 1) - 1
    real, imaginary = RANDOM.normal(0, most / 8, (2, *shape)).round().clip(-most, most)
    return (real + 1j * imaginary).astype(numpy.complex64) if is_complex else real.astype(numpy.float32)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rx": 1},
        {"rx": 5},
        {"rx": 7},
        {"fmt": 0},
        {"swap": 1},
        {"channels": 0},
        {"channels": 0, "fmt": 0},
        {"tx": (1, 2)},
        {"adc": 0},
        {"adc": 1},
    ],
    ids=str,
)
def test_every_order_of_words(settings, tmp_path):
    read_back = read_profile(profile(tmp_path, **settings))
    receivers, interleaved = settings.get("rx", 15).bit_count(), settings.get("channels") == 0
    shape = (3, 8, len(settings.get("tx", (1,))), receivers, 32)
    bits, is_complex = (12, 14, 16)[settings.get("adc", 2)], settings.get("fmt", 1) > 0
    cube = numbers(shape, bits, is_complex)
    words = stream(cube, 4 if interleaved else 2, interleaved, bool(settings.get("swap")))
    forms = [words, words ^ numpy.int16(-0x8000)]
    if bits < 16:  # two's complement, offset binary, extended sign
        forms = [words & (2**bits - 1), words + 2 ** (bits - 1), words]
    for form in forms:
        streamed = StreamCube(form, read_back)
        assert streamed.shape == shape and (streamed.block(slice(1, 3), slice(2, 7)) == cube[1:3, 2:7]).all()


def test_carrier_rate_and_range_step_are_the_profiles(tmp_path):
    facts = read_profile(profile(tmp_path, tx=(1, 2))).facts
    assert facts.carrier_hz == pytest.approx(60e9 + 20e12 * (5e-6 + 16e-6), rel=1e-6)
    assert facts.prf_hz == pytest.approx(1 / (2 * 70e-6), rel=1e-6)
    assert facts.range_step_m == pytest.approx(299_792_458 / (2 * 20e12 * 32e-6), rel=1e-6)
    assert facts.burst_period_s == pytest.approx(0.02, rel=1e-6)


def test_the_studio_says_the_same_as_the_sdk(tmp_path):
    device = {
        "rlChanCfg_t": {"rxChannelEn": "0xF"},
        "rlAdcOutCfg_t": {"fmt": {"b2AdcBits": 2, "b2AdcOutFmt": 1}},
        "rlProfiles": [
            {
                "rlProfileCfg_t": {
                    "startFreqConst_GHz": 60.0,
                    "idleTimeConst_usec": 10.0,
                    "adcStartTimeConst_usec": 5.0,
                    "rampEndTime_usec": 60.0,
                    "freqSlopeConst_MHz_usec": 20.0,
                    "numAdcSamples": 32,
                    "digOutSampleRate": 1000,
                }
            }
        ],
        "rlChirps": [{"rlChirpCfg_t": {"txEnable": "0x1"}}, {"rlChirpCfg_t": {"txEnable": "0x2"}}],
        "rlFrameCfg_t": {
            "chirpStartIdx": 0,
            "chirpEndIdx": 1,
            "numLoops": 8,
            "numFrames": 0,
            "framePeriodicity_msec": 20.0,
        },
        "rlDevDataFmtCfg_t": {"iqSwapSel": 0, "chInterleave": 1},
        "rlDevLaneEnable_t": {"laneEn": "0x3"},
    }
    (tmp_path / "radar.json").write_text(json.dumps({"mmWaveDevices": [device]}))
    assert read_profile(tmp_path / "radar.json") == read_profile(profile(tmp_path, tx=(1, 2)))


def test_a_walker_in_a_stream(tmp_path):
    """Frames of 64 chirps that follow without a pause; the profile lies beside the stream."""
    prf = 1 / 560e-6
    chirps = Chirps(60e9 + 5e-6 * 20e12, 20e12, 1e6, 48, prf)
    moved = walking(4.0, 1.2)
    when = pulse_times(chirps, moved)
    when = when[: len(when) // 64 * 64]
    cube = beat(chirps, moved, when, receivers=2)
    cube = (cube * 8000 / numpy.abs(cube).max()).reshape(-1, 64, 1, 2, 48)
    path = tmp_path / "adc_data.bin"
    stream(cube).tofile(path)
    cfg = profile(tmp_path, rx=3, samples=48, loops=64, period=64 * 0.56)
    cfg.write_text(cfg.read_text().replace(" 60 10 5 60 ", " 60 500 5 60 "))
    capture = read(path)
    assert capture.receivers == 2 and capture.bursts == 1 and capture.prf_hz == pytest.approx(prf)
    off = numpy.abs(capture.range_m - torso_range_m(moved, when)) / capture.range_step_m
    assert (off <= 1).mean() >= 0.95
    assert "radar.cfg: carrier 6.058e+10 Hz" in capture.notes[0]
    assert companions(path) == (cfg,) and not companions(path, Hints(layout=("frames",)))
    other = cfg.rename(tmp_path / "elsewhere.txt")
    assert companions(path, Hints(cfg=other)) == (other,) and not companions(path)


def refused(path, hints=Hints()):  # noqa: B008
    with pytest.raises(UserError) as error:
        read(path, hints)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def test_streams_that_do_not_fit(tmp_path):
    path = tmp_path / "adc_data.bin"
    words = stream(numbers((4, 64, 1, 4, 32)))
    words.tofile(path)
    assert "give the radar's profile by --cfg, or its axes like --layout" in refused(path)
    profile(tmp_path, loops=48)
    assert "5.333 frames of 24576 bytes by radar.cfg: cut short, or of another" in refused(path)
    profile(tmp_path, loops=64, frames=3)
    assert "4 frames, radar.cfg has 3" in refused(path)
    words[:-1].tofile(path)
    profile(tmp_path, loops=64)
    assert "cut short" in refused(path)
    (tmp_path / "radar.cfg").write_text("profileCfg 0 77")
    assert "radar.cfg: no profile of a TI radar" in refused(path)


def test_a_stream_by_its_axes(tmp_path):
    chirps, moved = Chirps(24e9, 16e12, 1e6, 48, 1000.0), walking(3.0, 1.2)
    cube = beat(chirps, moved, pulse_times(chirps, moved), receivers=2)
    cube = cube * 8000 / numpy.abs(cube).max()
    words = numpy.stack([cube.real, cube.imag], -1).ravel().astype("<i2")
    facts, path = Facts(chirps.carrier_hz, 1000.0, range_step_m=chirps.range_step_m), tmp_path / "rec.bin"
    captures = []
    for form in (words, words ^ numpy.int16(-0x8000)):
        form.tofile(path)
        captures.append(read(path, Hints(facts, layout=("pulses*receivers=2*samples=48*iq=2",))))
    assert (captures[0].iq == captures[1].iq).all() and captures[0].receivers == 2


def ifrt(path, frames, kind=1, **changes):
    """(frames, receivers, I and Q, samples) of a Doppler radar."""
    said = {
        "Num_Rx_Antennas": frames.shape[1],
        "Modulation_Type_Enum": 0,
        "Lower_RF_Frequency_kHz": 24050000,
        "Upper_RF_Frequency_kHz": 24250000,
        "Sampling_Frequency_kHz": 2,
        "Data_Format_Enum": kind,
        "Chirps_per_Frame": 1,
        "Samples_per_Chirp": frames.shape[-1],
        "Pulse_Repetition_Time_sec": 0,
        "Frame_Period_sec": 0.15,
        **changes,
    }
    lines = ["IFRT", "### A comment.", *(f"# {key} = {value}" for key, value in said.items())]
    for number, frame in enumerate(frames, 7119):
        values = frame.swapaxes(1, 2) if kind == 2 else frame
        lines += ["", f"# Frame_Number = {number}", *map(str, values.ravel().tolist())]
    path.write_text("\n".join(lines) + "\n")
    return lines


@pytest.mark.parametrize("kind", [1, 2])
def test_infineons_text(kind, tmp_path):
    path, frames = tmp_path / "rec.raw.txt", RANDOM.random((6, 2, 2, 256)).astype("f4")
    lines = ifrt(path, frames, kind)
    capture = read(path, replace(Hints(), balance=False))
    assert (capture.carrier_hz, capture.prf_hz, capture.burst_period_s) == (24.15e9, 2000.0, 0.15)
    assert (capture.iq[:, 0] == (frames[:, :, 0] + 1j * frames[:, :, 1]).swapaxes(0, 1)).all()
    path.write_text("\n".join(lines[:-5]))
    assert "6139 values in 6 frames of 1024: the file is cut short" in refused(path)
    path.write_text("\n".join(lines).replace("Frame_Number = 7121", "Frame_Number = 7122"))
    assert "frame 7121 is missing" in refused(path)
