"""Raw streams of Texas Instruments' DCA1000 with the radar's profile, and other streams without a header.

The profile is the text of the mmWave SDK (profileCfg 0 77 ...), or the JSON of mmWave Studio. The layout of
the stream is that of TI's application report SWRA581B: words come in groups of as many as there are LVDS
lanes, complex samples as a group of I and a group of Q; receivers follow one another within a chirp, or
interleave.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from scipy.constants import speed_of_light

from configs.errors import UserError
from configs.json_text import parse_json
from radar.captures.contract import Contents, Facts, Format, Hints

SUFFIXES = (".bin", ".dat", ".raw", ".adc")  # nothing in such a stream says what it is
PROFILES = (".cfg", ".json")
LOOK_AT = 1 << 20  # words that decide how numbers are stored


@dataclass(frozen=True)
class Profile:
    """What a stream's radar did, in SI units; `transmitters` take turns within a loop of chirps."""

    start_hz: float
    slope_hz_per_s: float
    adc_start_s: float
    chirp_s: float
    samples: int
    sample_rate_hz: float
    receivers: int
    transmitters: int
    loops: int
    frames: int
    frame_s: float
    bits: int = 16
    is_complex: bool = True
    swapped: bool = False
    lanes: int = 2
    interleaved: bool = False

    @property
    def facts(self) -> Facts:
        """Carrier in the middle of the samples, PRF of one transmitter, range step c fs / (2 slope N)."""
        middle = self.adc_start_s + self.samples / self.sample_rate_hz / 2
        step = speed_of_light * self.sample_rate_hz / (2 * self.slope_hz_per_s * self.samples)
        prf = 1 / (self.transmitters * self.chirp_s) if self.loops > 1 else 1 / self.frame_s
        return Facts(self.start_hz + self.slope_hz_per_s * middle, prf, None, self.frame_s, step)

    @property
    def frame_words(self) -> int:
        return (self.loops * self.transmitters * self.receivers * self.samples) * (1 + self.is_complex)


