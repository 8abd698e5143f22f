"""What nobody should send or store: odd JSON values, valid ones with something in them changed, and bytes that are none.

How many examples a property gets: a few in `make test`, the same ones each time; many more, other ones each time, in
`make soak`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SOAK: Final = 10
"""How many times as many examples a soak runs."""

_factor = 1


def soak() -> None:
    """From here on properties get many examples."""
    global _factor  # noqa: PLW0603 - decorators of tests ask for it while their modules are imported
    _factor = SOAK


def examples(count: int) -> settings:
    """Settings of a property with so many examples."""
    return settings(
        max_examples=count * _factor,
        derandomize=_factor == 1,
        database=None,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


LONE: Final = "\ud83d"
ODD_TEXTS: Final = (
    "", " ", "\x00", "\n", "\u202e", LONE, "\ufeff", "t1", "t1.1", "t999.9", "r1", "lead", "blue", "[", "{}", "null",
)  # fmt: skip
ODD_NUMBERS: Final = (0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 1e308, -0.0, 0.5, float("nan"), float("inf"))


def _deep(levels: int, kind: str) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value] if kind == "list" else {"a": value}
    return value


ODD_VALUES: Final = (
    None, True, *ODD_TEXTS, *ODD_NUMBERS, "x" * 70_000, [], {}, [None], [["t1"]], ["t1"] * 300, {"": ""}, [LONE],
    {LONE: LONE}, _deep(70, "list"), _deep(150, "object"),
)  # fmt: skip
"""What most often does not belong: enough of it to be tried everywhere."""
TEXTS: Final = (
    st.sampled_from(ODD_TEXTS)
    | st.text(max_size=12)
    | st.text(st.characters(codec="ascii"), max_size=40)
    | st.builds(
        lambda text, times: text * times, st.sampled_from(["x", "\u00e9", "\n", "../"]), st.integers(900, 70_000)
    )
)
ODD: Final = (
    st.sampled_from(ODD_VALUES)
    | TEXTS
    | st.integers()
    | st.floats()
    | st.lists(TEXTS | st.integers() | st.none(), max_size=3)
    | st.dictionaries(TEXTS, TEXTS | st.floats(), max_size=3)
)
"""Any JSON value, and what Python's JSON writes beside."""
KEYS: Final = st.sampled_from(["id", "x", "_meta", LONE, "params", "method", "jsonrpc", "result", "error", ""])


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The value with something in it, however deep, changed, dropped or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        name = draw(st.sampled_from(sorted(value)))
        match draw(st.integers(0, 4)):
            case 0:
                return {each: content for each, content in value.items() if each != name}
            case 1:
                return value | {draw(KEYS): draw(ODD)}
            case _:
                return value | {name: draw(mutated(value[name]))}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(mutated(value[place])), *value[place + 1 :]]
    return draw(ODD)


@st.composite
def spoiled(draw: st.DrawFn, line: bytes) -> bytes:
    """The line, most often as it is, else with its bytes harmed; it stays one line."""
    place = draw(st.integers(0, len(line)))
    match draw(st.integers(0, 19)):
        case 0:
            line = line[:place]
        case 1:
            line = line[:place] + draw(st.binary(max_size=4)) + line[place:]
        case 2:
            line = draw(st.binary(max_size=40))
        case 3:
            line = b"\xef\xbb\xbf" + line
        case 4:
            line = line.decode("utf-8", "replace").encode(draw(st.sampled_from(["utf-16", "utf-16-be", "utf-32"])))
        case 5:
            line = b"[" + line + b"," + line + b"]"
        case 6:
            line = line + b" " + line
        case 7:
            line = line[:-1] + b',"id":' + draw(st.sampled_from([b"7", b'"7"', b"null", b"1.5", b"[]"])) + b"}"
        case 8:
            line = b"[" * draw(st.sampled_from([150, 3_000, 100_000])) + line
        case 9:
            line = line.replace(b'"', b"'")
        case 10:
            line = json.dumps(line.decode("utf-8", "replace")).encode()
        case _:
            pass
    return line.replace(b"\n", b"")
