"""Public data sets in their own layouts, written from simulated walkers: whose each image is, its axes and
its velocities are the truth; what a set does not tell is refused.
"""

import shutil

import numpy
import public_layouts
import pytest
from fmcw_walker import walking
from PIL import Image
from tables import rows_of
from toy_run import output_of, refusal_of

import stage0_prepare
from configs.schema import PUBLIC_SETS
from data.folders import Rules
from data.images import find_images
from preparation.public_sets import SETS
from radar.colormap import from_rgb

MAP = ("--velocity_range", *public_layouts.SHOWN_MPS, "--duration", public_layouts.MAP_S)
GIVEN = {
    "glasgow": (),
    "idrad": ("--burst_period", 0.2),
    "mmrgait": MAP,
    "mvdoppler": (*MAP, "--scale", "amplitude", "--leave_out", "*_radar1.h5"),
    "sense2gol": (),
}
# Of each set two recordings: the folder of their images, and their groups.
WHOSE = {
    "glasgow": {
        "1 December 2017 Dataset/1P36A01R01.dat": "C1P36_walking "
        "person:C1P36 condition:walking recording:1 session:1",
        "6 February 2019 NG Homes Dataset/Room 1/4P36A04R2.dat": "C6P36_picking "
        "person:C6P36 condition:picking recording:2 session:6",
    },
    "idrad": {
        "train/target1_001.hdf5": "target1 person:target1 recording:001 session:train",
        "valid/target2_012.hdf5": "target2 person:target2 recording:012 session:valid",
    },
    "mmrgait": {
        "001/NM-01/001-NM-01-000.MAT": "P001_normal person:P001 condition:normal recording:01-000 view:000",
        "121/BG-02/121-BG-02-315.MAT": "P121_bag person:P121 condition:bag recording:02-315 view:315",
    },
    "mvdoppler": {
        "normal_00000": "P0_normal person:P0 condition:normal recording:exp_0 view:radar0",
        "phone_call_00001": "P0_phonecall person:P0 condition:phonecall recording:exp_0 view:radar0",
    },
    "sense2gol": {
        "220110/220110_2_0_15": "P2_walk person:P2 condition:walk recording:15 day:220110",
        "211130/211130_0_1_1": "P0_run person:P0 condition:run recording:1 day:211130",
    },
}
RANGES = {"glasgow": (-6, 6), "idrad": (-3.8, 3.8), "sense2gol": (-9.31, 9.31)}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Folder and walks of a set, written once."""
    kept = {}

    def write(name):
        if name not in kept:
            root = tmp_path_factory.mktemp(name)
            seconds = 2.6 if name == "idrad" else 3.5
            speeds = dict(zip(WHOSE[name], (1.3, 1.0)))
            walks = {path: walking(seconds, speed) for path, speed in speeds.items()}
            getattr(public_layouts, name)(root, walks)
            kept[name] = root, walks
        return kept[name]

    return write


def seen_mps(image, row):
    """The velocity of the brightest cell of each column, the middle one."""
    unit = from_rgb(numpy.asarray(Image.open(image)), "jet")
    high, low = float(row["highest_mps"]), float(row["lowest_mps"])
    return float(numpy.median(high - (unit.argmax(0) + 0.5) / len(unit) * (high - low)))


@pytest.mark.parametrize("name", WHOSE)
def test_a_set_as_it_is_published(name, published, tmp_path):
    root, walks = published(name)
    entries = {path: words.split() for path, words in WHOSE[name].items()}
    folders = {path: folder for path, (folder, *_) in entries.items()}
    said = output_of(
        stage0_prepare.main, "import", name, "--input", root, "--output_dir", tmp_path / "raw", *GIVEN[name]
    )
    assert all(word in said for word in (SETS[name].title, SETS[name].citation, SETS[name].licence))
    axes, labels = rows_of(tmp_path / "raw/axes.csv"), rows_of(tmp_path / "raw/labels.csv")
    assert [row["path"] for row in axes] == [row["file"] for row in labels]
    expected = {folder: dict(word.split(":") for word in groups) for folder, *groups in entries.values()}
    assert {row["file"].partition("/")[0] for row in labels} == set(expected)
    low, high = RANGES.get(name, public_layouts.SHOWN_MPS)
    for row, label in zip(axes, labels):
        person, _, file = label.pop("file").partition("/")
        assert label == expected[person]
        assert float(row["lowest_mps"]) == pytest.approx(low, abs=0.08)
        assert float(row["highest_mps"]) == pytest.approx(high, abs=0.08)
        moved = walks[next(path for path in folders if folders[path] == person)]
        inside = (moved.time_s > float(row["start_s"])) & (moved.time_s < float(row["end_s"]))
        truth = moved.torso_velocity_mps[inside].mean()
        assert seen_mps(tmp_path / "raw" / person / file, row) == pytest.approx(truth, abs=0.15)
    listing = find_images(tmp_path / "raw", Rules())
    assert set(listing.labels.names) == set(expected) and not listing.left_out


def test_the_second_radar_of_mvdoppler_is_another_view(published, tmp_path):
    root, walks = published("mvdoppler")
    arguments = ("import", "mvdoppler", "--input", root, "--output_dir", tmp_path / "raw", *MAP)
    output_of(stage0_prepare.main, *arguments, "--scale", "amplitude")
    axes, labels = rows_of(tmp_path / "raw/axes.csv"), rows_of(tmp_path / "raw/labels.csv")
    assert len(labels) == 4 and {row["recording"] for row in labels} == {"exp_0"}
    seen = {
        (row["condition"], row["view"]): seen_mps(tmp_path / "raw" / axis["path"], axis)
        for row, axis in zip(labels, axes)
    }
    for condition in ("normal", "phonecall"):
        assert seen[condition, "radar1"] == pytest.approx(seen[condition, "radar0"] / 2, abs=0.1)


# Refusals


def refused(root, name, *given):
    out = root.parent / "out"
    return refusal_of(
        stage0_prepare.main, "import", name, "--input", root, "--output_dir", out, *given, unchanged=root
    )


def test_the_sets_are_those_of_the_schema_and_listed(capsys):
    assert tuple(SETS) == PUBLIC_SETS
    with pytest.raises(SystemExit, match="0"):
        stage0_prepare.main(["import", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"One of {', '.join(PUBLIC_SETS)}." in said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("other",), "import.public_set=['other']: expected one of glasgow, idrad"),
        ((), "import: expected one set (glasgow | idrad"),
        (("glasgow", "idrad"), "expected one set (glasgow | idrad | mmrgait | mvdoppler | sense2gol), got"),
        (("idrad",), "import idrad requires --burst_period: its files do not state it"),
        (("mmrgait",), "import mmrgait requires --velocity_range, --duration"),
        (("mvdoppler", *MAP), "import mvdoppler requires --scale"),
        (("glasgow", "--velocity_range", 3), "import.velocity_range=[3.0]: expected two or none"),
    ],
)
def test_what_must_be_said(names, said, tmp_path):
    folders = ("--input", tmp_path, "--output_dir", tmp_path / "out")
    assert said in refusal_of(stage0_prepare.main, "import", *names, *folders, unchanged=tmp_path)


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("glasgow", "5 February 2019 UoG Dataset/notes.txt", "holds no file like 1 December 2017 Dataset"),
        ("glasgow", "1P36A01R01.dat", "1P36A01R01.dat: no name of this set"),
        ("glasgow", "1 December 2017 Dataset/1P36A02R01.dat", "go on without them by --leave_out '1 Dec"),
        ("glasgow", "1 December 2017 Dataset/1P36A01R01 - Copy.dat", "expected one like"),
        ("sense2gol", "220110/220110_2_7_15_RE.txt", "no name of this set"),
        ("mmrgait", "001/NM-01/001-XX-01-000.MAT", "no name of this set"),
        ("idrad", "train/target1.hdf5", "no name of this set"),
    ],
)
def test_names_that_tell_nobody(name, path, said, tmp_path):
    root = tmp_path / "a"
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text("nothing\n")
    given = {"idrad": ("--burst_period", 0.2), "mmrgait": MAP}.get(name, ())
    assert said in refused(root, name, *given)


@pytest.mark.parametrize(
    ("name", "arrays", "said"),
    [
        ("idrad", {"microdoppler": numpy.ones((9, 256))}, "no data set radar, found microdoppler"),
        ("idrad", {"radar": numpy.ones((9, 256 * 255))}, "expected frames of 256 chirps of 256 samples"),
        ("mvdoppler", {"radar_dat": numpy.ones((128, 256))}, "expected radar_dat (velocity, time, 2)"),
    ],
)
def test_hdf5_of_another_kind(name, arrays, said, published, tmp_path):
    root = shutil.copytree(published(name)[0], tmp_path / "a")
    path = sorted(root.rglob("*.h*5"))[0]
    public_layouts.write_hdf5(path, **arrays)
    text = refused(root, name, *GIVEN[name])
    assert said in text and str(path) in text
    path.write_bytes(b"nothing")
    assert f"{path}: cannot be read as" in refused(root, name, *GIVEN[name])


def test_the_table_of_mvdoppler(published, tmp_path):
    root = shutil.copytree(published("mvdoppler")[0], tmp_path / "a")
    table, given = root / "Labels_and_metadata/design_table.csv", GIVEN["mvdoppler"]
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], lines[1].replace("normal_00000", "gone_00003")]))
    said = output_of(
        stage0_prepare.main, "import", "mvdoppler", "--input", root, "--output_dir", tmp_path / "b", *given
    )
    assert "read 1 recording, left out" in said and "1 not in the table (Data/phone_call_00001.h5)" in said
    assert "1 in the table but not there (gone_00003)" in said
    assert "leaves nothing; give fewer patterns" in refused(root, "mvdoppler", *given, "P0_normal/*")
    table.write_text("\n".join([*lines, lines[1]]))
    assert f"{table}: names normal_00000 twice; keep one row" in refused(root, "mvdoppler", *given)
    table.write_text("\n".join([lines[0], lines[1].replace("normal_00000", "gone_00003")]))
    assert "names none of the 2 files, like Data/normal_00000.h5" in refused(root, "mvdoppler", *given)
    table.write_text("fname,subject\nnormal_00000,1\n")
    assert f"{table}: expected columns fname, subject, pattern" in refused(root, "mvdoppler", *given)
    table.unlink()
    assert "0 files design_table.csv; expected one" in refused(root, "mvdoppler", *given)
