"""SuperClaude's words against its own package: no command, agent, persona, server or complexity is unknown here."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trichrome.domain import superclaude
from trichrome.domain.requests import Flags, parse
from trichrome.domain.superclaude import COMMANDS, COMPLEXITY, ROLES, SERVERS, SHORT_NAMES, UNSHARED, CommandFacts

PACKAGE: Any = files("superclaude")


def stems(folder: str) -> set[str]:
    return {Path(each.name).stem for each in (PACKAGE / folder).iterdir() if each.name.endswith(".md")} - {"README"}


def said(folder: str, key: str) -> set[str]:
    """The words that the heads of its files say behind a key, as a regular expression finds them."""
    heads = [each.read_text("utf-8")[:1000] for each in (PACKAGE / folder).iterdir() if each.name.endswith(".md")]
    values = [match[1] for head in heads if (match := re.search(rf"(?m)^{key}: *\[?([^\]\n]*)", head))]
    return {word for value in values for word in re.findall(r"[\w-]+", value)}


def test_every_command_has_a_kind_or_is_the_session_s_own() -> None:
    assert stems("commands") == set(COMMANDS) | UNSHARED
    assert not set(COMMANDS) & UNSHARED


def test_every_agent_and_persona_has_a_role() -> None:
    personas = said("commands", "personas")

    assert personas
    assert stems("agents") | personas <= set(ROLES)


def test_every_complexity_counts() -> None:
    assert said("commands", "complexity") <= set(COMPLEXITY)


def test_every_server_is_known_by_the_name_it_is_registered_with() -> None:
    named = said("commands", "mcp-servers")

    assert named
    assert {SHORT_NAMES.get(each, each) for each in named} <= set(SERVERS)
    assert all(f'"{each}": {{' in (PACKAGE / "cli" / "install_mcp.py").read_text("utf-8") for each in SERVERS)


def test_every_flag_it_documents_is_taken_out_of_the_request() -> None:
    page = (PACKAGE / "core" / "FLAGS.md").read_text("utf-8")
    documented = {flag for line in re.findall(r"(?m)^\*\*(--.*)\*\*$", page) for flag in re.findall(r"--[\w-]+", line)}
    values = {"--concurrency": " 3", "--iterations": " 3", "--scope": " module", "--focus": " security"}

    parsed = {flag: parse(f"x {flag}{values.get(flag, '')}") for flag in documented}

    assert len(documented) > 20
    assert {(each.text, each.problems) for each in parsed.values()} == {("x", ())}
    assert all(each.flags != Flags() for each in parsed.values())


def test_front_matter_of_a_command_is_read() -> None:
    facts = superclaude.front_matter((PACKAGE / "commands" / "cleanup.md").read_text("utf-8"))

    assert facts == CommandFacts(
        complexity="standard",
        servers=("sequential-thinking", "context7"),
        personas=("architect", "quality", "security"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "complexity: high",
        "---\ncomplexity: high\n",
        "# Title\n---\ncomplexity: high\n---\n",
        "---\n  complexity: high\n---\n",
        "---\ncomplexity: enormous\nmcp-servers: [unheard-of]\npersonas: {a: b}\n---\n",
    ],
    ids=["empty", "no head", "no end", "not at the start", "of something else", "unknown words"],
)
def test_what_is_not_understood_says_nothing(text: str) -> None:
    assert superclaude.front_matter(text) == CommandFacts()


def test_marks_of_other_systems_and_quotes_do_no_harm() -> None:
    facts = superclaude.front_matter("\ufeff---\r\ncomplexity: 'High'\r\nmcp-servers: [\"magic\", ]\r\n---\r\n")

    assert facts == CommandFacts(complexity="high", servers=("magic",))


@given(st.text(alphabet=st.sampled_from("-:[]\n ,'\"ab") | st.characters(), max_size=200))
@settings(deadline=None, derandomize=True, database=None)
def test_any_text_has_facts(text: str) -> None:
    assert isinstance(superclaude.front_matter(f"---\n{text}\n---\n"), CommandFacts)
