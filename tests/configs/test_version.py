"""One version: that of the changelog's newest entry."""

import re
from pathlib import Path

from configs.version import VERSION

CHANGES = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


def test_the_changelog_begins_with_the_version():
    versions = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", CHANGES.read_text(encoding="utf-8"), re.M)
    assert versions[0] == VERSION
    numbers = [[int(part) for part in version.split(".")] for version in versions]
    assert numbers == sorted(numbers, reverse=True)
