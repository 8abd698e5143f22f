"""`trichrome wait`: block until a run, or some tasks, are over."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trichrome.cli.output import REFUSED, TIMED_OUT, Json, document, new_app, one_line, say
from trichrome.cli.project import opened
from trichrome.errors import InvalidError

if TYPE_CHECKING:
    from trichrome.coordinator import Coordinator
    from trichrome.coordinator.answers import ChangedTask, NeedsHelp, Waited

_EVER: Final = 10.0**9

app = new_app()


@app.command(epilog="Example: trichrome wait r3 --timeout 600")
def wait(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN|TASK...]", help="A run, or tasks; by default the run you created last."),
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after so long.")] = None,
    as_json: Json = False,
) -> None:
    """Wait until a run or tasks are over, or stuck.

    Exits with 0 when all completed, 1 when something failed, was cancelled or is stuck, 3 when the time is over.
    """
    with opened(as_json) as project:
        run, tasks = _meant(project.coordinator, what or [])
        ended = _Ended(project.coordinator, quiet=as_json)
        answer = _wait(ended, run, tasks, _EVER if timeout is None else timeout)
        failed = ended.failed()
    if as_json:
        document({**answer, "changed": list(ended.tasks.values())})
    else:
        _tell(answer, ended, failed)
    if failed or "stuck" in answer:
        raise typer.Exit(REFUSED)
    if not answer["done"]:
        raise typer.Exit(TIMED_OUT)


def _meant(c: Coordinator, what: list[str]) -> tuple[str | None, list[str] | None]:
    """The run, or the tasks, that the arguments name."""
    from trichrome.coordinator import OPERATOR

    runs = [each for each in what if each.startswith("r")]
    if runs and len(what) > 1:
        raise InvalidError("Name one run, or tasks; not several runs, and not both.", field="what")
    if runs:
        return runs[0], None
    if what:
        return None, what
    with c.store.reading() as view:
        return view.newest_run(OPERATOR.principal), None


class _Ended:
    """The tasks that ended so far, each told once, unless it was retried and ended again."""

    def __init__(self, c: Coordinator, *, quiet: bool) -> None:
        self.coordinator = c
        self.tasks: dict[str, ChangedTask] = {}
        self._quiet = quiet

    def add(self, changed: list[ChangedTask]) -> None:
        for task in changed:
            self.tasks[task["id"]] = task
            if not self._quiet:
                say(f"{task['id']} {task['state']}: {one_line(task.get('summary', ''), most=160)}".rstrip(": "))

    def failed(self) -> list[str]:
        """Tasks that did not complete. A review that was closed is no failure: what it judged tells how it went."""
        others = [task["id"] for task in self.tasks.values() if task["state"] != "completed"]
        with self.coordinator.store.reading() as view:
            from trichrome.domain.ids import TaskId

            found = [view.task(TaskId(name)) for name in others]
        return [task.id for task in found if task is not None and task.reviews is None]


def _wait(ended: _Ended, run: str | None, tasks: list[str] | None, seconds: float) -> Waited:
    from trichrome.coordinator import OPERATOR
    from trichrome.coordinator.waiting import until_changed

    deadline = time.monotonic() + seconds
    cursor: int | None = None
    while True:
        left = max(0.0, deadline - time.monotonic())
        answer = until_changed(ended.coordinator, OPERATOR, run=run, tasks=tasks, cursor=cursor, seconds=left)
        ended.add(answer["changed"])
        is_new = cursor != answer["cursor"]
        cursor = answer["cursor"]
        if answer["done"] or "stuck" in answer or (left == 0.0 and not is_new):
            answer.pop("next", None)
            return answer


def _tell(answer: Waited, ended: _Ended, failed: list[str]) -> None:
    counts = Counter(task["state"] for task in ended.tasks.values())
    told = ", ".join(f"{number} {state}" for state, number in counts.items()) or "nothing ended yet"
    for each in answer.get("stuck", ()):
        say(_stuck(each))
    if "stuck" in answer:
        say(f"Stuck: {told}.")
    elif not answer["done"]:
        say(f"The time is over: {told}.")
    elif failed:
        say(f"Over: {told}. `trichrome explain {failed[0]}` tells why.")
    else:
        say(f"Done: {told}.")


def _stuck(each: NeedsHelp) -> str:
    return one_line(f"{each['id']} is stuck: {each['why']}. What helps: {each['help']}.")
