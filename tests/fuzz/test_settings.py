"""Settings and role files that anybody may have written: taken, or refused with a name for what is wrong."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.nasty import examples

from trichrome import config
from trichrome.config import Config, Loaded
from trichrome.errors import InvalidError
from trichrome.roles import Role, load_roles

NAMES = [*Config.model_fields, "rolse", "'a b'"]
WORDS = ["full", "sqlite", "continue", "pause", "info", "3", "1e3", "0", "-1", "nan", "", "x" * 5000, "\u0661"]
LITERALS = [
    *map(repr, WORDS), "true", "nan", "-inf", "-0.0", "1_000", "0x10", "1e400", "9" * 30, "9" * 5000, "1979-05-27",
    "2020-13-45", "07:32:00", "[]", "[1, 'x']", "{}", "{a = 1}", "'''a\nb'''", '"\\u0000"', '"\\ud800"', "[" * 4000,
    "{a=" * 4000, "", "\x00",
]  # fmt: skip
"""TOML's values, and some that are none."""
ROLE_FIELDS = ["kinds", "share", "may_write", "concurrency", "model", "file", "other"]
ROLE_LITERALS = [
    *LITERALS, "['search']", "['Search']", "[[]]", "0.5", "'haiku'", "'claude-x'", "'own.md'", "'../own.md'", "'/'",
    f"'{'x/' * 3000}'",
]  # fmt: skip
TABLES = ["roles.blue", "roles.own", "roles.'a b'", "roles", "x", "roles.blue.x", "[roles]"]
LINES = st.builds("{} = {}".format, st.sampled_from(NAMES), st.sampled_from(LITERALS) | st.floats().map(repr))
ROLE_LINES = st.builds("{} = {}".format, st.sampled_from(ROLE_FIELDS), st.sampled_from(ROLE_LITERALS))
DOCUMENTS = st.builds(
    lambda lines, tables: "\n".join([*lines, *("\n".join([f"[{table}]", *inner]) for table, inner in tables)]),
    st.lists(LINES, max_size=2),
    st.lists(st.tuples(st.sampled_from(TABLES), st.lists(ROLE_LINES, max_size=2)), max_size=2),
)
VARIABLES = st.dictionaries(
    st.sampled_from([f"TRICHROME_{name.upper()}" for name in Config.model_fields]),
    st.sampled_from([*WORDS, "\udcff"]) | st.text(max_size=5),
    max_size=3,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / ".trichrome" / "agents").mkdir(parents=True)
    (folder / "own.md").write_text("---\nname: own\ndescription: x\n---\nYou are own.\n")
    return folder


def opened(folder: Path, content: bytes, environment: dict[str, str]) -> Loaded | None:
    """The settings, with the roles that they make; None where they are refused as they should be."""
    path = folder / ".trichrome" / "config.toml"
    path.write_bytes(content)
    try:
        loaded = config.load(folder, environment=environment)
        load_roles(folder, loaded.config.roles)
    except InvalidError as error:
        refusal = error
    else:
        return loaded
    assert refusal.field or str(path) in refusal.message
    return None


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_takes_or_refuses_each_value(folder: Path, name: str) -> None:
    for literal in LITERALS:
        opened(folder, f"{name} = {literal}".encode(), {})
    for word in [*WORDS, "\udcff"]:
        opened(folder, b"", {f"TRICHROME_{name.upper()}": word})


@pytest.mark.parametrize("field", ROLE_FIELDS)
def test_each_setting_of_a_role_takes_or_refuses_each_value(folder: Path, field: str) -> None:
    for literal, table in product(ROLE_LITERALS, TABLES):
        opened(folder, f"[{table}]\n{field} = {literal}".encode(), {})


@examples(150)
@given(DOCUMENTS, VARIABLES)
def test_any_settings_are_taken_or_refused(folder: Path, text: str, environment: dict[str, str]) -> None:
    opened(folder, text.encode("utf-8", "surrogatepass"), environment)


@examples(100)
@given(st.binary(max_size=60), VARIABLES)
def test_any_bytes_are_settings_or_refused(folder: Path, content: bytes, environment: dict[str, str]) -> None:
    opened(folder, content, environment)


def test_what_is_taken_here_is_what_was_meant(folder: Path) -> None:
    loaded = opened(folder, b"max_attempts = 4\n[roles.own]\nfile = 'own.md'\n", {"TRICHROME_STORE": "memory"})

    assert loaded is not None
    assert (loaded.config.max_attempts, loaded.config.store) == (4, "memory")


YAML = [
    "x", "5", "1.5", "true", "~", "", "2020-01-02", "2020-13-45", "[a, b]", "{a: b}", "Read, Bash(git:*, x)", "blue", "haiku",
     "!!int x", "!!float x", "!!bool x", "!!timestamp x", "!!binary \u00e9", "!!python/object:os.system x", "!x y", "&a [*a]", "*a",
     "? [a]", "0b_", "0o9", "1:99:99", "'\\", "|", ">", "'a", '"\\ud800"', "- a", "a: b: c", "[" * 400, "{" * 400, "\x00", "\t", "<<", "9" * 5000,
]  # fmt: skip
KEYS = ["name", "description", "model", "color", "tools", "x", "<<", "? [a]", "{a: b}", "!!int x", "~"]
HEADS = st.lists(st.builds("{}: {}".format, st.sampled_from(KEYS), st.sampled_from(YAML)), max_size=2).map(
    "\n".join
) | st.text(max_size=12)
GOOD = "name: purple\ndescription: What it is for\n"


def read(folder: Path, content: bytes) -> Role | None:
    """The role that a file makes; None where it is refused as it should be."""
    (folder / ".trichrome" / "agents" / "purple.md").write_bytes(content)
    try:
        return load_roles(folder).read("purple")
    except InvalidError as error:
        refusal = error
    assert refusal.field
    assert "purple.md" in refusal.message
    return None


def headed(head: str) -> bytes:
    return f"---\n{head}\n---\nYou are purple.\n".encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("key", KEYS)
def test_each_line_of_front_matter_takes_or_refuses_each_value(folder: Path, key: str) -> None:
    for value in YAML:
        read(folder, headed(f"{GOOD}{key}: {value}"))
        read(folder, headed(f"{key}: {value}"))


@examples(150)
@given(HEADS, st.sampled_from(["", GOOD]))
def test_any_front_matter_is_a_role_or_refused(folder: Path, head: str, before: str) -> None:
    role = read(folder, headed(f"{before}{head}"))

    assert role is None or isinstance(role.description, str)


@examples(100)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_role_file_or_refused(folder: Path, content: bytes) -> None:
    read(folder, content)
    read(folder, b"---\n" + content + b"\n---\nprompt")


def test_a_role_file_is_read_here(folder: Path) -> None:
    assert read(folder, f"---\n{GOOD}---\nYou are purple.\n".encode()) is not None
