"""Words of instructions find words of code that are spelled otherwise."""

from __future__ import annotations

import pytest

from trichrome.runners.offline.words import Kinship, Term, stem, tokens


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("claim_task", ["claim", "task"]),
        ("claimTask", ["claim", "task"]),
        ("HTTPServer_maxSize2", ["http", "server", "max", "size"]),
        ("__init__", ["init"]),
        ("größteÄnderung", ["größte", "änderung"]),
        ("x", ["x"]),
        ("_1", []),
    ],
)
def test_identifier_is_split_at_humps_and_underscores(identifier: str, words: list[str]) -> None:
    assert tokens(identifier) == words


@pytest.mark.parametrize(
    "family",
    [
        ("authentication", "authenticate", "authenticated", "authenticating", "authenticator", "authenticators"),
        ("configuration", "configure", "configured", "configuring"),
        ("validate", "validates", "validation", "validator"),
        ("handle", "handles", "handler", "handlers", "handling"),
        ("query", "queries"),
        ("class", "classes"),
        ("process", "processes", "processing"),
        ("run", "running", "runner"),
        ("log", "logs", "logging", "logger"),
        ("cache", "caches", "caching"),
        ("exception", "except", "exceptions"),
        ("status",),
    ],
)
def test_forms_of_one_word_have_one_stem(family: tuple[str, ...]) -> None:
    assert len({stem(word) for word in family}) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("setting", "set"), ("string", "str"), ("author", "auth"), ("error", "err"), ("bus", "bu")]
)
def test_different_words_keep_different_stems(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize(
    ("asked", "identifier", "kinship"),
    [
        ("authentication", "AuthenticatedUser", Kinship.EQUAL),
        ("authentication", "auth_header", Kinship.ABBREVIATION),
        ("authentication", "login_view", Kinship.CONCEPT),
        ("authentication", "logIn", Kinship.CONCEPT),
        ("authentication", "password", Kinship.CONCEPT),
        ("authentication", "author", Kinship.NONE),
        ("auth", "author", Kinship.NONE),
        ("auth", "authenticate", Kinship.CONCEPT),
        ("handling", "hand", Kinship.NONE),
        ("errors", "ValueError", Kinship.EQUAL),
        ("errors", "raise_for_status", Kinship.CONCEPT),
        ("token", "tokenizer", Kinship.ABBREVIATION),
        ("claimTask", "claim_task", Kinship.EQUAL),
        ("claim_task", "tryClaimTaskNow", Kinship.EQUAL),
        ("claim_task", "task_claim", Kinship.NONE),
        ("query", "q", Kinship.NONE),
    ],
)
def test_kinship_of_a_word_and_an_identifier(asked: str, identifier: str, kinship: Kinship) -> None:
    assert Term.of(asked).kinship(identifier) is kinship
