"""Blue's search on real folders, with git and without."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from trichrome.errors import InvalidError
from trichrome.runners.files import MAX_FILE_BYTES, Project
from trichrome.runners.offline.findings import MAX_QUOTE
from trichrome.runners.offline.search import MAX_FINDINGS, MAX_PER_FILE, search

Write = Callable[..., None]

SHOP = {
    "src/auth.py": "import hashlib\n\n\ndef authenticate(user):\n    return check(user)\n",
    "src/views/login.ts": "export function loginUser(name) {\n  const authHeader = name;\n}\n",
    "src/cart.py": "def total(prices):\n    return sum(prices)\n",
    "AUTHORS": "author: somebody\n",
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_files(files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write_files


@pytest.fixture(params=["git", "no git"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "git":
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def places(folder: Path, instructions: str) -> list[str]:
    return [finding.where for finding in search(Project(folder), instructions).findings]


def test_authentication_patterns_are_found_however_they_are_spelled(folder: Path, write: Write) -> None:
    write(SHOP)

    found = places(folder, "Find authentication patterns")

    assert found == ["src/auth.py:4", "src/views/login.ts:2", "src/views/login.ts:1"]


def test_a_finding_carries_the_line_and_what_matched(folder: Path, write: Write) -> None:
    write(SHOP)

    best = search(Project(folder), "Find authentication patterns").findings[0]

    assert best.as_data() == {
        "file": "src/auth.py",
        "line": 4,
        "text": "def authenticate(user):",
        "match": "authenticate",
    }


def test_ignored_files_are_not_searched(folder: Path, write: Write) -> None:
    write(
        {
            ".gitignore": "secret*\nbuild/\n!build/\nout/\n*.log\n!kept.log\n*.bak\n",
            "secrets.py": "needle\n",
            "out/x.py": "needle\n",
            "kept.log": "needle\n",
            "lost.log": "needle\n",
            "sub/.gitignore": "*.tmp\n!lost.log\n/only_here.py\n",
            "sub/a.tmp": "needle\n",
            "sub/a.bak": "needle\n",
            "sub/lost.log": "needle\n",
            "sub/only_here.py": "needle\n",
            "sub/deep/only_here.py": "needle\n",
            "a.tmp": "needle\n",
            ".trichrome/artifacts/t1.1-report.md": "needle\n",
        }
    )

    found = places(folder, "needle")

    assert sorted(found) == ["a.tmp:1", "kept.log:1", "sub/deep/only_here.py:1", "sub/lost.log:1"]


def test_folder_that_a_repository_around_it_ignores_is_still_searched(tmp_path: Path, write: Write) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write({".gitignore": "scratch/\n", "scratch/a.py": "needle\n"})

    assert places(tmp_path / "scratch", "needle") == ["a.py:1"]


def test_git_of_a_calling_hook_does_not_redirect_the_search(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for repository in (mine, other):
        subprocess.run(["git", "init", "-q", str(repository)], check=True)
    write({"mine/a.py": "needle\n", "mine/b.py": "needle\n", "other/.git/info/exclude": "a.py\n"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))

    assert places(mine, "needle") == ["a.py:1", "b.py:1"]


def test_links_binaries_and_large_files_are_not_read(folder: Path, write: Write) -> None:
    write({"real.py": "needle\n", "image.png": b"\0needle\n", "large.txt": b"needle\n" * (MAX_FILE_BYTES // 7 + 1)})
    (folder / "link.py").symlink_to(folder / "real.py")
    os.mkfifo(folder / "pipe.py")

    answer = search(Project(folder), "needle")

    assert [finding.where for finding in answer.findings] == ["real.py:1"]
    assert answer.searched == 1


def test_file_names_that_cannot_be_cited_are_left_out(folder: Path, write: Write) -> None:
    write({"two\nlines.py": "needle\n", "bidi\u202e.py": "needle\n", "one line.py": "needle\n"})
    (folder / os.fsdecode(b"latin\xe9.py")).write_text("needle\n")

    assert places(folder, "needle") == ["one line.py:1"]


def test_regular_expression_between_slashes_is_one(folder: Path, write: Write) -> None:
    write(SHOP)

    assert places(folder, r"Find /def \w+\(prices/ please") == ["src/cart.py:1"]


def test_quoted_text_is_found_as_it_stands_and_not_inside_a_longer_word(folder: Path, write: Write) -> None:
    write({"a.py": "sum(x)\nSum(x)\nsummary(x)\n"})

    assert places(folder, "where is `sum` called?") == ["a.py:1"]


def test_identifier_is_found_in_either_style(folder: Path, write: Write) -> None:
    write({"a.py": "claim_task()\n", "b.ts": "claimTask()\n", "c.ts": "new ClaimTask()\n", "d.py": "task_claim()\n"})

    assert places(folder, "Who calls claimTask?") == ["a.py:1", "b.ts:1", "c.ts:1"]


@pytest.mark.parametrize(
    "where", ["in src/views/", "below /src/views/", "in ./src/views.", "within `src/views/login.ts`"]
)
def test_path_in_the_instructions_narrows_the_search(folder: Path, write: Write, where: str) -> None:
    write(SHOP)

    found = places(folder, f"Find authentication {where}")

    assert {place.partition(":")[0] for place in found} == {"src/views/login.ts"}


def test_word_that_is_also_a_folder_is_searched(folder: Path, write: Write) -> None:
    write({"store/a.py": "x\n", "b.py": "from shop import store\n"})

    assert places(folder, "Find usages of `store`.") == ["b.py:1"]


def test_line_about_both_words_comes_before_a_better_line_about_one(folder: Path, write: Write) -> None:
    write({"a.py": "raise ValueError\n" * 50 + "def handle(): ...\n", "z.py": "handle_failure()\n"})

    assert places(folder, "error handling")[:2] == ["z.py:1", "a.py:51"]


def test_findings_are_bounded_in_all_and_in_each_file(folder: Path, write: Write) -> None:
    write({f"f{number:03}.py": "needle\n" * 20 for number in range(30)})

    answer = search(Project(folder), "needle")

    assert answer.matches == 600
    assert len(answer.findings) == MAX_FINDINGS
    assert max(sum(other.file == one.file for other in answer.findings) for one in answer.findings) == MAX_PER_FILE


def test_long_line_is_cut_in_the_citation(folder: Path, write: Write) -> None:
    write({"a.js": "needle " + "x" * 250 + "\n"})

    (finding,) = search(Project(folder), "needle").findings

    assert len(finding.text) == MAX_QUOTE
    assert finding.text.endswith("…")


def test_what_programs_write_for_programs_is_no_finding(folder: Path, write: Write) -> None:
    generated = ("logo.SVG", "requirements.lock", "web/package-lock.json", "app.min.js", "uv.lock")
    write(dict.fromkeys(generated, "needle\n") | {"a.py": "needle\n", "bundle.js": "needle;" * 50})

    answer = search(Project(folder), "needle")

    assert [finding.where for finding in answer.findings] == ["a.py:1"]
    assert answer.skipped == len(generated)


def test_line_numbers_are_those_of_an_editor(folder: Path, write: Write) -> None:
    write({"a.py": "one\fpage\u2028still one\r\n\r\n  needle\r\n"})

    assert places(folder, "needle") == ["a.py:3"]


def test_same_search_gives_the_same_answer(folder: Path, write: Write) -> None:
    write({f"{name}.py": "auth = login(password)\n" * 3 for name in "zyxab"})

    answers = {search(Project(folder), "find authentication and passwords").findings for _ in range(3)}

    assert len(answers) == 1


@pytest.mark.parametrize("instructions", ["Find it", "", "   ", "!?"])
def test_instructions_that_name_nothing_are_refused(folder: Path, instructions: str) -> None:
    with pytest.raises(InvalidError, match="nothing to search for") as refusal:
        search(Project(folder), instructions)

    assert refusal.value.field == "instructions"


def test_broken_regular_expression_is_refused_with_its_fault(folder: Path) -> None:
    with pytest.raises(InvalidError, match=r"/\(open/ is not a regular expression: .*unterminated"):
        search(Project(folder), "find /(open/")


def test_general_words_are_searched_when_nothing_better_was_said(folder: Path, write: Write) -> None:
    write({"a.py": "class Shop:\n"})

    assert places(folder, "find classes") == ["a.py:1"]
