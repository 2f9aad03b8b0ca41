"""The names of several generators."""

from pathlib import Path

import pytest

from configs.errors import UserError
from evaluation.folders import named_folders


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["out/images"], ["generated"]),
        (["gan=out/images"], ["generated"]),
        (["x/ours", "x/gan"], ["ours", "gan"]),
        (["run1/images", "run2/images", "run3/other"], ["run1", "run2", "run3"]),
        (["x/a/images", "y/a/images", "y/b/images"], None),
        (["a=x/images", "y/images", "gan"], ["a", "images", "gan"]),
        (["a=x/1", "gan", "a=x/2"], ["a", "gan"]),
        (["a=x/1", "a=x/2"], ["generated"]),
    ],
)
def test_generators_are_named_by_what_tells_their_folders_apart(given, names):
    folders = named_folders(given)
    asked = [Path(text.split("=")[-1]) for text in given]
    assert sorted(sum(folders.values(), [])) == sorted(asked) and len(folders) == len(names or given)
    if names:
        assert list(folders) == names
    else:
        assert len(set(folders)) == 3 and all(name.endswith("images") for name in folders)


@pytest.mark.parametrize("name", ["real", "..", "a/b", ".hidden", "a\n"])
def test_a_name_that_can_be_no_folder_is_refused(name):
    with pytest.raises(UserError, match="can be no generator's name"):
        named_folders([f"{name}=x", "y"])
