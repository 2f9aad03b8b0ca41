"""What a study is known by."""

import pytest

from evaluation.study import model_digest, told_stages
from evaluation.study_designs import Fold


def test_the_stages_are_told_by_what_decides_their_images(tmp_path):
    preset = tmp_path / "a.yaml"
    preset.write_text("train: {max_steps: 3}\n")
    given = ["--config", str(preset), "train.max_steps=5", "train.log_every=1", "--debug"]
    stages = told_stages(given)
    assert stages.split()[1:] == ["train.max_steps=5"]
    moved = preset.rename(tmp_path / "b.yaml")
    assert told_stages(["--config", str(moved), "train.max_steps=5"]) == stages
    moved.write_text("train: {max_steps: 4}\n")
    assert told_stages(["--config", str(moved), "train.max_steps=5"]) != stages


def test_a_model_of_references_draws_only_folders_that_it_is_shown():
    fold = Fold("backpack", [], [], [], [], (), ("ID_2_backpack",), 3)
    with pytest.raises(
        ValueError, match="draws whom it is shown, and fold backpack has no images of ID_2_backpack"
    ):
        model_digest("references", [fold])
