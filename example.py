"""Draw spectrograms of simulated walkers with the model that ships, and show them: python example.py

Your own model goes into the same lines: load("trained_models/checkpoints/best.safetensors", "compact").
"""

import sys

import matplotlib.pyplot as plt

from sampling import load

PEOPLE = ("ID_3", "ID_17")
STEPS = 15  # intervals of the solver; fewer are faster and coarser


def main(picture: str = "example.png") -> None:
    """Draw two walks of each of PEOPLE into the file `picture`, and show them where there is a screen."""
    model = load("demo", "compact")
    images = model.draw(PEOPLE, n=2, guidance=1.5, steps=STEPS, seed=0)  # (4, 256, 256, 3) uint8
    power = model.decibels(images)  # dB over velocity and time

    figure, panels = plt.subplots(1, len(images), sharey=True, figsize=(11, 3), layout="constrained")
    for panel, name, db in zip(panels, [name for name in PEOPLE for _ in range(2)], power.db):
        shown = panel.pcolormesh(power.time_s, power.velocity_mps, db, cmap="jet")
        panel.set(title=name, xlabel="Time (s)")
    panels[0].set_ylabel("Radial velocity (m/s)")
    figure.colorbar(shown, ax=panels, label="Power (dB)")
    figure.savefig(picture, dpi=150)
    print(f"wrote {picture}")
    plt.show()


if __name__ == "__main__":
    main(*sys.argv[1:2])  # the name of the picture