def read_profile(path: Path) -> Profile:
    """UserError: no profile, or one of several profiles or sub-frames."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        profile = _studio(parse_json(text)) if text.lstrip().startswith("{") else _sdk(text)
    except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
        if isinstance(error, UserError):
            raise
        reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UserError(
            f"{path.name}: no profile of a TI radar ({reason}); give what the radar was set by as --cfg"
        ) from error
    counts = profile.samples, profile.receivers, profile.transmitters, profile.loops
    if min(counts) < 1 or min(profile.sample_rate_hz, profile.slope_hz_per_s, profile.chirp_s) <= 0:
        raise UserError(
            f"{path.name}: expected samples, receivers, transmitters, chirps, rate and slope above 0; give "
            "what the radar was set by as --cfg"
        )
    return profile


def _sdk(text: str) -> Profile:
    """Lines of the mmWave SDK: GHz, microseconds, MHz a microsecond, kilosamples a second, milliseconds."""
    lines: dict[str, list[list[float]]] = {}
    for line in text.splitlines():
        words = line.split("%")[0].split()
        if words and words[0] in (
            "channelCfg",
            "adcCfg",
            "adcbufCfg",
            "profileCfg",
            "chirpCfg",
            "frameCfg",
            "lvdsStreamCfg",
        ):
            lines.setdefault(words[0], []).append([float(word) for word in words[1:]])
    if len(lines["profileCfg"]) > 1:
        raise UserError("several profileCfg lines; expected one profile for all chirps: record with one")
    if lines.get("lvdsStreamCfg", [[0, 0]])[0][1]:
        raise UserError("lvdsStreamCfg turns headers in the stream on; record with enableHeader 0")
    profile, frame, adc = lines["profileCfg"][0], lines["frameCfg"][0], lines["adcCfg"][0]
    buffer = lines.get("adcbufCfg", [[-1, 0, 0, 1]])[0]
    chirps = [chirp for chirp in lines["chirpCfg"] if frame[0] <= chirp[0] and chirp[1] <= frame[1]]
    turns = {int(chirp[7]) for chirp in chirps}
    interleaved = int(buffer[3]) == 0
    loops = _loops(int(frame[2]), int(frame[1]) - int(frame[0]) + 1, len(turns))
    return Profile(
        1e9 * profile[1],
        1e12 * profile[7],
        1e-6 * profile[3],
        1e-6 * (profile[2] + profile[4]),
        int(profile[9]),
        1e3 * profile[10],
        int(lines["channelCfg"][0][0]).bit_count(),
        len(turns),
        loops,
        int(frame[3]),
        1e-3 * frame[4],
        (12, 14, 16)[int(adc[0])],
        int(adc[1]) > 0,
        bool(buffer[2]),
        4 if interleaved else 2,
        interleaved,
    )


def _loops(loops: int, chirps: int, transmitters: int) -> int:
    """Chirps of each transmitter in a frame."""
    if transmitters > 1 and chirps != transmitters:
        raise UserError(
            f"{chirps} chirps a loop for {transmitters} transmitters; expected one each in turn: record it so"
        )
    return loops * chirps // transmitters


def _studio(tree: Any) -> Profile:
    """The first device of mmWave Studio's JSON."""
    said: dict[str, Any] = {}
    turns: set[int] = set()

    def take(item: Any) -> None:
        for key, value in item.items() if isinstance(item, dict) else enumerate(item):
            if isinstance(value, (dict, list)):
                take(value)
            else:
                said.setdefault(str(key), value)
                turns.update([int(str(value), 0)] if key == "txEnable" else [])

    take(tree)
    number = {key: int(value, 16) if str(value).startswith("0x") else value for key, value in said.items()}
    chirps = int(number["chirpEndIdx"]) - int(number["chirpStartIdx"]) + 1
    loops = _loops(int(number["numLoops"]), chirps, len(turns))
    chirp = float(number["idleTimeConst_usec"]) + float(number["rampEndTime_usec"])
    return Profile(
        1e9 * float(number["startFreqConst_GHz"]),
        1e12 * float(number["freqSlopeConst_MHz_usec"]),
        1e-6 * float(number["adcStartTimeConst_usec"]),
        1e-6 * chirp,
        int(number["numAdcSamples"]),
        1e3 * float(number["digOutSampleRate"]),
        int(number["rxChannelEn"]).bit_count(),
        len(turns),
        loops,
        int(number["numFrames"]),
        1e-3 * float(number["framePeriodicity_msec"]),
        (12, 14, 16)[int(number["b2AdcBits"])],
        int(number["b2AdcOutFmt"]) > 0,
        bool(number.get("iqSwapSel")),
        int(number["laneEn"]).bit_count(),
        int(number["chInterleave"]) == 0,
    )


