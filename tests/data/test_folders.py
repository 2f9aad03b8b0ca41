"""Whose file is it? By folder, by name, by table; what is not read is counted, and nobody is lost."""

import csv
import os
import shlex

import pytest

from configs.errors import UserError
from data.folders import BY_FOLDER, Rules, find_files
from data.tree import account, leave_out_flag, split_folders, split_word

PNG = (".png",)


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def users(folder, rules=BY_FOLDER):
    return {record.relative: record.user for record in find_files(folder, PNG, "image", rules).records}


def groups(folder, rules):
    records = find_files(folder, PNG, "image", rules).records
    return {record.relative: dict(record.groups) for record in records}


def refusal(folder, rules=BY_FOLDER, match="."):
    with pytest.raises(UserError, match=match) as error:
        find_files(folder, PNG, "image", rules)
    assert "\n" not in str(error.value)
    return str(error.value)


# Trees


def test_what_is_not_read_is_counted_by_reason(tmp_path):
    made(
        tmp_path,
        "ID_1/a.png",
        "ID_1/a.txt",
        "ID_1/Thumbs.db",
        "ID_1/.DS_Store",
        "ID_2/b.png",
        "loose.png",
        "__MACOSX/ID_1/._a.png",
        "ID_2/session2/c.png",
        "axes.csv",
        "notes.md",
    )
    files = find_files(tmp_path, PNG, "image", Rules(leave_out=["*/session2/*"]))
    assert [record.relative for record in files.records] == ["ID_1/a.png", "ID_2/b.png"]
    assert {reason: len(paths) for reason, paths in files.left_out.items()} == {
        ".txt": 1,
        "hidden or of the system": 3,
        "by --leave_out": 1,
        ".md": 1,
        "in no person's folder": 1,
    }
    text = account(2, "image", files.left_out)
    assert text.startswith("read 2 images, left out 7: ") and "1 .txt (ID_1/a.txt)" in text
    assert account(1, "recording", {}) == "read 1 recording, left out 0"


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("ID_3/a.psd",), "ID_3"),
        (("ID_3/deep/a.bin", "ID_4/x.txt"), "ID_3, ID_4"),
        (("ID_10/notes.txt",), "ID_10"),
    ],
)
def test_a_person_of_whom_nothing_is_read_is_refused(tmp_path, names, missing):
    made(tmp_path, "ID_1/a.png", *names)
    text = refusal(tmp_path, match=f"no image of {missing} can be read.*--leave_out 'ID_")
    patterns = text.partition("--leave_out ")[2].replace("'", "").split()
    assert users(tmp_path, Rules(leave_out=patterns)) == {"ID_1/a.png": "ID_1"}


def test_an_empty_folder_is_a_missing_person(tmp_path):
    made(tmp_path, "ID_1/a.png")
    (tmp_path / "ID_2/deep").mkdir(parents=True)
    refusal(tmp_path, match="no image of ID_2 can be read")
    assert users(tmp_path, Rules(leave_out=["ID_2/*"]))


def test_a_person_is_left_out_by_name_alone(tmp_path):
    made(tmp_path, "ID_1/a.png", "ID_3/b.png", "ID_3/deep/c.png", "ID_33/d.png")
    assert set(users(tmp_path, Rules(leave_out=["ID_3"]))) == {"ID_1/a.png", "ID_33/d.png"}


def test_a_pattern_that_finds_nothing_is_told(tmp_path, capsys):
    made(tmp_path, "ID_1/a.png", "ID_2/b.png", "ID_3/c.png")
    (tmp_path / "ID_4").mkdir()
    assert len(users(tmp_path, Rules(leave_out=["ID_3", "b.png", "ID_2/*", "ID_4/*", "ID_9", "*.mat"]))) == 1
    assert capsys.readouterr().out == f"warning: --leave_out 'ID_9' '*.mat': finds nothing in {tmp_path}\n"


def test_a_pattern_may_find_people_and_files_of_a_table(tmp_path, capsys):
    made(tmp_path / "raw", "a.png", "b.png", "c.png")
    rows = "file,person,condition\na.png,P1,walk\nb.png,P2,walk\nc.png,P2,run\ngone.png,P3,walk\n"
    (tmp_path / "raw/labels.csv").write_text(rows)
    assert users(tmp_path / "raw", Rules(leave_out=["P2", "gone.png"])) == {"a.png": "P1_walk"}
    assert users(tmp_path / "raw", Rules(leave_out=["P2_run/*", "gone.png"])).keys() == {"a.png", "b.png"}
    assert not capsys.readouterr().out


