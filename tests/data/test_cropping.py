"""Figures are cut to what lies inside their frames, or refused; drawn by matplotlib, whose axes are known."""

import numpy
import pytest
from drawn_walks import drawn, figure, walk, write
from matplotlib.figure import Figure
from PIL import Image

import stage0_prepare
from configs.errors import UserError
from data.cropping import boxes_of
from data.examination import examine, plot_area
from data.images import open_rgb


def plotted(path, bar=True, title="", colour="white", transparent=False, tight=False, name="viridis"):
    """A figure of a walk and the box of its axes, by matplotlib's own account."""
    sheet = Figure(figsize=(4, 3), dpi=100, facecolor=colour)
    axes = sheet.subplots()
    shown = axes.imshow(walk(), cmap=name, aspect="auto", extent=(0, 2, -1, 5), vmin=0, vmax=1)
    axes.set(title=title, xlabel="Time (s)", ylabel="Velocity (m/s)")
    if bar:
        sheet.colorbar(shown)
    if tight:
        axes.set_position([0.15, 0.15, 0.85, 0.85])
    sheet.savefig(path, transparent=transparent)
    box = axes.get_window_extent()
    return open_rgb(path), (box.x0, 300 - box.y1, box.x1, 300 - box.y0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bar": False},
        {"title": "ID 3, walk 2"},
        {"colour": "#f0f0f0"},
        {"transparent": True},
        {"tight": True, "bar": False},
        {"name": "jet"},
        {"name": "gray"},
    ],
    ids=str,
)
def test_the_plot_area_of_matplotlibs_figures(tmp_path, options):
    image, expected = plotted(tmp_path / "a.png", **options)
    box, bar = plot_area(numpy.asarray(image))
    assert box == pytest.approx(expected, abs=2) and bar == options.get("bar", True)


def test_a_three_dimensional_plot_is_refused(tmp_path):
    sheet = Figure(figsize=(4, 3), dpi=80)
    x, y = numpy.meshgrid(*[numpy.linspace(-2, 2, 40)] * 2)
    sheet.add_subplot(projection="3d").plot_surface(x, y, numpy.exp(-x * x - y * y), cmap="jet")
    sheet.savefig(tmp_path / "a.png")
    image = open_rgb(tmp_path / "a.png")
    assert examine([("a.png", image)]).margins == ("a.png",)
    with pytest.raises(UserError, match="1 figures .* hold no plot area in the colours of a known map"):
        boxes_of(write(tmp_path, [image]))


def split_of(folder):
    return ["split", "--input_dir", str(folder / "in"), "--output_dir", str(folder / "out"), "--guard", "0"]


def test_split_refuses_figures_and_cuts_them(tmp_path, capsys):
    sheets, boxes = zip(*[figure(seed=seed) for seed in range(12)])
    write(tmp_path / "in", [Image.fromarray(sheet) for sheet in sheets])
    given = split_of(tmp_path)
    with pytest.raises(UserError, match="12 of 12 images .* 12 colour bars.*--crop auto.*--crop none"):
        stage0_prepare.main(given)
    assert not (tmp_path / "out").exists()
    for _ in range(2):  # the second time all is there
        stage0_prepare.main([*given, "--crop", "auto"])
        placed = sorted((tmp_path / "out").rglob("ID_1/*.png"))
        assert len(placed) == 12
        for path in placed:
            left, top, right, bottom = boxes[int(path.stem)]
            expected = sheets[int(path.stem)][top:bottom, left:right]
            assert (numpy.asarray(Image.open(path)) == expected).all()
        assert (tmp_path / "out/cropped.png").is_file()
    assert "cut 12 figures to their plot areas" in capsys.readouterr().out


def test_split_takes_figures_as_they_are(tmp_path):
    sheets = [Image.fromarray(figure(seed=seed)[0]) for seed in range(12)]
    write(tmp_path / "in", sheets)
    stage0_prepare.main([*split_of(tmp_path), "--crop", "none"])
    assert all(Image.open(path).size == sheets[0].size for path in (tmp_path / "out").rglob("*.png"))


def test_figures_of_one_kind_get_one_area(tmp_path):
    sheets = [Image.fromarray(figure(left=left)[0]) for left in (40, 40, 42, 60)]
    boxes = boxes_of(write(tmp_path, [*sheets, drawn()]))
    lefts = [boxes[f"ID_1/{number}.png"][0] for number in range(4)]
    assert lefts == [40, 40, 40, 60] and "ID_1/4.png" not in boxes
