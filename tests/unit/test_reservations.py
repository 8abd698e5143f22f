"""Which paths exclude each other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trichrome.domain.reservations import Hold, ancestors, holds, overlap, paths, prefix
from trichrome.errors import InvalidError

PATH = st.lists(st.sampled_from(["a", "b", "ab", "a-b", "a.b", "a0", "é"]), min_size=0, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("src/api/*.py", "src/api"),
        ("src/api/auth.py", "src/api/auth.py"),
        ("src/api*", "src"),
        ("*.py", ""),
        ("**", ""),
        ("src/?.py", "src"),
        ("src/[ab]/x", "src"),
        ("src/{a,b}.py", "src"),
        ("src/", "src"),
        ("./src//a/./b", "src/a/b"),
        (".", ""),
    ],
)
def test_a_pattern_counts_as_its_literal_prefix(pattern: str, expected: str) -> None:
    assert prefix(pattern) == expected


@given(PATH, PATH)
@settings(deadline=None, derandomize=True, database=None)
def test_overlap_is_symmetric_and_means_that_one_is_above_the_other(one: str, other: str) -> None:
    assert overlap(one, other) == overlap(other, one)
    assert overlap(one, other) == (one in ancestors(other) or other in ancestors(one))


def test_only_two_shared_holds_go_together() -> None:
    for one, other, conflict in (
        ("shared", "shared", False),
        ("shared", "exclusive", True),
        ("exclusive", "shared", True),
        ("exclusive", "exclusive", True),
    ):
        assert Hold("a", one).conflicts_with(Hold("a/b", other)) is conflict  # type: ignore[arg-type]


def test_patterns_of_one_prefix_are_one_hold() -> None:
    assert holds(["src/*.py", "src/*.md", "src"]) == (Hold("src"),)


def test_paths_are_cleaned_and_kept_once_in_order() -> None:
    assert paths([" b ", "./a", "b", "a\x00"]) == ("b", "a")


@pytest.mark.parametrize("path", ["", " ", "/a", "..", "a/../b", "~", "~/a"])
def test_paths_outside_the_project_are_refused(path: str) -> None:
    with pytest.raises(InvalidError) as refused:
        paths([path], field="files")

    assert refused.value.field == "files"
