"""The procrastinate package on PostgreSQL: deferred jobs, its own worker, and its documented task for stalled jobs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final, NoReturn

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from psycopg import sql

from bench.peers.postgres import CONNECTION
from bench.peers.store import GONE_SECONDS, Do, Noted, Store

_LOOK: Final = "look"
_BEAT_SECONDS: Final = 0.3
"""How often a worker says that it lives; the package's own is 10 s."""


class _Manager(JobManager):
    """Tells of each job of ours that was finished."""

    noted: Noted = staticmethod(lambda _task, _execution: None)

    def __init__(self, connector: Any) -> None:
        super().__init__(connector)
        self.executions: dict[str, str] = {}

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        await super().finish_job(job, status, delete_job)
        if job.task_name == _LOOK:
            self.noted(str(job.id), self.executions.pop(str(job.id)))


class Procrastinate(Store):
    """An app with a database of its own."""

    def __init__(self, folder: Path) -> None:
        conninfo = f"{os.environ[CONNECTION]} dbname={_database(folder.name)}"
        self._app = App(connector=PsycopgConnector(conninfo=conninfo))
        self._manager = self._app.job_manager = _Manager(self._app.connector)
        self._do: Do = str
        self._look = self._app.task(name=_LOOK, pass_context=True)(self._run)
        self._runner = asyncio.Runner()
        self._runner.run(self._open())

    async def _open(self) -> None:
        await self._app.open_async()
        if not await self._app.check_connection_async():
            await self._app.schema_manager.apply_schema_async()

    async def _run(self, context: Any) -> None:
        task = str(context.job.id)
        self._manager.executions[task] = self._do(task)

    def put(self) -> str:
        return str(self._runner.run(self._look.defer_async()))

    def cycles(self, count: int) -> None:
        self._runner.run(self._cycles(count))

    async def _cycles(self, count: int) -> None:
        for _ in range(count):
            await self._look.defer_async()
        await self._app.run_worker_async(wait=False, install_signal_handlers=False)

    def work(self, do: Do, noted: Noted) -> NoReturn:
        self._do, self._manager.noted = do, noted
        self._app.periodic(cron="* * * * * *")(
            self._app.task(queueing_lock="retry_stalled_jobs", pass_context=True)(_retry_stalled_jobs)
        )
        self._runner.run(
            self._app.run_worker_async(
                update_heartbeat_interval=_BEAT_SECONDS,
                stalled_worker_timeout=GONE_SECONDS,
                fetch_job_polling_interval=_BEAT_SECONDS,
            )
        )
        raise RuntimeError("The worker ended.")

    def done(self) -> set[str]:
        found = self._runner.run(self._app.job_manager.list_jobs_async(task=_LOOK, status="succeeded"))
        return {str(job.id) for job in found}

    def close(self) -> None:
        self._runner.run(self._app.close_async())
        self._runner.close()


async def _retry_stalled_jobs(context: Any, timestamp: int) -> None:  # noqa: ARG001 - handed over by its name
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=GONE_SECONDS):
        await manager.retry_job(job)


def _database(name: str) -> str:
    """A database of that name, made when there is none; answers how to call it."""
    with psycopg.connect(f"{os.environ[CONNECTION]} dbname=postgres", autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return name


def opened(folder: Path, _slot: int) -> Procrastinate:
    return Procrastinate(folder)
