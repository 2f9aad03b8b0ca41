"""Generated images of any tool: whose each one is, in whichever form, and what cannot be told is refused."""

import json

import numpy
import pytest
from PIL import Image

from configs.errors import UserError
from data.axes import Axes
from data.labels import LabelTable
from data.sheets import save_png
from evaluation.generated import find_generated, together
from sampling.image_sampler import METADATA

PEOPLE = LabelTable(("ID_1", "ID_2", "ID_10"))
IMAGES = ("ID_1 1", "ID_1 2", "ID_2 1", "ID_10 1")


@pytest.fixture
def made(tmp_path):
    """Writes images (by path) and a table, and finds them: users by path."""

    def make(paths, table=None, text=""):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(numpy.full((8, 8, 3), len(path), numpy.uint8)).save(tmp_path / path)
        if table:
            (tmp_path / table).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / table).write_text(text)
        generated = find_generated(tmp_path, PEOPLE)
        assert [generated.folder / path for path in paths if (tmp_path / path).is_file()]
        return generated, {
            record.path.relative_to(tmp_path).as_posix(): record.user for record in generated.records
        }

    return make


FORMS = {
    "stage 3": ("{n}.png", "samples.csv", "file,user", "{n}.png,{user}"),
    "people": ("{user}/{n}.png", None, "", ""),
    "people below": ("out/{user}/step5/{n}.png", None, "", ""),
    "splits of people": ("train/{user}/{n}.png", None, "", ""),
    "csv": ("{n}.png", "metadata.csv", "text,file_name,Label", "a walk,{n}.png,{user}"),
    "csv of images in a folder": (
        "images/{n}.png",
        "metadata.csv",
        "file_name,person",
        "images/{n}.png,{user}",
    ),
    "csv of a split": ("train/{n}.png", "train/metadata.csv", "file_name,person", "{n}.png,{user}"),
    "captions beside people": ("{user}/{n}.png", "metadata.csv", "file_name,text", "{user}/{n}.png,a walk"),
    "jsonl": ("{n}.png", "metadata.jsonl", "", '{{"file_name": "{n}.png", "user": "{user}"}}'),
    "numbers of names": ("{n}.png", "metadata.csv", "file_name,user_id", "{n}.png,{number}"),
    "names before numbers": ("{n}.png", "metadata.csv", "file_name,label,user", "{n}.png,{place},{user}"),
    "folders of numbers": ("train/{number}/{n}.png", None, "", ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_tells_whose_the_images_are(made, form):
    path, table, head, line = FORMS[form]
    known = [
        {
            "n": name.replace(" ", "_"),
            "user": user,
            "number": PEOPLE.number(user),
            "place": 2 - PEOPLE.index(user),
        }
        for name in IMAGES
        for user in [name.split()[0]]
    ]
    lines = [head] * bool(head) + [line.format(**one) for one in known[::-1]]
    generated, users = made([path.format(**one) for one in known], table, "\n".join(lines))
    assert list(users.items()) == [(path.format(**one), one["user"]) for one in known]
    assert [record.relative for record in generated.records] == [
        f"{one['user']}/{one['n']}.png" for one in known
    ]
    assert (generated.axes, generated.selected_by, generated.left_out) == (None, None, {})


def test_places_count_where_names_and_orders_agree(made):
    people = LabelTable(("Ann", "Bob"))
    generated, _ = made(["Ann/1.png", "ID_1/2.png"])
    assert generated.left_out == {"in no folder of a person of --real": ["Ann/1.png"]}
    text = '{"file_name": "Ann/1.png", "label": 0}\n{"file_name": "ID_1/2.png", "label": 1}'
    (generated.folder / "metadata.jsonl").write_text(text)
    assert [record.user for record in find_generated(generated.folder, people).records] == ["Ann", "Bob"]


def test_what_is_not_read_is_counted_and_named(made):
    generated, users = made(
        ["a.png", "micro_doppler_grid.png", "b.png"], "samples.csv", "file,user\na.png,ID_1\n"
    )
    assert users == {"a.png": "ID_1"} and generated.left_out == {"not in the table": ["b.png"]}
    (generated.folder / "notes.txt").touch()
    (generated.folder / "samples.csv").unlink()
    generated, users = made(["ID_2/a.png", "ID_7/c.png"])
    assert users == {"ID_2/a.png": "ID_2"}
    left_out = "1 .txt (notes.txt), 3 in no folder of a person of --real (a.png, "
    assert f"read 1 generated image, left out 4: {left_out}" in generated.account()


def test_what_stage_3_wrote_into_images_is_read_in_every_form(tmp_path):
    metadata = {"selector_training": "abc", **Axes(-1, 5, 2.0, 40.0).known()}
    (tmp_path / "ID_1").mkdir()
    save_png(Image.new("RGB", (8, 8)), tmp_path / "ID_1/a.png", {METADATA: json.dumps(metadata)})
    generated = find_generated(tmp_path, PEOPLE)
    assert (generated.axes, generated.selected_by) == (Axes(-1, 5, 2.0, 40.0), "abc")
    Image.new("RGB", (8, 8)).save(tmp_path / "ID_1/b.png")
    with pytest.raises(UserError, match="selected ones among others"):
        find_generated(tmp_path, PEOPLE)


@pytest.mark.parametrize("table", [None, "samples.csv"])
def test_combinations_that_training_lacks_are_kept_apart(made, tmp_path, table):
    paths = ["ID_1/a.png", "ID_3/b.png", "ID_3/c.png", "nobody/d.png"]
    text = "file,user\n" + "\n".join(f"{path},{path[:4]}" for path in paths[:3])
    if table:
        with pytest.raises(UserError, match="people: ID_3; expected some of"):
            made(paths, table, text)
    else:
        made(paths)
    generated = find_generated(tmp_path, PEOPLE, ("ID_3", "ID_4"))
    assert [record.user for record in generated.records] == ["ID_1"]
    assert [record.relative for record in generated.unrecorded] == ["ID_3/b.png", "ID_3/c.png"]
    assert list(generated.left_out.values()) == [["nobody/d.png"]]
    assert "and 2 of combinations not in training" in generated.account()
    with pytest.raises(UserError, match="people: ID_1, ID_3; expected some of ID_5"):
        find_generated(tmp_path, LabelTable(("ID_5",)), ("ID_1", "ID_3"))  # none that a judge knows


def test_names_that_a_person_has_twice_are_told_by_their_folders(made):
    generated, _ = made(["a/ID_1/1.png", "b/ID_1/1.png", "b/ID_1/2.png"])
    relative = [record.relative for record in generated.records]
    assert relative == ["ID_1/a_ID_1_1.png", "ID_1/b_ID_1_1.png", "ID_1/2.png"]


REFUSED = {
    "nobody known": (["Ann/a.png"], None, "", "1 images in Ann; expected folders named as in --real"),
    "loose images": (["a.png"], None, "", "1 images in no folder"),
    "two people in a path": (["ID_1/ID_2/a.png"], None, "", "lies in folders of ID_1, ID_2"),
    "numbers of two meanings": (
        ["a.png"],
        "metadata.csv",
        "file_name,label\na.png,1",
        "1 is ID_1 by the number",
    ),
    "orders of two meanings": (
        ["a.png", "b.png"],
        "metadata.csv",
        "file_name,label\na.png,0\nb.png,1",
        "1 is ID_2 by the place, ID_10 by the place in plain order; write the people's names",
    ),
    "numbers of no meaning": (
        ["a.png"],
        "metadata.csv",
        "file_name,label\na.png,77",
        "people: 77; expected some",
    ),
    "folders of two meanings": (["1/a.png"], None, "", "folder names: 1 is ID_1 by the number in the name"),
    "a stranger": (
        ["a.png"],
        "metadata.csv",
        "file_name,person\na.png,Ann",
        "people: Ann; expected some of ID_1",
    ),
    "nobody in a row": (
        ["a.png"],
        "metadata.csv",
        "file_name,person,text\na.png,,x\nb.png,ID_1,y",
        "people: nobody",
    ),
    "columns at odds": (["a.png"], "metadata.csv", "file_name,user,label\na.png,ID_1,ID_2", "keep one"),
    "folder at odds": (["ID_1/a.png"], "metadata.csv", "file_name,user\nID_1/a.png,ID_2", "mend the table"),
    "a row twice": (["a.png"], "metadata.csv", "file_name,user\na.png,ID_1\na.png,ID_2", "names a.png twice"),
    "no file_name": (["a.png"], "metadata.csv", "image,user\na.png,ID_1", "its column file_name"),
    "no rows": (["a.png"], "metadata.jsonl", "", "expected a row for each image"),
    "no table": (["a.png"], "metadata.jsonl", "[1]", "not readable as a table"),
    "parquet": (["a.png"], "metadata.parquet", "", "save the table as metadata.csv"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_clear_is_refused(made, case):
    *given, words = REFUSED[case]
    with pytest.raises(UserError) as refused:
        made(*given)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_images_that_a_table_names_must_be_there(made):
    with pytest.raises(FileNotFoundError, match=r"b.png: no such file, though metadata.csv .* \(1 of 2"):
        made(["a.png"], "metadata.csv", "file_name,user\na.png,ID_1\nb.png,ID_1")


def test_trainings_of_one_recipe_are_one_generator(tmp_path):
    for run, axes in enumerate((Axes(-1, 5, 2.0, 40.0), Axes(-1, 5, 2.0, 40.0), Axes(-2, 5, 2.0, 40.0))):
        for person in ("ID_1", "ID_2"):
            (tmp_path / f"run{run}" / person).mkdir(parents=True)
            image = tmp_path / f"run{run}/{person}/a.png"
            save_png(Image.new("RGB", (8, 8)), image, {METADATA: json.dumps(axes.known())})
    runs = [find_generated(tmp_path / f"run{run}", PEOPLE) for run in range(3)]
    generator = together(runs[:2], PEOPLE)
    wanted = ["ID_1/run0_a.png", "ID_1/run1_a.png", "ID_2/run0_a.png", "ID_2/run1_a.png"]
    assert [record.relative for record in generator.records] == wanted and generator.runs == (0, 1, 0, 1)
    assert generator.axes == runs[0].axes and together(runs[:1], PEOPLE) == runs[0]
    with pytest.raises(UserError, match="expected one kind of axes"):
        together(runs, PEOPLE)
    chosen = runs[1]._replace(selected_by="abc")
    with pytest.raises(UserError, match="of one name with .*run1, but selected by other judges"):
        together([runs[0], chosen], PEOPLE)
