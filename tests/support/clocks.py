"""A clock that a test moves."""

from __future__ import annotations

from trichrome.clock import Instant


class ManualClock:
    """Time that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.monotonic = 1_000.0
        self.boot = "boot-1"

    def now(self) -> Instant:
        return Instant(wall=self.wall, monotonic=self.monotonic, boot=self.boot)

    def pass_seconds(self, seconds: float) -> None:
        """Time goes by, on the wall and on the machine."""
        self.wall += seconds
        self.monotonic += seconds

    def reboot(self, *, seconds: float = 60.0) -> None:
        """The machine starts again: another boot, and its monotonic clock begins anew."""
        self.wall += seconds
        self.monotonic = 5.0
        self.boot = f"boot-{int(self.boot.removeprefix('boot-')) + 1}"
