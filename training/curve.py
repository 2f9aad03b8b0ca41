"""The curve of a training, training_report.png: losses, the loss by time, copies, and the bundled model's."""

from __future__ import annotations

from pathlib import Path

from data.atomic import replacing
from data.tables import read_rows

REFERENCE = Path(__file__).resolve().parents[1] / "pretrained" / "microdoppler_dit_demo_curve.csv"
REFERENCE_LABEL = "val_loss of the shipped demo model: microdoppler_xs, 100 simulated walkers, batches of 16"
BIN, WATCHED = "val_loss_t", ("memorised", "memorised_val")


def reference_curve() -> list[tuple[int, float]]:
    """Step and validation loss of the run that made the shipped model; its card has the command."""
    if not REFERENCE.is_file():
        return []
    rows = read_rows(REFERENCE, "the curve of the shipped model", "get the project again")
    return [(int(row["step"]), float(row["val_loss"])) for row in rows]


def draw_report(
    rows: list[dict[str, float]],
    monitor: str,
    title: str,
    path: Path,
    reference: list[tuple[int, float]] | None = None,
) -> None:
    """A panel each, against steps, for the losses, the validation loss by time and the shares of copies; only
    those of which `rows` (a dictionary a validation) know. The points `reference` (step, loss) are grey,
    among the losses, and end soon after the run's own."""
    # Not at the top: importing it costs seconds that the other ranks and stage 3 save.
    from matplotlib.figure import Figure

    panels = {
        "loss": ["train_loss", monitor],
        "val_loss where t is": sorted(name for name in rows[-1] if name.startswith(BIN)),
        "share of copies": [name for name in WATCHED if name in rows[-1]],
    }
    panels = {heading: names for heading, names in panels.items() if names}
    figure = Figure(figsize=(8, 1 + 3 * len(panels)), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, (heading, names) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels.items()):
        for name in names:
            known = [(row["step"], row[name]) for row in rows if name in row]
            other = axes.twinx() if name == monitor and not name.endswith("loss") else axes
            label = name.removeprefix(BIN).replace("_", " to ") if name.startswith(BIN) else name
            if known:
                colour = None if other is axes else "tab:orange"
                other.plot(*zip(*known), label=label, marker=".", markersize=3, color=colour)
            if other is not axes:
                other.set_ylabel(name)
        ahead = sum(step < rows[-1]["step"] for step, _ in reference or ()) + 1
        if heading == "loss" and reference and ahead > 1:  # a shorter run would be a sliver beside it
            axes.plot(*zip(*reference[:ahead]), label=REFERENCE_LABEL, color="0.6", zorder=1)
        if names == list(WATCHED):
            axes.set_ylim(-0.005, max(0.05, axes.get_ylim()[1]))
        axes.set_ylabel(heading)
        axes.set_xlabel("optimizer step")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
