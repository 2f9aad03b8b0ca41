"""Natural order, and the way from what a user types to class indices."""

import pytest

from data.labels import LabelTable, listing, natural_key

TEN = [f"ID_{number}" for number in (1, 10, 2, 3, 4, 5, 6, 7, 8, 9)]  # as a plain sort gives them


def test_natural_order_counts_numbers():
    names = ["ID_10", "ID_2", "id_3", "a", "7", "ID_02", "x1y10", "x1y9"]
    assert sorted(names, key=natural_key) == ["7", "a", "ID_02", "ID_2", "id_3", "ID_10", "x1y9", "x1y10"]


def test_natural_order_does_not_depend_on_the_input_order():
    names = ["ID_7", "ID_07", "id_7", "ID_007"]
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)


def test_index_is_one_less_than_the_folder_number_here():
    table = LabelTable(TEN)
    assert table.names[1] == "ID_2" and table.names[-1] == "ID_10"
    assert [table.index(f"ID_{number}") for number in range(1, 11)] == list(range(10))
    assert [table.number(index) for index in range(10)] == list(range(1, 11))
    assert len(table) == 10


def test_number_is_the_integer_at_the_end():
    table = LabelTable(["person12", "Alice", "ID_007", "3_left"])
    assert table.number("person12") == 12
    assert table.number("ID_007") == 7
    assert table.number("Alice") is None and table.number("3_left") is None
    assert table.number(table.index("person12")) == 12


@pytest.mark.parametrize(
    "names",
    [
        ("S1_T2", "S2_T1", "S3_T4"),
        ("S1_T2",),
        ("S1_T1", "S2_T1"),
        ("2024_walker_1", "2024_walker_2"),
        ("ID_1.5", "1P01A01R01"),
    ],
)
def test_a_number_is_nobody_s_in_names_of_several(names):
    table = LabelTable(names)
    assert all(table.number(index) is None for index in range(len(table)))
    for number in range(6):
        with pytest.raises(ValueError, match="unknown user .*written in full"):
            table.resolve([number])
    assert table.resolve([names[0]]) == [table.index(names[0])]


def test_resolve_speaks_folder_numbers():
    table = LabelTable(TEN)
    assert table.resolve(["7"]) == [6] == table.resolve([7])
    assert table.resolve(["ID_10", "1-3", "2"]) == [9, 0, 1, 2]
    assert table.resolve(["all"]) == list(range(10))
    assert table.resolve([5, "5", "ID_5", "4-6"]) == [4, 3, 5]


def test_full_name_wins_over_number():
    table = LabelTable(["7", "8", "0"])  # upstream's class numbers
    assert table.resolve(["7", 0]) == [1, 0]


@pytest.mark.parametrize(
    "token, words",
    [
        ("11", "unknown user 11.*ID_1, ID_2"),
        ("0", "unknown user 0"),
        ("Bob", "unknown user 'Bob'.*ID_10"),
        ("9-12", "unknown user 11"),
        ("3-1", "write 1-3"),
        ("1-99999999999", "unknown user 11"),
        ("-1", "unknown"),
    ],
)
def test_unknown_users_are_errors(token, words):
    with pytest.raises(ValueError, match=words) as error:
        LabelTable(TEN).resolve([token])
    assert "\n" not in str(error.value)


def test_gap_in_a_range_is_an_error():
    with pytest.raises(ValueError, match="unknown user 2 "):
        LabelTable(["ID_1", "ID_3"]).resolve(["1-3"])


def test_ambiguous_number_asks_for_the_name():
    table = LabelTable(["ID_7", "P_7"])
    with pytest.raises(ValueError, match="full name, ID_7 or P_7"):
        table.resolve(["7"])
    assert table.resolve(["P_7"]) == [1]


def test_nothing_to_resolve_is_an_error():
    with pytest.raises(ValueError, match="no user given"):
        LabelTable(TEN).resolve([])


@pytest.mark.parametrize("names", [(), ("",), ("a", "b", "a")])
def test_bad_tables(names):
    with pytest.raises(ValueError, match="label table"):
        LabelTable(names)


def test_json_round_trip_and_refusals():
    table = LabelTable([*TEN, "Jürgen"])
    assert LabelTable.from_json(table.to_json()) == table
    with pytest.raises(ValueError, match="not in natural order"):
        LabelTable.from_json('["ID_1", "ID_10", "ID_2"]')  # sorting it would rename people
    for text in ("{", '{"a": 1}', "[1, 2]", "[]"):
        with pytest.raises(ValueError, match="label table"):
            LabelTable.from_json(text)


def test_listing_counts_the_rest():
    assert listing(range(3)) == "0, 1, 2"
    assert listing(range(50), 2) == "0, 1, … (50 in all)"
