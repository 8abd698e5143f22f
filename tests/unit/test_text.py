"""What may be in a text, and how long it may be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trichrome.domain import text
from trichrome.errors import InvalidError


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("a\r\nb\rc", "a\nbc"),
        ("\x1b[31mred\x07", "[31mred"),
        ("a\x00b\x7fc\x9bd", "abcd"),
        ("\u202eabc\u2066d\u200f", "abcd"),
        ("\ufeffa\u2028b\u2029c", "abc"),
        ("\ud83d", ""),
        ("\ud83d\ude00", ""),
        ("🦊 zażółć\u200d", "🦊 zażółć\u200d"),
    ],
)
def test_characters_that_act_on_readers_are_removed(written: str, kept: str) -> None:
    assert text.clean(written) == kept


@given(st.text(st.characters(), max_size=50))
@settings(deadline=None, derandomize=True, database=None)
def test_whatever_is_cleaned_can_be_encoded_and_cleaning_again_changes_nothing(written: str) -> None:
    cleaned = text.clean(written)

    cleaned.encode()
    assert text.clean(cleaned) == cleaned


def test_limits_are_bytes_and_count_after_cleaning() -> None:
    assert text.required("é" * 5, field="x", limit=10) == "é" * 5
    assert text.required("é" * 5 + "\x00" * 100, field="x", limit=10) == "é" * 5
    with pytest.raises(InvalidError) as refused:
        text.required("é" * 5 + "a", field="x", limit=10)
    assert (refused.value.code, refused.value.field) == ("too_large", "x")
    assert "11 bytes" in refused.value.message


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
@settings(deadline=None, derandomize=True, database=None)
def test_accepted_data_survives_a_round_trip(value: object) -> None:
    accepted = text.data(value)

    assert json.loads(json.dumps(accepted)) == accepted
    assert text.data(accepted) == accepted


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_data_may_nest_so_deep_and_no_deeper() -> None:
    assert text.data(nested(text.DATA_LEVELS)) == nested(text.DATA_LEVELS)
    with pytest.raises(InvalidError, match="deeper"):
        text.data(nested(text.DATA_LEVELS + 1))


def test_data_is_bounded_in_bytes() -> None:
    assert text.data("x" * (text.DATA_BYTES - 2)) is not None
    with pytest.raises(InvalidError) as refused:
        text.data("x" * (text.DATA_BYTES - 1))
    assert refused.value.code == "too_large"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {1, 2}, b"x", pytest.param(10**5000, id="huge")]
)
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(InvalidError) as refused:
        text.data({"a": [value]})

    assert (refused.value.code, refused.value.field) == ("invalid", "data")


@pytest.mark.parametrize("name", ["search", "a", "a-b_c9"])
def test_words_are_lower_case(name: str) -> None:
    assert text.word(name, field="kind") == name


@pytest.mark.parametrize("name", ["", "A", "9a", "-a", "a b", "ä", "a\n", "a" * 81])
def test_what_is_no_word_is_refused(name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        text.word(name, field="kind")

    assert refused.value.field == "kind"


def test_one_line_is_cut_where_it_is_too_long() -> None:
    assert text.one_line(" a\n\tb\x1b[2J  c ") == "a b[2J c"
    assert text.one_line("x" * 11, most=10) == "xxxxxxx..."


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        (" a\n\x1b[2J ", "a\n[2J"),
        ("x" * 20, "x" * 20),
        ("x" * 21, "x" * 16 + " ..."),
        ("ä" * 11, "ä" * 8 + " ..."),
    ],
)
def test_a_text_is_shortened_to_bytes_and_keeps_its_beginning(said: str, kept: str) -> None:
    assert text.shortened(said, limit=20) == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        (" a\n\x1b[2J ", "a\n[2J"),
        ("x" * 20, "x" * 20),
        ("a" + "x" * 20, "... " + "x" * 16),
        ("ä" * 11, "... " + "ä" * 8),
    ],
)
def test_last_words_are_cut_to_bytes_and_keep_their_end(said: str, kept: str) -> None:
    assert text.ending(said, limit=20) == kept
