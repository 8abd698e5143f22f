"""Figures that nobody measured, and the machine that nobody has."""

from __future__ import annotations

from bench.machine import Machine
from bench.measure import Aim, Figure, Spread

MACHINE = Machine(
    cpu="A processor",
    cores=4,
    system="Linux 6.1 x86_64",
    python="CPython 3.11.7",
    sqlite="3.54.1 (apsw 3.54.1.0)",
    mcp="2.3.0",
    file_system="ext4",
    syncs_a_second=1234.5,
    load=0.1,
    date="2026-11-23",
    commit="abc1234",
)
HELD = Figure(
    name="cycles.full",
    says="cycles, full",
    unit="1/s",
    value=Spread(1234.5, 1200.0, 1300.0, 5),
    floor=Spread(1500.0, 1400.0, 1600.0, 5),
    against="by hand",
    ratio=Spread(0.8234, 0.81, 0.83, 5),
    aim=Aim("at least", 0.8),
)
MISSED = Figure(
    name="cycles.fast",
    says="cycles, fast",
    unit="1/s",
    value=Spread(4000.0, 3900.0, 4100.0, 5),
    floor=Spread(10_000.0, 9_000.0, 11_000.0, 5),
    against="by hand",
    ratio=Spread(0.4, 0.39, 0.41, 5),
    aim=Aim("at least", 0.5),
    note="Python runs between the statements.",
)
PLAIN = Figure(name="log.size", says="a task's log", unit="bytes", value=Spread.of([1234]))