def test_what_waits_for_ever_when_opened_is_no_image(tmp_path):
    made(tmp_path, "ID_1/a.png", "ID_2/notes.txt")
    os.mkfifo(tmp_path / "ID_1/b.png")
    files = find_files(tmp_path, PNG, "image", Rules(leave_out=["ID_2/*"]))
    assert [record.relative for record in files.records] == ["ID_1/a.png"]
    assert files.left_out["queue, socket or device"] == ["ID_1/b.png"]
    os.mkfifo(tmp_path / "ID_2/c.png")
    refusal(tmp_path, match="no image of ID_2 can be read")


def test_links_are_followed_and_dead_ones_refused(tmp_path):
    made(tmp_path / "far", "x/a.png", "b.png")
    folder = made(tmp_path / "in", "ID_1/a.png")
    (folder / "ID_2").symlink_to(tmp_path / "far/x")
    (folder / "ID_1/b.png").symlink_to(tmp_path / "far/b.png")
    (folder / "ID_1/again").symlink_to(folder)
    files = find_files(folder, PNG, "image")
    assert [record.relative for record in files.records] == ["ID_1/a.png", "ID_1/b.png", "ID_2/a.png"]
    assert files.left_out == {"link to its own tree": ["ID_1/again"]}
    (tmp_path / "far/b.png").unlink()
    refusal(folder, match="1 links lead nowhere: ID_1/b.png .to .*far/b.png.*--leave_out 'ID_1/b.png'")
    assert len(find_files(folder, PNG, "image", dead_links=True).records) == 3
    (tmp_path / "far/x").rename(tmp_path / "far/y")  # the whole person is gone
    refusal(folder, Rules(leave_out=["b.png"]), match="no image of ID_2 can be read")
    assert users(folder, Rules(leave_out=["b.png", "ID_2/*"])) == {"ID_1/a.png": "ID_1"}


def test_folders_that_may_not_be_read_are_no_empty_ones(tmp_path, monkeypatch):
    made(tmp_path, "ID_1/a.png", "ID_2/a.png")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("ID_2"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="ID_2"):
        find_files(tmp_path, PNG, "image")


def test_deeper_folders_are_read_where_the_person_is_clear(tmp_path):
    made(tmp_path / "a", "ID_1/x.png", "ID_1/session2/x.png", "ID_2/walk/s1/x.png")
    records = find_files(tmp_path / "a", PNG, "image").records
    assert [(record.user, record.name) for record in records] == [
        ("ID_1", "session2_x.png"),
        ("ID_1", "x.png"),
        ("ID_2", "walk_s1_x.png"),
    ]
    made(tmp_path / "a", "ID_1/session2_x.png")
    refusal(tmp_path / "a", match="would get one name, session2_x.png")


@pytest.mark.parametrize(
    "names",
    [
        ("walk/P1/t.png", "walk/P2/t.png", "run/P1/t.png"),
        ("A01/P01/t.png", "A02/P01/t.png"),
        ("P1/day1/t.png", "P2/day1/t.png"),
        ("siteA/P1/t.png", "siteB/P2/t.png"),
        ("walk/x.png", "run/P1/t.png"),
    ],
)
def test_trees_of_two_meanings_ask_which_folder_is_the_person(tmp_path, names):
    made(tmp_path, *names)
    text = refusal(tmp_path, match="which folder of .* is the person")
    first, second = (part.split("'")[1] for part in text.split("--name ")[1:])
    assert set(users(tmp_path, Rules(name=first)).values()) == {name.split("/")[0] for name in names}
    if all(name.count("/") == 2 for name in names):
        expected = {"_".join(name.split("/")[1::-1]) for name in names}
        assert set(users(tmp_path, Rules(name=second)).values()) == expected


# Names


def test_names_tell_person_condition_recording_and_day(tmp_path):
    made(tmp_path, "220110/220110_2_walk_15.png", "220110/220110_0_run_1.png", "211130/211130_2_walk_15.png")
    name = r"(?P<day>\d+)_(?P<person>\d)_(?P<condition>[a-z]+)_(?P<recording>\d+)"
    fields = groups(tmp_path, Rules(name=name))
    assert fields["220110/220110_2_walk_15.png"] == {
        "day": "220110",
        "person": "2",
        "condition": "walk",
        "recording": "15",
    }
    assert users(tmp_path, Rules(name=name)) == {
        "220110/220110_0_run_1.png": "0_run",
        "211130/211130_2_walk_15.png": "2_walk",
        "220110/220110_2_walk_15.png": "2_walk",
    }
    names = [record.name for record in find_files(tmp_path, PNG, "image", Rules(name=name)).records]
    assert len(set(names)) == 3 and "220110_220110_2_walk_15.png" in names


