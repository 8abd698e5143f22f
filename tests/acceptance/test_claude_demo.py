"""`trichrome demo --runner claude`: the demo with sessions of the real Claude Code, kept by a supervisor."""

import re
from pathlib import Path

import psutil
import pytest
from tests.support.claude import Claude, binary
from tests.support.commands import Shell
from tests.support.messages_api import MessagesApi, Reply, Request, call, say

pytestmark = pytest.mark.xdist_group("claude")

BOUND = 240.0
"""Seconds; six sessions, two at a time, take about thirty on two free cores."""
REPORT = "# Report\n\n- `login.py:1` `import os`\n"


def team(request: Request) -> Reply:
    """Do the task that the prompt names: search, write the report, or approve it."""
    prompt = next(words for words in request.prompts if "claim_task(task=" in words)
    claims = request.results_of("claim_task")
    if not claims:
        named = re.search(r'claim_task\(task="(t\d+)"\)', prompt)
        assert named is not None
        return call("claim_task", {"task": named[1]})
    kind = claims[-1]["task"]["kind"]
    if kind == "document" and len(request.results) == 1:
        folder = re.search(r"orking directory: (\S+)", request.system)
        assert folder is not None
        return call("Write", {"file_path": f"{folder[1]}/trichrome-report.md", "content": REPORT})
    if not request.results_of("report_result"):
        outcome = "approved" if kind == "review" else "completed"
        report = {"attempt": claims[-1]["attempt"], "outcome": outcome, "summary": f"{kind} is done."}
        if kind == "document":
            report["artifacts"] = ["trichrome-report.md"]
        return call("report_result", report)
    return say("I am done.")


def test_the_report_is_written_by_claude_on_a_copy_and_approved_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "login.py").write_text("import os\n\nTOKEN = os.environ['TOKEN']\n")
    shell = Shell(folder)

    with MessagesApi(team) as api:
        user = Claude(home=tmp_path / "home", folder=folder, api_url=api.url).environment()
        environment = {**user, "TRICHROME_CLAUDE": str(binary())}
        ended = shell.run("demo", "--query", "tokens", "--runner", "claude", "--json", env=environment, bound=BOUND)

    assert ended.code == 0, (ended.out, ended.err)
    played = ended.answer
    assert (played["model"], played["state"], played["approved"]) == ("claude", "completed", True)
    assert played["cost_usd"] > 0
    assert Path(played["report"]).read_text() == REPORT
    assert [path.name for path in folder.iterdir()] == ["login.py"]
    assert not [each for each in psutil.process_iter() if "claude" in each.name() and _is_of(each, tmp_path)]


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        return str(folder) in " ".join(process.environ().values())
    except psutil.Error:
        return False
