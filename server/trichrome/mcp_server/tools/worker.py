"""What a worker does: claim, report, note progress, hold files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import WithJsonSchema

from trichrome.mcp_server.registry import Arguments, Call, Texts, Tool, Toolset

_WORKER: Final[frozenset[Toolset]] = frozenset({"worker"})


class ClaimTask(Arguments):
    """Arguments of claim_task."""

    role: str | None = None
    task: str | None = None
    wait_seconds: float = 0


def _claim_task(call: Call, args: ClaimTask) -> Mapping[str, Any]:
    from trichrome.coordinator import waiting

    return waiting.claim(
        call.coordinator,
        call.caller,
        role=args.role,
        task=args.task,
        wait_seconds=args.wait_seconds,
        stop=call.stop,
    )


class ReportResult(Arguments):
    """Arguments of report_result."""

    attempt: str
    outcome: Literal["completed", "failed", "released", "approved", "changes"]
    summary: str
    data: Annotated[Any, WithJsonSchema({"type": "object"})] = None
    artifacts: Texts = ()
    files: Texts = ()
    follow_ups: Texts = ()
    retry: bool = True
    claim_next: bool = False


def _report_result(call: Call, args: ReportResult) -> Mapping[str, Any]:
    from trichrome.coordinator import attempts

    return attempts.report(
        call.coordinator,
        call.caller,
        args.attempt,
        args.outcome,
        args.summary,
        data=args.data,
        artifacts=args.artifacts,
        files=args.files,
        follow_ups=args.follow_ups,
        retry=args.retry,
        claim_next=args.claim_next,
    )


class ReportProgress(Arguments):
    """Arguments of report_progress."""

    attempt: str
    note: str | None = None
    fraction: float | None = None


def _report_progress(call: Call, args: ReportProgress) -> Mapping[str, Any]:
    from trichrome.coordinator import attempts

    return attempts.progress(call.coordinator, call.caller, args.attempt, note=args.note, fraction=args.fraction)


class ReserveFiles(Arguments):
    """Arguments of reserve_files."""

    attempt: str
    paths: Texts
    mode: Literal["exclusive", "shared"] = "exclusive"


def _reserve_files(call: Call, args: ReserveFiles) -> Mapping[str, Any]:
    from trichrome.coordinator import attempts

    return attempts.reserve(call.coordinator, call.caller, args.attempt, args.paths, mode=args.mode)


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        "claim_task",
        "Get your next task (optionally of one role, or a named one) and its attempt handle, such as t17.2, which all "
        "later calls carry. attempt null: nothing to do, end your turn. wait_seconds (to 90) waits at no cost.",
        ClaimTask,
        _claim_task,
        _WORKER,
        hot=True,
    ),
    Tool(
        "report_result",
        "End your attempt, once. outcome approved or changes only for reviews (changes: findings in summary and data); "
        "released gives it back; failed with retry=false for good. summary up to 4 KiB; more in data (JSON, 32 KiB) or "
        "artifacts (paths). files: what you changed. follow_ups: proposals. claim_next claims the next too.",
        ReportResult,
        _report_result,
        _WORKER,
        repeats=True,
        hot=True,
    ),
    Tool(
        "report_progress",
        "Note progress (fraction 0 to 1) on long work; follow the orders in the answer.",
        ReportProgress,
        _report_progress,
        _WORKER,
    ),
    Tool(
        "reserve_files",
        "Hold more paths for your attempt before changing them; refused with the holder's name.",
        ReserveFiles,
        _reserve_files,
        _WORKER,
        repeats=True,
    ),
)