def test_irregular_names_are_listed_and_repaired_by_a_table_alone(tmp_path):
    regular = [f"cough/cough_0{k}_{person}_doppler.png" for k in (1, 2) for person in "ABDE"]
    irregular = ["cough/cough_031_Draw_doppler.png", "fall/fall_048_E0_doppler.png", "fall/fall_x.png"]
    made(tmp_path / "in", *regular, *irregular)
    name = "(?P<condition>[a-z]+)_[0-9]+_(?P<person>[A-G])"
    text = refusal(tmp_path / "in", Rules(name=name), match="does not tell whose .*--labels.*--leave_out")
    assert all(path in text for path in irregular) and regular[0] not in text
    with open(tmp_path / "repair.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["file", "person", "condition"],
                ["cough_031_Draw_doppler.png", "D", "cough"],
                ["fall_048_E0_doppler.png", "E", "fall"],
            ]
        )
    both = Rules(name, str(tmp_path / "repair.csv"))
    text = refusal(tmp_path / "in", both)
    assert irregular[2] in text and irregular[0] not in text
    whole = users(tmp_path / "in", Rules(name, str(tmp_path / "repair.csv"), ["fall_x.png"]))
    assert whole[irregular[0]] == "D_cough" and whole[irregular[1]] == "E_fall" and len(whole) == 10


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("P(", "not a regular expression"),
        (r"P(\d)", "tells no person"),
        (r"P(?P<person>\d)", "does not tell whose"),
        (r"(?P<person>Q\d+)", "does not tell whose"),
    ],
)
def test_expressions_that_cannot_be_meant(tmp_path, name, words):
    made(tmp_path, "1P01A01R01.png", "1P02A01R01.png")
    refusal(tmp_path, Rules(name=name), match=words)
    assert set(users(tmp_path, Rules(name=r"(?P<person>P\d+)")).values()) == {"P01", "P02"}


def test_the_name_of_an_unread_file_tells_a_missing_person(tmp_path):
    made(tmp_path, "P1_a.png", "P2_a.psd")
    name = r"(?P<person>P\d+)_"
    refusal(tmp_path, Rules(name=name), match="no image of P2 can be read.*--leave_out 'P2/.'")
    assert users(tmp_path, Rules(name=name, leave_out=["P2/*"])) == {"P1_a.png": "P1"}


# Tables


def table(folder, *rows, name="people.csv", delimiter=",", encoding="utf-8"):
    text = "\n".join(delimiter.join(row) for row in rows)
    (folder / name).write_text(text + "\n", encoding=encoding)
    return Rules(labels=str(folder / name))


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")])
def test_a_table_tells_the_people(tmp_path, delimiter, encoding):
    made(tmp_path / "in", "images/1.png", "images/2.png", "images/10.png", "more/10.png", "x.png")
    rules = table(
        tmp_path,
        ("Path", "User", "room"),
        ("1.png", "Jörg", "a"),
        ("2", "Ann", "b"),
        ("images/10.png", "Ann", ""),
        delimiter=delimiter,
        encoding=encoding,
    )
    refusal(tmp_path / "in", rules, match="no image of more can be read")  # the table knows no file of it
    rules = Rules(labels=rules.labels, leave_out=["more/*"])
    assert users(tmp_path / "in", rules) == {
        "images/1.png": "Jörg",
        "images/2.png": "Ann",
        "images/10.png": "Ann",
    }
    assert groups(tmp_path / "in", rules)["images/1.png"] == {"person": "Jörg", "room": "a"}
    assert find_files(tmp_path / "in", PNG, "image", rules).left_out["not in the table"] == ["x.png"]


def test_labels_beside_the_images_are_read_without_a_flag(tmp_path):
    made(tmp_path, "images/img_1.png", "images/img_2.png")
    table(tmp_path, ("img_1.png", "1"), ("img_2.png", "2"), name="labels.csv")
    assert users(tmp_path) == {"images/img_1.png": "1", "images/img_2.png": "2"}
    (tmp_path / "labels.csv").rename(tmp_path / "annotations.csv")
    refusal(tmp_path, match="annotations.csv lies beside the only folder.*--labels .*annotations.csv")
    assert users(tmp_path, Rules(labels=str(tmp_path / "annotations.csv")))["images/img_2.png"] == "2"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((("name", "who"), ("a.png", "1")), "expected a header with file and person"),
        ((("file", "person"), ("a.png", "1"), ("a.png", "2")), "names a.png twice"),
        ((("file", "person"), ("b.png", "1")), "may be ID_1/b.png, ID_2/b.png; write the path"),
        ((("file", "person"), ("a.png", "")), "rows 1 without a file or a person"),
        ((("file", "person"), ("zzz.png", "1")), "names none of the 3 files"),
        ((("file", "person"), ("a.png", "1"), ("gone.png", "Eve")), "no image of Eve, ID_2 can be read"),
        ((("file", "person"), ("a.png", "../x")), "can be no part of a folder's name"),
        ((("file", "person", "condition"), ("a.png", "P_1", "x"), ("ID_2/b.png", "P", "1_x")), "would share"),
    ],
)
def test_tables_that_cannot_be_meant(tmp_path, rows, words):
    made(tmp_path / "in", "ID_1/a.png", "ID_1/b.png", "ID_2/b.png")
    refusal(tmp_path / "in", table(tmp_path, *rows), match=words)


