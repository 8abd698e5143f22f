"""One worker of a scratch project, in this process, at the coordinator: what the server's tools call."""

from __future__ import annotations

from trichrome.bootstrap import Project
from trichrome.coordinator import OPERATOR, Caller, Coordinator, attempts, principals, tasks
from trichrome.domain.drafts import Draft
from trichrome.processes import this_machine, this_process
from trichrome.store.port import Principal

_TASK = Draft(kind="search", instructions="Look.")


def introduced(coordinator: Coordinator, name: str) -> Caller:
    """This process as a blue worker that is its own client."""
    machine, process = this_machine(), this_process()
    here = (process.pid, process.start)
    principals.introduce(
        coordinator,
        Principal(
            id=name,
            machine=(machine.host, machine.boot, machine.pid_namespace),
            server=here,
            client=here,
            session=None,
            name=None,
            role="blue",
            lease_seconds=60.0,
        ),
    )
    return Caller(name, roles=("blue",))


class Worker:
    """A blue worker and its lead: they create, claim and report.

    Args:
        project: where.
        name: of its principal; a process may hold several.
    """

    def __init__(self, project: Project, name: str = "bench") -> None:
        self._coordinator = project.coordinator
        self._caller = introduced(project.coordinator, name)
        self._run = tasks.create(project.coordinator, OPERATOR, [_TASK])["run"]

    def enqueue(self) -> None:
        """Add a ready task to the run."""
        tasks.create(self._coordinator, OPERATOR, [_TASK], run=self._run)

    def claim(self) -> str | None:
        """Take the next ready task; answers the attempt's handle."""
        return attempts.claim(self._coordinator, self._caller)["attempt"]

    def report(self, attempt: str) -> None:
        """Complete an attempt."""
        attempts.report(self._coordinator, self._caller, attempt, "completed", "Found it.")

    def report_and_claim(self, attempt: str) -> str | None:
        """Complete an attempt and take the next task in the same transaction."""
        answer = attempts.report(self._coordinator, self._caller, attempt, "completed", "Found it.", claim_next=True)
        return answer["claimed"]["attempt"]
