"""What offline workers make of claimed tasks, on real files, by the shapes of the wire."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trichrome.domain.text import SUMMARY_BYTES
from trichrome.runners.offline.work import perform

DATA_BYTES = 32 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "auth.py").write_text("def login(user):\n    return check(user)\n")
    return tmp_path


def claim(kind: str, role: str = "green", attempt: str = "t9.1", **more: Any) -> dict[str, Any]:
    dependencies = more.pop("dependencies", [])
    task = {"id": "t9", "kind": kind, "role": role, "instructions": "Find authentication patterns", **more}
    return {"attempt": attempt, "task": task, "dependencies": dependencies, "next": "..."}


def reported(folder: Path, claimed: dict[str, Any]) -> dict[str, Any]:
    """What reaches the server, after a trip through JSON."""
    arguments = perform(str(folder), claimed).arguments()
    assert len(arguments["summary"].encode()) <= SUMMARY_BYTES
    assert len(json.dumps(arguments.get("data", {}))) <= DATA_BYTES
    decoded: dict[str, Any] = json.loads(json.dumps(arguments))
    return decoded


def searched(folder: Path) -> dict[str, Any]:
    return {"id": "t1", **reported(folder, claim("search", "blue"))}


def written(folder: Path, attempt: str = "t9.1", **more: Any) -> dict[str, Any]:
    return reported(folder, claim("document", attempt=attempt, dependencies=[searched(folder)], **more))


def reviewed(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    subject = {"task": "t9", "attempt": "t9.1", "instructions": "Report", **result}
    return reported(folder, claim("review", "red", "t10.1", reviews=subject))


def test_search_reports_its_findings_as_data_and_its_best_in_words(folder: Path) -> None:
    result = searched(folder)

    assert result["outcome"] == "completed"
    assert result["data"]["findings"] == [{"file": "auth.py", "line": 1, "text": "def login(user):", "match": "login"}]
    assert result["summary"].splitlines() == [
        "1 line on authentication in 1 text file. No model was used: this was a search. Best:",
        "- auth.py:1 def login(user):",
    ]


def test_search_that_finds_nothing_is_completed_and_says_so(folder: Path) -> None:
    result = reported(folder, claim("search", "blue") | {"task": {**claim("search")["task"], "instructions": "kraken"}})

    assert result["outcome"] == "completed"
    assert result["data"]["findings"] == []
    assert result["summary"].startswith("Nothing on kraken in 1 text file.")


def test_much_found_stays_within_the_limits_and_says_what_was_cut(folder: Path) -> None:
    for number in range(100):
        (folder / f"f{number}.py").write_text(f"login = '{'é' * 280}'\n" * 10)

    result = searched(folder)

    listed = len(result["data"]["findings"])
    assert 0 < listed < 60
    assert f"`data` lists the best {listed}." in result["summary"]


def test_report_cites_what_its_dependencies_found_and_passes_the_check(folder: Path) -> None:
    result = written(folder)

    verdict = reviewed(folder, result)

    assert result["artifacts"] == [result["data"]["report"]] == [".trichrome/artifacts/t9.1-report.md"]
    assert "- `auth.py:1` `def login(user):`" in (folder / result["artifacts"][0]).read_text().splitlines()
    assert verdict["outcome"] == "approved"
    assert verdict["summary"] == "1 cited line, all as in the files. No model was used: nothing else was judged."
    assert verdict["data"] == {"checked": 1, "wrong": 0, "findings": []}


def test_changed_file_sends_the_report_back_and_the_second_report_is_approved(folder: Path) -> None:
    dependency = searched(folder)
    first = reported(folder, claim("document", dependencies=[dependency]))
    (folder / "auth.py").write_text("# moved\n\ndef login(user):\n    return check(user)\n")

    verdict = reviewed(folder, first)
    feedback = {"summary": verdict["summary"], "data": verdict["data"]}
    second = reported(folder, claim("document", attempt="t9.2", dependencies=[dependency], feedback=feedback))
    final = reviewed(folder, second)

    assert verdict["outcome"] == "changes"
    assert verdict["data"]["findings"] == [
        {
            "file": "auth.py",
            "line": 1,
            "text": "def login(user):",
            "problem": "the line reads differently",
            "found": "# moved",
        }
    ]
    assert "After the review: 1 cited anew, 0 left out." in second["summary"]
    assert final["outcome"] == "approved"


def test_each_attempt_writes_a_report_of_its_own(folder: Path) -> None:
    first, second = written(folder, "t9.1"), written(folder, "t9.2")

    assert first["artifacts"] != second["artifacts"]
    assert (folder / first["artifacts"][0]).exists()
    assert [path.name for path in (folder / ".trichrome/artifacts").iterdir() if path.suffix == ".tmp"] == []


def test_reports_stay_out_of_the_project(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)

    written(folder)

    untracked = subprocess.run(
        ["git", "-C", str(folder), "status", "--porcelain"], capture_output=True, text=True, check=True
    ).stdout
    assert untracked == "?? auth.py\n"


def test_report_that_was_changed_after_it_was_reported_is_sent_back(folder: Path) -> None:
    result = written(folder)
    path = folder / result["artifacts"][0]
    path.write_text(path.read_text().replace("- `auth.py:1` `def login(user):`\n", ""))

    verdict = reviewed(folder, result)

    assert verdict["outcome"] == "changes"
    assert [finding["problem"] for finding in verdict["data"]["findings"]] == [
        ".trichrome/artifacts/t9.1-report.md was changed after it was reported",
        ".trichrome/artifacts/t9.1-report.md cites 0 lines, its author reported another number",
    ]


@pytest.mark.parametrize("path", ["../outside.md", "/etc/hostname", "auth.py", "a\0b", ".trichrome/artifacts", ""])
def test_report_outside_the_folder_of_reports_is_not_opened(folder: Path, path: str) -> None:
    (folder.parent / "outside.md").write_text("- `auth.py:1` `def login(user):`\n")

    verdict = reviewed(folder, {"summary": "done", "data": {"report": path}})

    assert verdict["outcome"] in {"changes", "failed"}
    assert verdict.get("data", {}).get("checked", 0) == 0


def test_findings_of_a_search_can_be_reviewed_too(folder: Path) -> None:
    found = searched(folder)
    found["data"]["findings"].append({"file": "auth.py", "line": 2, "text": "return True"})

    verdict = reviewed(folder, found)

    assert verdict["outcome"] == "changes"
    assert verdict["summary"].startswith("Of 2 cited lines, 1 not as in the files.")


def test_result_without_citations_is_not_approved_unread(folder: Path) -> None:
    verdict = reviewed(folder, {"summary": "Everything implemented, trust me."})

    assert verdict["outcome"] == "failed"
    assert verdict["retry"] is False


def test_fault_too_large_to_list_still_sends_the_result_back(folder: Path) -> None:
    result = written(folder)
    path = folder / result["artifacts"][0]
    path.write_text(path.read_text() + f"- `{'x' * 20_000}:1` `login`\n")

    verdict = reviewed(folder, {**result, "data": {"report": result["data"]["report"]}})

    assert verdict["outcome"] == "changes"
    assert verdict["data"] == {"checked": 2, "wrong": 1, "findings": []}
    assert "`data` lists the first 0." in verdict["summary"]


def test_report_of_nothing_found_is_approved_as_citing_nothing(folder: Path) -> None:
    nothing = {"id": "t1", "summary": "Nothing", "data": {"findings": []}}
    result = reported(folder, claim("document", dependencies=[nothing]))

    verdict = reviewed(folder, result)

    assert verdict["outcome"] == "approved"
    assert verdict["summary"].startswith("Nothing is cited.")


def test_review_of_dependencies_completes_with_a_verdict_in_its_data(folder: Path) -> None:
    result = reported(folder, claim("review", "red", dependencies=[searched(folder)]))

    assert result["outcome"] == "completed"
    assert result["data"]["verdict"] == "approved"


def test_writing_code_is_not_pretended(folder: Path) -> None:
    alone = reported(folder, claim("implement"))
    after_search = reported(folder, claim("implement", dependencies=[searched(folder)]))

    assert (alone["outcome"], alone["retry"]) == ("failed", False)
    assert "No file of the project was changed: that needs a model." in after_search["summary"]


def test_task_that_names_nothing_to_search_fails_for_good(folder: Path) -> None:
    claimed = claim("search", "blue")
    claimed["task"]["instructions"] = "Find it"

    result = reported(folder, claimed)

    assert (result["outcome"], result["retry"]) == ("failed", False)


@pytest.mark.parametrize(("kind", "role", "verb"), [("map", "blue", "completed"), ("audit", "red", "failed")])
def test_kind_that_a_user_made_up_follows_its_role(folder: Path, kind: str, role: str, verb: str) -> None:
    assert reported(folder, claim(kind, role))["outcome"] == verb


def test_work_that_never_ends_ends_its_process(folder: Path) -> None:
    (folder / "trap.txt").write_text("a" * 60 + "!\n")
    code = (
        "import sys\n"
        "from trichrome.runners.offline.work import perform_bounded\n"
        "task = {'kind': 'search', 'role': 'blue', 'instructions': 'Find /(a+)+$/'}\n"
        "perform_bounded(sys.argv[1], {'attempt': 't1.1', 'task': task}, 0.3)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(folder)], timeout=30, check=False)

    assert done.returncode == -signal.SIGALRM