def test_a_table_beside_the_images_that_name_goes_before_is_told(tmp_path):
    made(tmp_path, "7/a.png")
    (tmp_path / "labels.csv").write_text("file,person\n7/a.png,9\n")
    files = find_files(tmp_path, PNG, "image", Rules(name="^(?P<person>[0-9]+)/"))
    assert [record.user for record in files.records] == ["7"]
    assert files.left_out == {"table passed over for --name": ["labels.csv"]}


def test_rows_without_their_file_are_counted(tmp_path):
    made(tmp_path / "in", "a.png")
    rules = table(tmp_path, ("file", "person"), ("a.png", "1"), ("gone.png", "1"))
    left_out = find_files(tmp_path / "in", PNG, "image", rules).left_out
    assert left_out == {"in the table but not there": ["gone.png"]}
    with pytest.raises(FileNotFoundError, match="--labels .*absent.csv: no such file"):
        find_files(tmp_path / "in", PNG, "image", Rules(labels=str(tmp_path / "absent.csv")))


# Splits


@pytest.mark.parametrize(
    "names", [("Train", "Val"), ("train", "valid", "test"), ("TRAINING", "Validation", "Testing")]
)
def test_parts_are_known_in_any_case(tmp_path, names):
    for name in (*names, "extra", ".cache"):
        (tmp_path / name).mkdir()
    parts, left_out = split_folders(tmp_path)
    assert [path.name for path in parts.values()] == list(names)
    assert list(parts) == ["train", "val", "test"][: len(names)]
    assert left_out == {"folder of no split": ["extra"], "hidden or of the system": [".cache"]}
    (tmp_path / "dev-val").mkdir()
    (tmp_path / "VALID").mkdir()
    with pytest.raises(UserError, match="are both val"):
        split_folders(tmp_path)


def test_what_other_systems_hide_is_counted_and_archives_are_refused(tmp_path):
    made(tmp_path, "ID_1/a.png", "#recycle/a.png", "ID_1/~$a.png", "@eaDir/b.png", "FOUND.000/x.png")
    files = find_files(tmp_path, PNG, "image")
    assert len(files.records) == 1 and len(files.left_out["hidden or of the system"]) == 4
    made(tmp_path, "ID_2.zip", "ID_3.TAR.GZ")
    text = refusal(tmp_path, match="ID_2.zip, ID_3.TAR.GZ: archives are not read")
    patterns = text.partition("--leave_out ")[2].replace("'", "").split()
    assert users(tmp_path, Rules(leave_out=patterns)) == {"ID_1/a.png": "ID_1"}


@pytest.mark.parametrize("column", ["subject_id", "Participant", "user id", "personID"])
def test_tables_name_people_in_usual_columns_and_paths_of_other_machines(tmp_path, column):
    made(tmp_path, "x/a.png", "x/b.png")
    (tmp_path / "labels.csv").write_text(f"file,{column}\n/home/ann/data/x/a.png,7\nD:\\x\\b.png,8\n")
    assert users(tmp_path) == {"x/a.png": "7", "x/b.png": "8"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Train_set", "train"),
        ("valset", "val"),
        ("dev", "val"),
        ("test-data", "test"),
        ("eval", None),
        ("set", None),
    ],
)
def test_the_parts_of_a_split_have_many_names(name, part):
    assert split_word(name) == part


def test_the_way_out_of_dead_links_names_them_all(tmp_path):
    folder = made(tmp_path / "in", "ID_1/a.png", "ID_3/b.png")
    for name in ("ID_1/x.png", "ID_2/y.png", "ID_2/z.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to("/nowhere")
    flags = shlex.split(refusal(folder, match="3 links lead nowhere").rpartition("without them by ")[2])
    assert flags == ["--leave_out", "ID_2/*", "ID_1/x.png"]
    assert set(users(folder, Rules(leave_out=flags[1:]))) == {"ID_1/a.png", "ID_3/b.png"}


def test_a_flag_of_many_patterns_is_cut():
    flag = leave_out_flag(["a"], map(str, range(30)))
    assert flag.startswith("--leave_out 'a/*' '0' '1'") and flag.endswith("'18' ... (31 in all)")
