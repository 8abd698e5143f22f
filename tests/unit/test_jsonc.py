"""JSON files of other programs, changed as text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trichrome.cli.integrating import jsonc
from trichrome.errors import InvalidError

SERVER = {"command": "trichrome", "args": ["mcp"]}
AT = ("mcpServers", "trichrome")

DOCUMENTS = [
    "",
    "{}",
    "{ }\n",
    '{"a": 1}',
    '{\n  "a": 1\n}\n',
    '{\n\t"a": 1,\n\t"b": [1, 2]\n}\n',
    '{\r\n  "a": 1\r\n}\r\n',
    '\ufeff{"a": 1}\n',
    '{"mcpServers": {}}',
    '{"mcpServers": {"other": {"command": "x"}}}',
    '{\n  "mcpServers": {\n    "other": {"command": "x"} // mine\n  }\n}\n',
    '// first\n{\n  /* a */ "a": /* b */ 1 /* c */, // d\n  "b": {} // e\n  // f\n}\n// last\n',
    '{\n  "a": 1, // trailing\n}\n',
    '{"a": "// no comment", "b": "/* nor this */"}',
    '{"a": 1, "a": 2}',
    '{"a": "\\u00e9\\"}", "\\u0062": null}',
    '{\n    "deep": {"er": {"est": [[[{}]]]}}\n}',
    "{/* only this */}",
]


def plain(text: str) -> Any:
    """What a document says, by our own reader."""
    return jsonc.parse(text).value


@pytest.mark.parametrize("text", DOCUMENTS)
def test_member_goes_in_and_all_else_stays(text: str) -> None:
    changed = jsonc.put(text, AT, SERVER)

    before, after = plain(text), plain(changed)
    assert after["mcpServers"].pop("trichrome") == SERVER
    if "mcpServers" not in before:
        assert after.pop("mcpServers") == {}
    assert after == before
    for comment in ("// mine", "// first", "/* a */", "// d", "// f", "// last", "// trailing", "/* only this */"):
        assert (comment in changed) is (comment in text)
    assert changed.count("\r\n") == (changed.count("\n") if "\r\n" in text else 0)
    assert changed.startswith("\ufeff") is text.startswith("\ufeff")


@pytest.mark.parametrize("text", [each for each in DOCUMENTS if each])
def test_member_goes_out_again_and_all_else_stays(text: str) -> None:
    changed = jsonc.remove(jsonc.put(text, AT, SERVER), AT)

    expected = plain(text)
    assert plain(changed) in (expected, {**expected, "mcpServers": {}})


def test_items_of_a_list_go_in_and_out() -> None:
    text = '{\n  "hooks": {\n    "Stop": [\n      {"a": 1} // keep\n    ]\n  }\n}\n'

    changed = jsonc.append(jsonc.append(text, ("hooks", "Stop"), {"b": 2}), ("hooks", "Start"), {"c": 3})
    back = jsonc.remove(jsonc.remove(changed, ("hooks", "Stop"), {"b": 2}), ("hooks", "Start"), {"c": 3})

    assert plain(changed) == {"hooks": {"Stop": [{"a": 1}, {"b": 2}], "Start": [{"c": 3}]}}
    assert plain(back) == {"hooks": {"Stop": [{"a": 1}], "Start": []}}
    assert "// keep" in back


@pytest.mark.parametrize(
    "text",
    ["{", '{"a"}', '{"a": }', '{"a": 1 "b": 2}', "[1,,2]", "{} {}", "nonsense", "{'a': 1}", '{"a": 01x}', "{" * 500],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match=r"not JSON: line 1"):
        jsonc.put(text, AT, SERVER)


@pytest.mark.parametrize("text", ["[]", "7", '{"mcpServers": []}', '{"mcpServers": "x"}'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is no object"):
        jsonc.put(text, AT, SERVER)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=5), st.sampled_from([None, 1, 2, 4, "\t"]), st.booleans())
@settings(deadline=None, derandomize=True, database=None, max_examples=200)
def test_any_document_keeps_what_it_says(document: dict[str, Any], indent: Any, has_dos_lines: bool) -> None:
    document.pop("mcpServers", None)
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    text = text.replace("\n", "\r\n") if has_dos_lines else text

    changed = jsonc.put(text, AT, SERVER)
    back = jsonc.remove(jsonc.remove(changed, AT), ("mcpServers",))

    assert json.loads(changed) == {**document, "mcpServers": {"trichrome": SERVER}}
    assert json.loads(back) == document
