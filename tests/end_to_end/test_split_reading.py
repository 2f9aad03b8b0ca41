"""Split reads every image before it divides them: bad ones are named with the command that goes on."""

import shlex

from drawn_walks import drawn
from toy_run import names, output_of, refusal_of

import stage0_prepare


def test_unreadable_images_and_people_of_whom_nothing_is_left(tmp_path):
    for number in range(36):
        path = tmp_path / f"in/ID_{number // 12 + 1}/{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn(seed=number).save(path)
        if number == 3 or number >= 24:
            path.write_bytes(path.read_bytes()[:200] if number % 2 else b"")
    given = "split", "--input_dir", tmp_path / "in", "--output_dir", tmp_path / "out"
    text = refusal_of(stage0_prepare.main, *given, unchanged=tmp_path)
    assert "13 images cannot be read: ID_1/03.png: cannot be decoded" in text
    flags = shlex.split(text.rpartition("go on without them by ")[2])
    assert flags == ["--leave_out", "ID_3/*", "ID_1/03.png"]
    said = output_of(stage0_prepare.main, *given, *flags)
    assert "left out 13" in said and not [name for name in names(tmp_path / "out", "*.png") if "ID_3" in name]
