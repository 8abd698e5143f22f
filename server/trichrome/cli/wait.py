"""`trichrome wait`: block until a run, or some tasks, are over."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from trichrome.cli.output import REFUSED, TIMED_OUT, Json, document, new_app, note, one_line, say
from trichrome.cli.project import opened

if TYPE_CHECKING:
    from trichrome.coordinator.answers import ChangedTask, NeedsHelp, Waited
    from trichrome.coordinator.waiting import Over

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

    Exits with 0 when all completed, 1 when something failed, was cancelled or is stuck, or there is no such run or
    task, 3 when the time is over.
    """
    from trichrome.coordinator import OPERATOR
    from trichrome.coordinator.waiting import meant, until_over

    with opened(as_json) as project:
        run, tasks = meant(project.coordinator, OPERATOR.principal, what or [], field="what")
        over = until_over(
            project.coordinator,
            OPERATOR,
            run=run,
            tasks=tasks,
            seconds=math.inf if timeout is None else timeout,
            tell=(lambda _: None) if as_json else _tell_ended,
            tell_held_up=(lambda _: None) if as_json else _tell_held_up,
        )
    if as_json:
        document(_answer(over))
    else:
        _tell(over)
    if over.failed or over.stuck:
        raise typer.Exit(REFUSED)
    if not over.done:
        raise typer.Exit(TIMED_OUT)


def _tell_ended(task: ChangedTask) -> None:
    say(f"{task['id']} {task['state']}: {one_line(task.get('summary', ''), most=160)}".rstrip(": "))


def _tell_held_up(task: NeedsHelp) -> None:
    note(one_line(f"{task['id']} is held up: {task['why']}. What helps: {task['help']}."))


def _answer(over: Over) -> Waited:
    answer: Waited = {"cursor": over.cursor, "done": over.done, "changed": list(over.ended.values())}
    if over.stuck:
        answer["stuck"] = list(over.stuck)
    if over.held_up and not over.done:
        answer["held_up"] = list(over.held_up)
    return answer


def _tell(over: Over) -> None:
    counts = Counter(task["state"] for task in over.ended.values())
    told = ", ".join(f"{number} {state}" for state, number in counts.items()) or "nothing ended yet"
    for each in over.stuck:
        say(_stuck(each))
    if over.stuck:
        say(f"Stuck: {told}.")
    elif not over.done:
        say(f"The time is over: {told}.")
    elif over.failed:
        say(f"Over: {told}. `trichrome explain {next(iter(over.failed))}` tells why.")
    else:
        say(f"Done: {told}.")


def _stuck(each: NeedsHelp) -> str:
    return one_line(f"{each['id']} is stuck: {each['why']}. What helps: {each['help']}.")
