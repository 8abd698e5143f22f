"""Fleets as a supervisor writes them into the log, without one."""

from __future__ import annotations

from typing import Any

from trichrome.processes import this_machine, this_process

NOON = 1_767_268_800.0


def worker(name: str, state: str, **more: Any) -> dict[str, Any]:
    """One worker of a fleet."""
    common = {"name": name, "role": name.partition("-")[0], "state": state, "since": NOON, "failures": 0}
    return {**common, "cost_usd": 0.0, "log": f".trichrome/logs/{name}.log", **more}


def fleet_of(*workers: dict[str, Any], alive: bool = True, **more: Any) -> dict[str, Any]:
    """A fleet kept by this process, or by one that is gone."""
    machine = this_machine()
    here = this_process()
    return {
        "supervisor": {
            "pid": here.pid,
            "start": here.start if alive else here.start - 1,
            "since": NOON,
            "supervision": "5u9e",
            "machine": [machine.host, machine.boot, machine.pid_namespace],
        },
        "runner": "claude",
        "workers": list(workers),
        "stopping": False,
        "cost_usd": 0.0,
        **more,
    }
