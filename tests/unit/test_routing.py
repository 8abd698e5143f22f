"""How much team a request deserves, on examples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trichrome.domain.routing import PAIR_FROM, TEAM_FROM, route

ROLES_BY_MODE = {"single": 1, "pair": 2, "team": 3}


@pytest.mark.parametrize(
    ("request_", "files", "mode", "roles"),
    [
        ("fix the typo in README", (), "single", {"green"}),
        ("where is the config read?", (), "single", {"blue"}),
        ("review this function", (), "single", {"red"}),
        ("rename foo to bar", (), "single", {"green"}),
        ("find all authentication patterns across the codebase", (), "pair", {"blue", "red"}),
        ("find where sessions are stored, then implement expiry with tests", (), "pair", {"blue", "green"}),
        ("audit the entire codebase for security problems", (), "pair", {"blue", "red"}),
        (
            "refactor auth across the whole codebase: first find every token, then migrate, then review the security",
            (),
            "team",
            {"blue", "green", "red"},
        ),
        (
            "design and implement a new permission system, write tests, and review it for race conditions everywhere",
            tuple(f"src/{n}.py" for n in range(8)),
            "team",
            {"blue", "green", "red"},
        ),
    ],
)
def test_requests_get_the_team_they_deserve(request_: str, files: tuple[str, ...], mode: str, roles: set[str]) -> None:
    routing = route(request_, files)

    assert (routing.mode, set(routing.roles)) == (mode, roles)
    assert routing.reasons


@given(st.text(max_size=300), st.lists(st.text(max_size=5), max_size=30))
@settings(deadline=None, derandomize=True, database=None)
def test_any_request_gets_a_score_from_nothing_to_one_that_fits_its_mode(request_: str, files: list[str]) -> None:
    routing = route(request_, files)

    assert 0 <= routing.score <= 1
    assert routing.mode == ("single" if routing.score < PAIR_FROM else "pair" if routing.score < TEAM_FROM else "team")
    assert len(routing.roles) == ROLES_BY_MODE[routing.mode]
    assert all(parts >= 1 for parts in routing.roles.values())
    assert route(request_, files) == routing


def test_more_files_and_more_parts_never_score_less() -> None:
    request_ = "find the handlers"
    by_files = [route(request_, ["f"] * n).score for n in range(12)]
    by_parts = [route(request_ + "; and more" * n).score for n in range(8)]

    assert by_files == sorted(by_files)
    assert by_parts == sorted(by_parts)
