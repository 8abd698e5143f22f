"""What an offline worker does with a task it claimed: search, report or check, and never more than it can.

`perform` takes the answer of `claim_task` as it came and gives what `report_result` takes.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from trichrome.domain.events import Outcome
from trichrome.errors import TrichromeError
from trichrome.runners.files import MAX_FILE_BYTES, Project, visible
from trichrome.runners.offline.findings import Finding, counted, findings_in, fit_items, fit_text, quote
from trichrome.runners.offline.report import NO_MODEL, Corrections, Section, citations, corrected, render
from trichrome.runners.offline.review import check
from trichrome.runners.offline.search import MAX_HITS, Answer, search

WORK_SECONDS: Final = 120.0
"""After this the work's process is ended: a regular expression may never end by itself."""

ARTIFACTS: Final = ".trichrome/artifacts"
"""Where reports are written, under the project folder."""

REPORT: Final = "-report.md"
"""How the file name of a report ends."""

_LISTED_IN_SUMMARY: Final = 10


@dataclass(frozen=True, slots=True)
class Result:
    """What `report_result` is called with.

    Attributes:
        retry: for a failure, whether another attempt could do better.
    """

    outcome: Outcome
    summary: str
    data: Mapping[str, Any] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    retry: bool = True

    def arguments(self) -> dict[str, Any]:
        """The arguments of the call, within the wire's limits."""
        arguments: dict[str, Any] = {"outcome": self.outcome, "summary": fit_text(self.summary)}
        if self.data:
            arguments["data"] = dict(self.data)
        if self.artifacts:
            arguments["artifacts"] = list(self.artifacts)
        if self.outcome == "failed":
            arguments["retry"] = self.retry
        return arguments


def perform(project: str, claimed: Mapping[str, Any]) -> Result:
    """Do one claimed task on the project folder.

    A task that cannot be done without a model, or is not understood, fails for good and says why.

    Raises:
        Exception: whatever goes wrong; the worker fails its attempt with it.
    """
    at = Project(Path(project).resolve())
    task = claimed["task"]
    dependencies = claimed.get("dependencies") or []
    try:
        match _duty(task):
            case "search":
                return _search(at, task["instructions"])
            case "review":
                return _review(at, task, dependencies)
            case "report":
                return _report(at, claimed["attempt"], task, dependencies)
    except TrichromeError as refusal:
        return Result("failed", f"{refusal.message} {NO_MODEL}.", retry=False)


