"""`trichrome events`: the log itself."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import select
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trichrome.cli.output import Json, document, new_app, one_line, say
from trichrome.cli.project import opened

if TYPE_CHECKING:
    from trichrome.coordinator import Coordinator
    from trichrome.store.port import Reading, Recorded

_PAGE: Final = 1_000
_NAP_SECONDS: Final = 1.0
"""How long a reader that went away goes unnoticed."""

app = new_app()


@app.command(epilog="Example: trichrome events --after -20 --follow")
def events(
    after: Annotated[
        int, typer.Option(metavar="POSITION", help="Begin behind this position; -20 means the last twenty.")
    ] = 0,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after so many.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Print the log's events in order, one a line."""
    with opened(as_json) as project:
        c = project.coordinator
        for recorded in islice(_events(c, after, follow=follow), limit):
            if as_json:
                document(as_object(recorded))
            else:
                say(_line(recorded))


def _events(c: Coordinator, after: int, *, follow: bool) -> Iterator[Recorded]:
    from trichrome.coordinator import queries

    if after < 0:
        with c.store.reading() as view:
            after = _before_last(view, -after)
    watch = c.store.watch()
    try:
        while True:
            mark = watch.mark()
            while page := queries.events(c, after=after, limit=_PAGE):
                yield from page
                after = page[-1].position
            if not follow:
                return
            watch.sleep(mark, at_most_seconds=_NAP_SECONDS)
            check_reader()
    finally:
        watch.close()


def _before_last(view: Reading, wanted: int) -> int:
    """The position before the last so many events; positions have gaps where the log may have lost a tail."""
    last, span = view.position(), wanted
    while span < last and len(view.events(after=last - span, limit=wanted)) < wanted:
        span *= 2
    found = view.events(after=max(0, last - span), limit=span)[-wanted:]
    return found[0].position - 1 if found else 0


def check_reader() -> None:
    """End like a write to a pipe that nobody reads any more, although there is nothing to write.

    Raises:
        BrokenPipeError: whoever read standard output is gone.
    """
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(happened & (select.POLLERR | select.POLLHUP) for _, happened in poll.poll(0)):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def as_object(recorded: Recorded) -> dict[str, object]:
    """An event as JSON shows it."""
    from trichrome.store import codec

    kind, _, payload = codec.encode(recorded.event)
    return {
        "position": recorded.position,
        "stream": recorded.stream,
        "version": recorded.version,
        "kind": kind,
        "recorded_at": dt.datetime.fromtimestamp(recorded.recorded_at, dt.UTC).isoformat(),
        "actor": recorded.actor,
        "payload": json.loads(payload),
    }


def _line(recorded: Recorded) -> str:
    from trichrome.coordinator import history

    at = dt.datetime.fromtimestamp(recorded.recorded_at).astimezone()
    told = one_line(history.sentence(recorded.stream, recorded.event))
    return f"{recorded.position:>6}  {at:%H:%M:%S}  {one_line(recorded.stream):<6} {told}"
