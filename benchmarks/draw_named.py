"""The picture of docs/radar.md: a simulated walk with axes and the names of what is seen in it.

    python -m benchmarks.draw_named docs/spectrogram_named.png

Lines and the length of a step are what `radar.kinematics` reads from the image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
from matplotlib.figure import Figure

from benchmarks.draw_strip import walks_of
from configs.command_line import run_script, say
from radar.kinematics import from_image
from sampling.model_file import DEMO_AXES

PERSON, WALK = 17, 1
LINE = dict(color="white", linewidth=1.2)
WORDS = dict(color="white", fontsize="small", arrowprops=dict(arrowstyle="->", color="white"))


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("picture", type=Path, help="PNG to write")
    options = parser.parse_args(argv)
    write(options.picture, walks_of(PERSON)[WALK])
    say(f"wrote {options.picture}, {options.picture.stat().st_size / 1000:.0f} kB")


def write(path: Path, image: numpy.ndarray) -> None:
    """The image (256, 256, 3) uint8 with its torso line and envelopes, named."""
    low, high, duration = DEMO_AXES.edges()
    read = from_image(image, DEMO_AXES.edges())
    time = (numpy.arange(len(read.torso_mps)) + 0.5) / len(read.torso_mps) * duration
    figure = Figure(figsize=(8, 4.2), dpi=110, layout="constrained")
    panel = figure.subplots()
    panel.imshow(image, aspect="auto", extent=(0, duration, low, high))
    for line, dashes in ((read.torso_mps, "-"), (read.upper_mps, ":"), (read.lower_mps, ":")):
        panel.plot(time, line, dashes, **LINE)
    fastest = int(numpy.argmax(read.upper_mps))
    step, torso = 1 / read.cadence_hz, read.torso_velocity_mps
    peak = time[fastest], read.upper_mps[fastest]
    panel.annotate("foot of the swinging leg", peak, (peak[0] - 0.08, 4.8), ha="right", **WORDS)
    panel.annotate("torso, sways once a step", (0.1, read.torso_mps[2]), (0.03, 3.2), **WORDS)
    panel.annotate("foot on the ground: no velocity", (1.25, 0.0), (1.1, -0.85), **WORDS)
    panel.annotate(
        "", (peak[0], 4.2), (peak[0] - step, 4.2), arrowprops=dict(arrowstyle="<->", color="white")
    )
    panel.text(peak[0] - step / 2, 4.3, f"a step, {step:.2f} s", color="white", fontsize="small", ha="center")
    panel.set(xlabel="time (s)", ylabel="radial velocity (m/s), towards the radar")
    panel.set(xlim=(0, duration), ylim=(low, high))
    panel.set_title(f"ID_{PERSON}, simulated: {torso:.2f} m/s; dotted: envelopes", fontsize="medium")
    figure.savefig(path)


if __name__ == "__main__":
    run_script(main)