def perform_bounded(project: str, claimed: Mapping[str, Any], seconds: float = WORK_SECONDS) -> Result:
    """Do one claimed task as the only work of this process, which ends when that takes longer.

    The kernel ends it, whatever the work is caught in. A terminal's Ctrl-C reaches this process too: the worker that
    started it, not the work, decides what it means.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return perform(project, claimed)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _duty(task: Mapping[str, Any]) -> Literal["search", "review", "report"]:
    """What a kind asks of an offline worker; kinds that a user made up follow the role that they were given to."""
    match task["kind"], task["role"]:
        case ("search" | "analyze", _):
            return "search"
        case ("review", _):
            return "review"
        case ("implement" | "fix" | "refactor" | "test" | "document", _):
            return "report"
        case (_, "blue"):
            return "search"
        case (_, "red"):
            return "review"
        case _:
            return "report"


def _search(project: Project, instructions: str) -> Result:
    answer = search(project, instructions)
    findings = fit_items(finding.as_data() for finding in answer.findings)
    return Result(
        "completed",
        _told(answer, listed=len(findings)),
        {
            "findings": findings,
            "asked": list(answer.query.asked),
            "matches": answer.matches,
            "searched": answer.searched,
            "skipped": answer.skipped,
        },
    )


def _told(answer: Answer, *, listed: int) -> str:
    asked = ", ".join(answer.query.asked)
    where = f" below {', '.join(answer.query.scopes)}" if answer.query.scopes else ""
    read = f"{counted(answer.searched, 'text file')}{where}"
    if not answer.findings:
        return f"Nothing on {asked} in {read}. {NO_MODEL}: this was a search."
    more = "More than " if answer.matches >= MAX_HITS else ""
    cut = "" if listed == answer.matches else f" `data` lists the best {listed}."
    lines = [f"- {finding.where} {finding.text}" for finding in answer.findings[:_LISTED_IN_SUMMARY]]
    told = f"{more}{counted(answer.matches, 'line')} on {asked} in {read}.{cut} {NO_MODEL}: this was a search. Best:"
    return "\n".join([told, *lines])


def _report(
    project: Project, attempt: str, task: Mapping[str, Any], dependencies: Sequence[Mapping[str, Any]]
) -> Result:
    if not dependencies:
        return Result(
            "failed",
            f"{NO_MODEL}, and without one this worker can only report what other tasks found: let this task depend on"
            " a search, or give it to a worker with a model.",
            retry=False,
        )
    sections, corrections = _sections(project, dependencies, again=bool(task.get("feedback")))
    text = render(attempt, task["instructions"], sections, corrections)
    path = _write(project, attempt, text)
    cited = [finding for section in sections for finding in section.findings]
    files = len({finding.file for finding in cited})
    told = f"Wrote {path}: {counted(len(cited), 'cited line')} in {counted(files, 'file')}."
    if corrections.moved or corrections.dropped:
        told += f" After the review: {len(corrections.moved)} cited anew, {len(corrections.dropped)} left out."
    if task["kind"] != "document":
        told += " No file of the project was changed: that needs a model."
    return Result(
        "completed",
        f"{told} {NO_MODEL}: the lines are cited as found.",
        {"report": path, "citations": len(cited), "files": files, "sha256": _digest(text.encode())},
        artifacts=(path,),
    )


def _sections(
    project: Project, dependencies: Sequence[Mapping[str, Any]], *, again: bool
) -> tuple[list[Section], Corrections]:
    """One section a dependency; after a review, with every citation looked up again."""
    sections: list[Section] = []
    moved: list[tuple[Finding, Finding]] = []
    dropped: list[Finding] = []
    for dependency in dependencies:
        found, unreadable = findings_in(dependency.get("data"))
        findings = tuple(found)
        if again:
            findings, corrections = corrected(project, findings)
            moved += corrections.moved
            dropped += corrections.dropped
        sections.append(Section(dependency["id"], dependency.get("summary", ""), findings, unreadable))
    return sections, Corrections(tuple(moved), tuple(dropped))


def _write(project: Project, attempt: str, text: str) -> str:
    """Write a report under the attempt's own name, whole or not at all, so that no other attempt's is touched.

    The folder ignores itself, as the server makes it: where the log is elsewhere, it may not be there yet.
    """
    folder = project.root / ARTIFACTS
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)
    ignore = folder.parent / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    path = folder / f"{attempt}{REPORT}"
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return path.relative_to(project.root).as_posix()


def _review(project: Project, task: Mapping[str, Any], dependencies: Sequence[Mapping[str, Any]]) -> Result:
    """Judge what the task reviews; a review that only depends on others judges their results and completes."""
    subject = task.get("reviews")
    subjects = [subject] if subject else dependencies
    cited: list[Finding] = []
    problems: list[dict[str, Any]] = []
    checkable = False
    for reported in subjects:
        found, unreadable = findings_in(reported.get("data"))
        cited += found
        checkable |= bool(found)
        if unreadable:
            problems.append({"problem": f"in `findings`, {unreadable} cite no line of a file"})
        if path := _report_path(reported):
            checkable = True
            in_report, faults = _read_report(project, path, reported.get("data"))
            cited += in_report
            problems += faults
    if not checkable:
        return Result(
            "failed",
            f"{NO_MODEL}, and without one this worker can only compare cited lines with their files: this result cites"
            " none. Give the review to a worker with a model, or decide it yourself.",
            retry=False,
        )
    wrong = [entry.as_data() for entry in check(project, cited)]
    return _verdict(len(cited), wrong, problems, decides=bool(subject))


def _verdict(cited: int, wrong: list[dict[str, Any]], problems: list[dict[str, Any]], *, decides: bool) -> Result:
    """The outcome of a check; `decides` is whether it ends a review, or only informs."""
    faults = problems + wrong
    listed = fit_items(faults)
    data: dict[str, Any] = {"checked": cited, "wrong": len(wrong), "findings": listed}
    if not decides:
        data["verdict"] = "changes" if faults else "approved"
    if not faults:
        told = f"{counted(cited, 'cited line')}, all as in the files." if cited else "Nothing is cited."
        return Result("approved" if decides else "completed", f"{told} {NO_MODEL}: nothing else was judged.", data)
    told = " ".join(
        [
            f"Of {counted(cited, 'cited line')}, {len(wrong)} not as in the files.",
            *(f"{problem['problem']}." for problem in problems),
            *([f"`data` lists the first {len(listed)}."] if len(listed) < len(faults) else []),
        ]
    )
    return Result("changes" if decides else "completed", f"{told} {NO_MODEL}: nothing else was judged.", data)


def _report_path(reported: Mapping[str, Any]) -> str | None:
    """Where a result says its report is; `data` may have been cut on the way, artifacts are not."""
    data = reported.get("data")
    named = [data.get("report")] if isinstance(data, Mapping) else []
    paths = [*named, *(path for path in reported.get("artifacts") or () if str(path).endswith(REPORT))]
    return next((path for path in paths if isinstance(path, str)), None)


def _read_report(project: Project, path: str, data: Any) -> tuple[list[Finding], list[dict[str, Any]]]:
    """The citations of a report that another worker wrote, and what is wrong with the report itself.

    Only a file in the folder of artifacts is opened, wherever the path pretends to be.
    """
    folder = (project.root / ARTIFACTS).resolve()
    file = (project.root / visible(path)).resolve()
    if not file.is_relative_to(folder) or not file.is_file() or file.stat().st_size > MAX_FILE_BYTES:
        return [], [{"problem": f"{quote(path)} is not a report in {ARTIFACTS}"}]
    content = file.read_bytes()
    cited = citations(content.decode("utf-8", "replace"))
    reported = data if isinstance(data, Mapping) else {}
    faults = []
    if reported.get("sha256", _digest(content)) != _digest(content):
        faults.append({"problem": f"{quote(path)} was changed after it was reported"})
    if reported.get("citations", len(cited)) != len(cited):
        faults.append({"problem": f"{quote(path)} cites {len(cited)} lines, its author reported another number"})
    return cited, faults


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
