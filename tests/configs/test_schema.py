"""Every key is described, has a default that its own rules allow, and refuses what they do not."""

import math
from dataclasses import MISSING, fields
from typing import get_type_hints

import pytest
from omegaconf import MISSING as REQUIRED

from configs.errors import UserError
from configs.keys import check_ranges, default_of, identity, idle_keys
from configs.load import resolve, split_override
from configs.schema import SECTIONS

KEYS = [(section, item) for section, cls in SECTIONS.items() for item in fields(cls)]
NAMES = [f"{section}.{item.name}" for section, item in KEYS]
SCHEMA = {(section, item.name): item for section, item in KEYS}
TYPES = {section: get_type_hints(cls) for section, cls in SECTIONS.items()}
REQUIRED_KEYS = {
    section: {
        item.name: 7.0 if TYPES[section][item.name] is float else (*item.metadata["choices"], "somewhere")[0]
        for item in fields(cls)
        if default_of(item) == REQUIRED
    }
    for section, cls in SECTIONS.items()
}


def with_value(section, name, value):
    """The section with everything required given, and one key set."""
    return resolve((section,), {section: {**REQUIRED_KEYS[section], name: value}})[section]


@pytest.mark.parametrize(("section", "item"), KEYS, ids=NAMES)
def test_every_key_has_one_sentence_and_a_type_a_flag_can_carry(section, item):
    sentence = item.metadata["sentence"]
    assert len(sentence) > 10 and sentence.endswith(".") and "\n" not in sentence
    assert str(TYPES[section][item.name]).replace("typing.", "") in (
        "<class 'str'>",
        "<class 'int'>",
        "<class 'float'>",
        "<class 'bool'>",
        "Optional[str]",
        "Optional[int]",
        "Optional[float]",
        "Optional[bool]",
        "List[str]",
        "List[int]",
        "List[float]",
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_pass_their_own_check(section):
    config = resolve((section,), {section: REQUIRED_KEYS[section]})[section]
    check_ranges(section, config)
    for item in fields(config):
        if item.name not in REQUIRED_KEYS[section]:
            assert getattr(config, item.name) == default_of(item)


def test_lists_are_not_shared_between_configurations():
    one, two = (with_value("sample", "seed", 0) for _ in range(2))
    one.user_ids.append("7")
    assert two.user_ids == ["all"] and default_of(
        next(item for section, item in KEYS if item.name == "user_ids")
    ) == ["all"]


LOW = [(s, i) for s, i in KEYS if i.metadata["low"] is not None]
HIGH = [(s, i) for s, i in KEYS if i.metadata["high"] is not None]
ABOVE = [(s, i) for s, i in KEYS if i.metadata["above"] is not None]
CHOSEN = [(s, i) for s, i in KEYS if i.metadata["choices"]]


def refused(section, item, value):
    given = [value] if item.default is MISSING else value
    with pytest.raises(ValueError) as caught:
        with_value(section, item.name, given)
    text = str(caught.value)
    assert text.startswith(f"{section}.{item.name}") and "\n" not in text
    return text


def accepted(section, item, value):
    given = [value] if item.default is MISSING else value
    assert getattr(with_value(section, item.name, given), item.name) == given


@pytest.mark.parametrize(("section", "item"), LOW, ids=[f"{s}.{i.name}" for s, i in LOW])
def test_lowest_value_is_allowed_and_less_is_refused(section, item):
    low = item.metadata["low"]
    accepted(section, item, low)
    assert f"expected at least {low}" in refused(section, item, low - 1)


@pytest.mark.parametrize(("section", "item"), HIGH, ids=[f"{s}.{i.name}" for s, i in HIGH])
def test_highest_value_is_allowed_and_more_is_refused(section, item):
    high = item.metadata["high"]
    accepted(section, item, high)
    text = refused(section, item, high + 1)
    assert f"expected at most {high}" in text and str(high + 1) in text


@pytest.mark.parametrize(("section", "item"), ABOVE, ids=[f"{s}.{i.name}" for s, i in ABOVE])
def test_open_bound_is_refused(section, item):
    above = item.metadata["above"]
    accepted(section, item, above + 0.5)
    assert f"expected more than {above}" in refused(section, item, above)


@pytest.mark.parametrize(("section", "item"), CHOSEN, ids=[f"{s}.{i.name}" for s, i in CHOSEN])
def test_choices_are_all_allowed_and_listed_when_refused(section, item):
    for choice in item.metadata["choices"]:
        accepted(section, item, choice)
    text = refused(section, item, "elsewhere")
    assert "'elsewhere'" in text and all(str(choice) in text for choice in item.metadata["choices"])


NUMBERS = [(s, i) for s, i in KEYS if "float" in str(TYPES[s][i.name])]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf"])
@pytest.mark.parametrize(("section", "item"), NUMBERS, ids=[f"{s}.{i.name}" for s, i in NUMBERS])
def test_not_finite_is_refused(section, item, value):
    assert "finite" in refused(section, item, value)


def values_of_another_kind(kind):
    """Texts that a key of this type cannot be."""
    hint = str(kind)
    if "int" in hint or "float" in hint:
        yield from ("many", "{a: 1}", "1e400", "nan", "true")
    if "int" in hint:
        yield "1.5"
    if "bool" in hint:
        yield "perhaps"
    if "List" not in hint:
        yield "[1, 2]"
        if "Optional" not in hint:  # there it means none
            yield ""


@pytest.mark.parametrize(("section", "item"), KEYS, ids=NAMES)
def test_values_of_another_kind_are_refused(section, item):
    for value in values_of_another_kind(TYPES[section][item.name]):
        with pytest.raises(UserError, match=rf"^{section}\.{item.name}\b") as caught:
            _, name, read = split_override(f"{section}.{item.name}={value}", section)
            with_value(section, name, read)
        assert "\n" not in str(caught.value), value


def test_list_entries_are_checked_one_by_one():
    with pytest.raises(ValueError, match=r"sample.guidance_interval=\[0.2, 1.5\]: expected at most 1"):
        with_value("sample", "guidance_interval", [0.2, 1.5])


@pytest.mark.parametrize(
    ("section", "name"), [("extract", "data_dir"), ("sample", "output_dir"), ("train", "vavae_path")]
)
def test_empty_text_is_refused(section, name):
    with pytest.raises(ValueError, match=f"{section}.{name}='': expected a value, got nothing"):
        with_value(section, name, "")


def test_folders_of_before_a_key_are_as_made_at_its_default():
    for section, item in KEYS:
        assert item.metadata["counts_with"] in ("", *TYPES[section])
    named = ("dit_checkpoint", "vavae_path", "latents_stats", "select", "references")
    files = dict.fromkeys(named, "digest")
    younger = ("layout", "axes", "restarts", "restart_interval", "guidance_person", "references")
    before = identity(with_value("sample", "restart_interval", [0.1, 0.9]), **files)
    assert [before[name] for name in younger] == [None] * 6
    given = {**REQUIRED_KEYS["sample"], "layout": "folders", "axes": [-1, 5, 2], "restarts": 2}
    given |= {"guidance_person": 2.0, "references": "new"}
    now = identity(resolve(("sample",), {"sample": given})["sample"], **files)
    assert [now[name] for name in younger] == ["folders", [-1, 5, 2], 2, [0.2, 0.6], 2.0, "digest"]


@pytest.mark.parametrize(
    ("section", "item"), [(section, item) for section, item in KEYS if item.metadata["acts_with"][0]]
)
def test_what_does_nothing_alone_is_told(section, item):
    """What is typed only: a preset serves commands of all kinds."""
    name, values = item.metadata["acts_with"]
    config = with_value(section, name, REQUIRED_KEYS[section].get(name, default_of(SCHEMA[section, name])))
    setattr(config, item.name, object())
    for beside in values or (1, "somewhere"):
        setattr(config, name, beside)
        assert idle_keys(config, {item.name}, "--") == []
    setattr(config, name, None)
    assert idle_keys(config, set(), "--") == []
    (note,) = idle_keys(config, {item.name}, "--")
    assert note.startswith(f"note: --{item.name}: does nothing here, without --{name}")
    setattr(config, item.name, default_of(item))
    assert idle_keys(config, {item.name}, "--") == []
