"""Pieces of a self-contained page: elements whose text is always escaped, tables, pictures, small charts."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from evaluation.report.tables import PERCENT, is_figure, number, said, value_of

VOID = ("img", "br")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 380, 230, 50, 12, 10, 28  # of a chart, px


class Safe(str):
    """Text that is HTML already; every other string is escaped when it becomes content."""


def tag(name: str, *content: Any, **attributes: Any) -> Safe:
    """An element; `klass` is class, and _ in an attribute's name is -."""
    given = "".join(
        f' {"class" if key == "klass" else key.replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    inner = "".join(part if isinstance(part, Safe) else html.escape(str(part)) for part in content)
    return Safe(f"<{name}{given}>" + ("" if name in VOID else f"{inner}</{name}>"))


def table(head: Sequence[Sequence[Any]], rows: Iterable[Sequence[Any]], klass: str = "") -> Safe:
    """A table in a box that scrolls by itself; cells are text, figures, or elements "td" and "th"."""
    top = tag("thead", *(tag("tr", *(_cell(cell, "th") for cell in row)) for row in head))
    body = (tag("tr", _cell(first, "th"), *(_cell(cell, "td") for cell in rest)) for first, *rest in rows)
    return tag("div", tag("table", top, tag("tbody", *body), klass=klass), klass="box", tabindex=0)


def _cell(content: Any, name: str) -> Safe:
    if isinstance(content, Safe) and content.startswith(("<td", "<th")):
        return content
    return tag(name, content)


def figure_cell(figure: dict[str, Any] | None, name: str = "") -> Safe:
    """Value, then small: interval and count."""
    if figure is None:
        return tag("td", "-")
    value, interval = said(figure, name)
    count = f"n {figure['count']}" if "count" in figure else ""
    below = " ".join(filter(None, (interval, count)))
    return tag("td", tag("b", value), *([tag("small", below)] if below else []))


def picture(path: Path, alt: str) -> Safe:
    """A PNG inside the page, in a box that scrolls where the screen is narrow."""
    data = base64.b64encode(path.read_bytes()).decode()
    image = tag("img", src=f"data:image/png;base64,{data}", alt=alt)
    return tag("div", image, klass="box picture", tabindex=0)


def strip(figures: dict[str, dict[str, Any]], name: str = "") -> Safe:
    """The cell that draws figures on one scale from 0 (shares: to 1): a line from low to high, a dot."""
    known = {kind: figure for kind, figure in figures.items() if value_of(figure) is not None}
    edges = [0, int(name in PERCENT), *(edge for figure in known.values() for edge in _edges(figure))]
    low, span = min(edges), (max(edges) - min(edges)) or 1
    parts = []
    for row, figure in enumerate(known.values()):
        value, *ends = (6 + 128 * (edge - low) / span for edge in _edges(figure))
        parts += _whisker(9 + 14 * row, value, ends, f"c{row}", across=True)
    text = "; ".join(f"{kind} {' '.join(said(figure, name))}" for kind, figure in known.items())
    size = {"viewBox": f"0 0 140 {4 + 14 * len(known)}", "width": 140, "height": 4 + 14 * len(known)}
    return tag("td", tag("svg", tag("title", text or "nothing known"), *parts, role="img", **size))


def _edges(figure: dict[str, Any]) -> list[float]:
    """The value, and the ends of its interval where it has one."""
    return [value_of(figure), *(figure.get("interval") or ())]


def _whisker(at: float, value: float, ends: Sequence[float], klass: str, across: bool) -> list[Safe]:
    """A dot with its interval, along x (`across`) or y, at `at` of the other axis; pixels."""
    along, other = ("x", "y") if across else ("y", "x")
    dot = tag("circle", r=3.5, klass=klass, **{f"c{along}": f"{value:.1f}", f"c{other}": f"{at:.1f}"})
    if not ends:
        return [dot]
    place = {f"{along}1": f"{ends[0]:.1f}", f"{along}2": f"{ends[1]:.1f}"}
    return [tag("line", klass=klass, **place, **{f"{other}{i}": f"{at:.1f}" for i in (1, 2)}), dot]


def chart(
    title: str,
    series: dict[str, list[tuple[float, dict[str, Any]]]],
    ticks: dict[float, str],
    name: str,
    along: str,
) -> Safe:
    """Curves with intervals: `series` maps a legend to (x, figure) by rising x; `ticks` maps x to text.

    `name` is the measure's, `along` says what x is. Figures without a value are left out.
    """
    series = {
        legend: [(x, figure) for x, figure in points if value_of(figure) is not None]
        for legend, points in series.items()
    }
    edges = [edge for points in series.values() for _, figure in points for edge in _edges(figure)]
    if not edges:
        return Safe("")
    levels = MaxNLocator(4, min_n_ticks=2).tick_values(min(edges), max(edges))
    low, high, first, wide = levels[0], levels[-1], min(ticks), (max(ticks) - min(ticks)) or 1

    def across(x: float) -> float:
        return LEFT + 14 + (WIDTH - LEFT - RIGHT - 28) * (x - first) / wide

    def up(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)

    parts = [
        tag("text", text, x=f"{across(x):.1f}", y=HEIGHT - 8, text_anchor="middle")
        for x, text in ticks.items()
    ]
    for level in levels:
        height, text = f"{up(level):.1f}", said({"value": float(level)}, name)[0]
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=height, y2=height, klass="grid"))
        parts.append(tag("text", text, x=LEFT - 6, y=f"{up(level) + 4:.1f}", text_anchor="end"))
    for place, points in enumerate(series.values()):
        shift, colour = 4 * (place - (len(series) - 1) / 2), f"c{place % 6}"  # intervals at one x stay apart
        drawn = [(across(x) + shift, list(map(up, _edges(figure)))) for x, figure in points]
        line = " ".join(f"{x:.1f},{value:.1f}" for x, (value, *_) in drawn)
        parts.append(tag("polyline", points=line, klass=colour))
        for x, (value, *ends) in drawn:
            parts += _whisker(x, value, ends, colour, across=False)
    drawing = tag("svg", tag("title", title), *parts, role="img", viewBox=f"0 0 {WIDTH} {HEIGHT}")
    caption = tag("figcaption", f"{title}, against {along}", tag("br"), legend_of(series))
    return tag("figure", drawing, caption)


def legend_of(names: Iterable[str]) -> Safe:
    """Coloured words in the order of strips and curves."""
    return tag("span", *(tag("span", name, klass=f"key c{place % 6}") for place, name in enumerate(names)))


def described(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Rows (name, text) of whatever a part of metrics.json holds; figures with interval and count."""
    if is_figure(value):
        text = " ".join(filter(None, said(value, name.rsplit(" › ", 1)[-1])))
        own = [(name, text + (f" n {value['count']}" if "count" in value else ""))]
        return own + described(
            {key: value[key] for key in ("per_person", "hits", "standard_error") if key in value}, name
        )
    if isinstance(value, dict):
        return [
            row
            for key, part in value.items()
            for row in described(part, f"{name} › {key}" if name else str(key))
        ]
    if isinstance(value, (list, tuple)):
        if any(isinstance(part, (dict, list, tuple)) for part in value):
            return described({str(place): part for place, part in enumerate(value, 1)}, name)
        return [(name, ", ".join(map(number, value)))]
    return [(name, number(value, name in PERCENT))]