class StreamCube:
    """The chirps of a memory-mapped stream; see `radar.captures.fmcw.Cube`."""

    is_range = False

    def __init__(self, words: numpy.ndarray, profile: Profile) -> None:
        self.profile = profile
        self.frames = words.reshape(-1, profile.frame_words)
        self.offset = _offset(words[:LOOK_AT], profile.bits)
        self.shape = (
            len(self.frames),
            profile.loops,
            profile.transmitters,
            profile.receivers,
            profile.samples,
        )

    def block(self, frames: slice, chirps: slice) -> numpy.ndarray:
        profile = self.profile
        words = self.frames[frames].reshape(-1, profile.loops, profile.frame_words // profile.loops)
        numbers = _numbers(words[:, chirps], self.offset, profile.bits)
        numbers = numbers.reshape(*numbers.shape[:2], profile.transmitters, -1)
        if profile.is_complex:
            groups = numbers.reshape(*numbers.shape[:3], -1, 2, profile.lanes)
            first, second = (groups[..., part, :].reshape(*numbers.shape[:3], -1) for part in (0, 1))
            numbers = numpy.empty(first.shape, numpy.complex64)
            numbers.real, numbers.imag = (second, first) if profile.swapped else (first, second)
        if profile.interleaved:
            return numbers.reshape(*numbers.shape[:3], profile.samples, profile.receivers).swapaxes(-1, -2)
        return numbers.reshape(*numbers.shape[:3], profile.receivers, profile.samples)


def _offset(words: numpy.ndarray, bits: int) -> bool:
    """Whether numbers are stored with an offset of half the range; two's complement varies less else."""
    plain = _numbers(words, False, bits)
    return bool(_numbers(words, True, bits).std() < plain.std())


def _numbers(words: numpy.ndarray, offset: bool, bits: int) -> numpy.ndarray:
    """int16 words as float32; of 12 and 14 bits the upper ones may hold anything."""
    values = words.astype(numpy.int32) & (2**bits - 1)
    half = 2 ** (bits - 1)
    return (values - half if offset else (values ^ half) - half).astype(numpy.float32)


def find_profile(path: Path, hints: Hints) -> Path | None:
    """The profile that was given, else the one beside the stream, of its name or alone in the folder; none of
    a stream whose axes were told.
    """
    if hints.layout:
        return None
    if hints.cfg is not None:
        return hints.cfg
    beside = sorted(other for other in path.parent.iterdir() if other.suffix.lower() in PROFILES)
    named = [other for other in beside if other.name.split(".")[0] == path.stem]
    profiles = named or [other for other in beside if other.suffix.lower() == ".cfg"]
    return profiles[0] if len(profiles) == 1 else None


def profile_of(path: Path, hints: Hints) -> tuple[Path, ...]:
    """The profile that `load_stream` reads, if any."""
    profile = find_profile(path, hints)
    return (profile,) if profile else ()


def load_stream(path: Path, hints: Hints) -> Contents:
    """A stream by its profile, or as int16 words whose axes --layout gives."""
    words = numpy.memmap(path, "<i2", "r", shape=path.stat().st_size // 2)
    profile_path = find_profile(path, hints)
    if profile_path is None:
        if not hints.layout:
            raise UserError(
                "a stream without header: give the radar's profile by --cfg, or its axes like "
                "--layout 'frames*chirps=128*receivers=4*samples=256*iq=2'"
            )
        offset = _offset(words[:LOOK_AT], 16)
        return Contents(
            {path.stem: words ^ numpy.int16(-0x8000) if offset else words},
            notes=("words hold an offset of 32768",) if offset else (),
        )
    profile = read_profile(profile_path)
    frame_bytes, size = 2 * profile.frame_words, path.stat().st_size
    if size == 0 or size % frame_bytes:
        raise UserError(
            f"{size} bytes are {size / frame_bytes:.3f} frames of {frame_bytes} bytes by "
            f"{profile_path.name}: cut short, or of another profile; copy it again, or give its own by --cfg"
        )
    frames = words.size // profile.frame_words
    if 0 < profile.frames < frames:
        raise UserError(
            f"{frames} frames, {profile_path.name} has {profile.frames}: of another profile; give its own by "
            "--cfg"
        )
    short = (f"{frames} of {profile.frames} frames are there",) if frames < profile.frames else ()
    facts = profile.facts
    notes = (
        f"{profile_path.name}: carrier {facts.carrier_hz:.6g} Hz, PRF {facts.prf_hz:.6g} Hz, range step "
        f"{facts.range_step_m:.4g} m",
    )
    return Contents({}, facts, notes=(*notes, *short), cube=StreamCube(words, profile))


FORMATS = (
    Format(
        "stream of a DCA1000 (.bin)",
        SUFFIXES,
        lambda path, head: path.suffix.lower() in SUFFIXES and len(head) > 0,
        load_stream,
        profile_of,
    ),
)
