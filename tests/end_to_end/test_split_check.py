"""Every command that reads a finished split refuses, in the same words, what is no split of images alone."""

import shutil

import pytest
from drawn_walks import figure
from PIL import Image
from test_every_command import command, made  # noqa: F401 (a fixture)
from toy_run import output_of, refusal_of

READERS = {
    "extract": "--data_dir",
    "tokenizer": "--data_dir",
    "evaluate": "--real",
    "judge": "--real",
    "sweep": "--real",
    "study": "--real",
}


@pytest.fixture(scope="module")
def leaking(made, tmp_path_factory):  # noqa: F811
    """A training image of ID_1 lies in val, too, as JPEG under another name."""
    folder = shutil.copytree(made / "real", tmp_path_factory.mktemp("leaking") / "real")
    source = next((folder / "train/ID_1").iterdir())
    Image.open(source).save(folder / "val/ID_1/other.jpg", quality=90)
    return folder


@pytest.fixture(scope="module")
def figures(made, tmp_path_factory):  # noqa: F811
    """A held-out image of ID_2 is a figure with axes."""
    folder = shutil.copytree(made / "real", tmp_path_factory.mktemp("figures") / "real")
    Image.fromarray(figure()[0]).save(folder / "val/ID_2/figure.png")
    return folder


@pytest.mark.parametrize("section", READERS)
def test_a_leak_is_refused(section, toy, made, leaking, tmp_path):  # noqa: F811
    main, arguments = command(section, toy, made, tmp_path / "out")
    said = refusal_of(main, *arguments, READERS[section], leaking, unchanged=tmp_path)
    assert "1 of 19 held-out images are training images too" in said and "ID_1/other.jpg = ID_1/" in said


@pytest.mark.parametrize("section", READERS)
def test_a_figure_is_refused(section, toy, made, figures, tmp_path):  # noqa: F811
    main, arguments = command(section, toy, made, tmp_path / "out")
    said = refusal_of(main, *arguments, READERS[section], figures, unchanged=tmp_path)
    assert "1 of 37 images looked at, like ID_2/figure.png, are figures with margins" in said
    kept = output_of(main, *arguments, READERS[section], figures, "--margins", "keep", "--dry_run")
    assert "margins: around 1" in kept
