"""What a study is known by."""

from evaluation.study import told_stages


def test_the_stages_are_told_by_what_decides_their_images(tmp_path):
    preset = tmp_path / "a.yaml"
    preset.write_text("train: {max_steps: 3}\n")
    given = ["--config", str(preset), "train.max_steps=5", "train.log_every=1", "--debug"]
    told = told_stages(given)
    assert told.split()[1:] == ["train.max_steps=5"]
    moved = preset.rename(tmp_path / "b.yaml")
    assert told_stages(["--config", str(moved), "train.max_steps=5"]) == told
    moved.write_text("train: {max_steps: 4}\n")
    assert told_stages(["--config", str(moved), "train.max_steps=5"]) != told
