"""training_report.png: losses, where in time they are, copies, and which weights are best."""

from __future__ import annotations

from pathlib import Path

from data.atomic import replacing

BIN, WATCHED = "val_loss_t", ("memorised", "memorised_val")


def draw_report(rows: list[dict[str, float]], monitor: str, title: str, path: Path) -> None:
    """A panel each, against steps, for the losses, the validation loss by time and the shares of copies; only
    those of which `rows` (a dictionary a validation) know."""
    # Not at the top: importing it costs seconds that the other ranks and stage 3 save.
    from matplotlib.figure import Figure

    panels = {"loss": ["train_loss", monitor],
              "val_loss where t is": sorted(name for name in rows[-1] if name.startswith(BIN)),
              "share of copies": [name for name in WATCHED if name in rows[-1]]}
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
        axes.set_ylabel(heading)
        axes.set_xlabel("optimizer step")
        axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
