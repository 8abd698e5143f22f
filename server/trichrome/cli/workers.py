"""`trichrome workers`: who is there, what each is doing, why, and what it has cost.

One list of all: those that a supervisor keeps, also while no session of theirs runs, and those that connected by
themselves, such as a Claude in a terminal. What the supervisor says of a worker counts, but for one at work: of that,
what is seen from here says more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Required, TypedDict

from trichrome.cli.output import Json, document, new_app, note, one_line, say, table
from trichrome.cli.project import opened

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.coordinator.answers import WorkerLine

_COPIED: Final = ("failures", "session", "transcript", "log")
"""What is told of a worker as its supervisor wrote it."""

DIED: Final = "The supervisor has died; `trichrome start` puts in order what it left."

app = new_app()


class Line(TypedDict, total=False):
    """One worker; `until` is when a parked one goes on, `why` what shows its state or what it waits for."""

    worker: Required[str]
    role: Required[str]
    state: Required[str]
    supervised: Required[bool]
    attempt: str
    task: str
    why: str
    since_seconds: int
    until: str
    cost_usd: float
    failures: int
    session: str
    transcript: str
    log: str


class SupervisorLine(TypedDict):
    """The supervisor that runs."""

    pid: int
    since: str
    runner: str
    stopping: bool
    cost_usd: float


class Held(TypedDict):
    """A task that the supervisor starts no session for until a person acts."""

    task: str
    reason: str


class Workers(TypedDict, total=False):
    """The answer of `workers`; without `supervisor`, none runs, and with `died`, one did that was killed."""

    supervisor: SupervisorLine
    died: bool
    held: list[Held]
    workers: Required[list[Line]]


@app.command(epilog="Example: trichrome workers --json")
def workers(as_json: Json = False) -> None:
    """Show each worker: what it is doing, why, since when, and what it has cost."""
    with opened(as_json) as project:
        found = listing(project)
    if as_json:
        document(found)
        return
    if "supervisor" in found:
        say(supervisor_told(found["supervisor"]))
    if found["workers"]:
        table(("worker", "role", "state", "at", "since", "cost", ""), [_row(line) for line in found["workers"]])
    else:
        note("No worker is connected.")
    for held in found.get("held", ()):
        note(
            f"{held['task']} is held: {one_line(held['reason']).rstrip('.')}. `trichrome resume --all` tries it again."
        )
    if "died" in found:
        note(DIED)
    elif "supervisor" not in found:
        note("No supervisor runs here. `trichrome start` starts one, with workers.")


def listing(project: Project) -> Workers:
    """Every worker: the supervised ones in their supervisor's order, then the others."""
    from trichrome.coordinator import queries, supervision
    from trichrome.supervisor import control

    c = project.coordinator
    is_running, fleet = control.is_running(project.data), supervision.fleet(c)
    connected = {line["worker"]: line for line in queries.workers(c)}
    if fleet is None or not is_running:
        unsupervised: Workers = {"workers": [_unsupervised(line) for line in connected.values()]}
        return {"died": True, **unsupervised} if has_died(project) else unsupervised
    now = c.clock.now().wall
    lines = [_supervised(worker, connected.pop(worker["name"], None), now) for worker in fleet["workers"]]
    return {
        "supervisor": {
            "pid": fleet["supervisor"]["pid"],
            "since": _iso(fleet["supervisor"]["since"]),
            "runner": fleet["runner"],
            "stopping": fleet["stopping"],
            "cost_usd": fleet["cost_usd"],
        },
        "workers": [*lines, *map(_unsupervised, connected.values())],
        "held": fleet.get("held", []),
    }


def has_died(project: Project) -> bool:
    """Whether a supervisor was killed here, and nobody has put in order yet what it left."""
    from trichrome.coordinator import supervision
    from trichrome.supervisor import control

    return (
        supervision.fleet(project.coordinator) is not None
        and not control.is_running(project.data)
        and supervision.fleet(project.coordinator) is not None  # it may have ended well since the first look
    )


def _unsupervised(seen: WorkerLine) -> Line:
    line: Line = {"worker": seen["worker"], "role": seen["role"], "state": seen["state"], "supervised": False}
    _add_what_is_seen(line, seen)
    return line


def _supervised(worker: Mapping[str, Any], seen: WorkerLine | None, now: float) -> Line:
    line: Line = {
        "worker": worker["name"],
        "role": worker["role"],
        "state": worker["state"],
        "supervised": True,
        "since_seconds": max(0, round(now - worker["since"])),
        "cost_usd": worker["cost_usd"],
    }
    if worker.get("task"):
        line["task"] = worker["task"]
    if worker.get("reason"):
        line["why"] = worker["reason"]
    if worker.get("until") is not None:
        line["until"] = _iso(worker["until"])
    for name in _COPIED:
        if worker.get(name):
            line[name] = worker[name]
    if seen is not None and "attempt" in seen:
        if worker["state"] == "working":
            line["state"] = seen["state"]
            _add_what_is_seen(line, seen)
        else:
            line["attempt"] = seen["attempt"]
    return line


def _add_what_is_seen(line: Line, seen: WorkerLine) -> None:
    if "attempt" in seen:
        line["attempt"] = seen["attempt"]
    if "why" in seen:
        line["why"] = seen["why"]
    if "since_seconds" in seen:
        line["since_seconds"] = seen["since_seconds"]


def _iso(wall: float) -> str:
    return dt.datetime.fromtimestamp(wall, dt.UTC).isoformat(timespec="seconds")


# --- for people -------------------------------------------------------------------------------------------------------


def supervisor_told(supervisor: SupervisorLine) -> str:
    """A supervisor in a sentence."""
    stopping = " It is stopping." if supervisor["stopping"] else ""
    return (
        f"Supervisor: process {supervisor['pid']} since {clock_time(supervisor['since'])}, runner "
        f"{one_line(supervisor['runner'])}, {money(supervisor['cost_usd'])} so far.{stopping}"
    )


def _row(line: Line) -> tuple[str, ...]:
    from trichrome.domain.evidence import lasting

    return (
        line["worker"],
        line["role"],
        line["state"],
        at(line),
        lasting(line["since_seconds"]) if "since_seconds" in line else "",
        money(line["cost_usd"]) if "cost_usd" in line else "",
        "; ".join(filter(None, (reason(line), f"transcript {line['transcript']}" if "transcript" in line else ""))),
    )


def at(line: Line) -> str:
    """What a worker is at: its attempt, or the task that its session was started for."""
    return line.get("attempt") or line.get("task", "")


def reason(line: Line) -> str:
    """Why a worker stands where it stands, and until when."""
    until = f"until {clock_time(line['until'])}" if "until" in line else ""
    return ": ".join(filter(None, (until, line.get("why", ""))))


def money(dollars: float) -> str:
    """A cost in dollars and cents."""
    return f"${dollars:.2f}"


def clock_time(moment: str) -> str:
    """The time of day here of a moment, with its date where that is not today."""
    local = dt.datetime.fromisoformat(moment).astimezone()
    today = dt.datetime.now(dt.UTC).astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%d %b %H:%M}"
