"""Charts of the page as SVG: matplotlib draws them, the page's style sheet colours them, light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evaluation.report.tables import PERCENT, number, said, value_of

# They become variables of the style sheet, --c0 to --c7: six series, text, lines.
*SERIES, SOFT, LINE = [f"#0000c{place}" for place in range(8)]
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,  # a folder's name may hold $
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), SOFT),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), LINE),
    **{f"axes.spines.{side}": False for side in ("top", "right", "left")},
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 0),
    "legend.frameon": False,
}
# What only a file of its own needs: prolog, metadata, style, comments, name spaces, ids, a font.
CLUTTER = (
    r"^.*?(?=<svg)|<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->"
    r'| xmlns\S*="\S*"| id="[\w.]+_\d+"| font-family:.*?;'
)


def drawn(figure: Figure, alt: str) -> Markup:
    """The drawing as an element whose text is `alt`, the same for the same figures; inside STYLE."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    source = re.sub(CLUTTER, "", buffer.getvalue(), flags=re.DOTALL)
    source = re.sub(r"#0000(c\d)", r"var(--\1)", source)
    return Markup(source.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1))


def ends_of(figure: dict[str, Any] | None) -> list[float]:
    """Value, low and high (the value, where it has no interval); nothing where the value is not known."""
    value = value_of(figure) if figure else None
    if not figure or value is None or not math.isfinite(value):
        return []
    return [value, *(figure.get("interval") or (value, value))]


def dots(
    rows: dict[str, dict[str, dict[str, Any]]],
    name: str = "",
    within: Sequence[float] = (0,),
    width: float = 2.0,
) -> Markup:
    """Dots with their 95 % intervals on one scale that holds `within`, `width` inches wide.

    `rows` maps a label to {kind: figure}: a line each, a colour each kind. `name` is the measure's.
    """
    kinds = list(dict.fromkeys(kind for pair in rows.values() for kind in pair))
    labelled, percent = any(rows), is_percent(name, [one for pair in rows.values() for one in pair.values()])
    spoken = []
    with rc_context(STYLE):
        size = width, (0.3 if labelled else 0.1) + 0.16 * len(rows) * len(kinds)
        figure = Figure(figsize=size, layout="constrained" if labelled else None)
        axes = figure.subplots() if labelled else figure.add_axes((0.03, 0, 0.94, 1), frameon=False)
        axes.update_datalim([(edge, 0) for edge in within])
        for row, (label, pair) in enumerate(rows.items()):
            for kind, estimate in pair.items():
                if ends := ends_of(estimate):
                    place = kinds.index(kind)
                    height = row + 0.7 * ((place + 0.5) / len(kinds) - 0.5)
                    whiskers(axes.hlines, SERIES[place % 6], [(height, *ends)])
                    spoken.append(" ".join(filter(None, (label, kind, *said(estimate, name)))))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if labelled:
            axes.set_yticks(range(len(rows)), list(rows))
            grid(axes, "x", percent)
        else:  # a drawing in a table: what it says stands beside it
            axes.xaxis.set_visible(False)
            axes.yaxis.set_visible(False)
            for edge in within:
                axes.axvline(edge, color=LINE, linewidth=1, clip_on=False, zorder=0)
        return drawn(figure, "; ".join(spoken) or "nothing known")


def curves(title: str, along: str, places: Sequence[Any], series: dict[str, list[Any]], name: str) -> Markup:
    """A measure at `places` along something, with 95 % intervals; nothing where no value is known.

    `series` maps a legend to a figure or None at each place; `name` is the measure's.
    """
    percent = is_percent(name, [one for figures in series.values() for one in figures])
    known = {
        legend: [(place, *ends) for place, one in enumerate(figures) if (ends := ends_of(one))]
        for legend, figures in series.items()
    }
    known = {legend: points for legend, points in known.items() if points}
    if not known:
        return Markup("")
    with rc_context(STYLE):
        figure = Figure(figsize=(4.4, 3.0), layout="constrained")
        axes = figure.subplots()
        for row, (legend, points) in enumerate(known.items()):
            shift = 0.05 * (row - (len(known) - 1) / 2)  # intervals at one place stay apart
            points = [(place + shift, *ends) for place, *ends in points]
            x, values, *_ = zip(*points)
            axes.plot(x, values, color=SERIES[row % 6], label=legend, linewidth=1.5, clip_on=False)
            whiskers(axes.vlines, SERIES[row % 6], points)
        axes.set_xticks(range(len(places)), map(number, places))
        axes.set_xlabel(along)
        axes.set_title(title, loc="left", fontsize=10)
        grid(axes, "y", percent)
        figure.legend(loc="outside lower left", ncols=2, fontsize=8)
        return drawn(figure, f"{title}, against {along}: {', '.join(known)}")


def whiskers(lines: Callable[..., Any], colour: str, points: list[tuple[float, ...]]) -> None:
    """Dots at the values, lines from low to high, of points (place on the other axis, value, low, high).

    `lines` draws along an axis; a dot is a line without length that has round ends.
    """
    for at, value, low, high in points:
        lines(at, low, high, color=colour, linewidth=1.8, clip_on=False)
        lines(at, value, value, color=colour, linewidth=6, clip_on=False, capstyle="round")


def is_percent(name: str, figures: list[Any]) -> bool:
    return name in PERCENT or any("share" in figure for figure in figures if figure)


def grid(axes: Axes, along: Literal["x", "y"], percent: bool) -> None:
    """Lines at few round values, which are written as the tables write them."""
    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(lambda value, _: number(float(value), percent).replace(".0%", "%"))
    axes.grid(axis=along, linewidth=0.7, clip_on=False)
    axes.set_axisbelow(True)
