"""JSON that others may have written: values, and one kind of error for whatever is none."""

import pytest
from conftest import PROJECT
from project_files import sources

from configs.json_text import parse_json


def test_it_reads_what_json_says():
    assert parse_json('{"a": [1, 2.5, null, "é"]}') == {"a": [1, 2.5, None, "é"]}


@pytest.mark.parametrize("text", ["", "{", "[1,]", "\x00", b"\xff\xfe", "[" * 100_000, '{"a":' * 100_000])
def test_whatever_else_it_is_ends_in_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_no_other_module_reads_json_on_its_own():
    module = "configs/json_text.py"
    texts = {path.as_posix(): (PROJECT / path).read_text(encoding="utf-8") for path in sources()}
    assert "json.loads(" in texts.pop(module)
    assert [path for path, text in texts.items() if "json.load(" in text or "json.loads(" in text] == []
