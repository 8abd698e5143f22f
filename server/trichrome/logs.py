"""The program's own log: JSON lines in rotating files; nothing ever on stdout, which belongs to the protocol.

Each process writes files of its own: two that rotate the same one would lose each other's lines.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Any, Final

FILE_BYTES: Final = 5 * 1024 * 1024
FILES: Final = 3
"""Earlier parts of one process's file that are kept."""
KEPT: Final = 20
"""Files of all processes together; the oldest go when a process begins its own."""
SECRETS: Final = ("key", "token", "secret", "password", "authorization")
"""A field whose name holds one of these is not written."""


def open_log(folder: Path, *, name: str, level: str) -> None:
    """Write structured events to `folder/logs/<name>-<pid>.jsonl` from here on, and let go of the oldest such files."""
    structlog = _structlog()
    path = folder / "logs"
    path.mkdir(mode=0o700, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        path / f"{name}-{os.getpid()}.jsonl", maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", delay=True
    )
    _prune(path, name)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("trichrome")
    for earlier in logger.handlers[:]:
        logger.removeHandler(earlier)
        earlier.close()
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            without_secrets,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def own_file(path: Path) -> tuple[Any, logging.Handler]:
    """A logger that writes to a rotating file of its own, beside the program's log, and what to close at the end."""
    structlog = _structlog()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.Logger(path.name)  # noqa: LOG001 - of nobody else's tree, and gone with its owner
    logger.addHandler(handler)
    processors = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_secrets,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    return structlog.wrap_logger(logger, processors=processors, wrapper_class=structlog.stdlib.BoundLogger), handler


def _prune(folder: Path, name: str) -> None:
    """Keep the newest files; another process may be doing the same at this moment."""
    ages = []
    for path in folder.glob(f"{name}*.jsonl*"):
        with contextlib.suppress(FileNotFoundError):
            ages.append((path.stat().st_mtime, path))
    for _, path in sorted(ages, reverse=True)[KEPT:]:
        path.unlink(missing_ok=True)


def without_secrets(_logger: Any, _method: str, event: Any) -> Any:
    """Blank fields that look like secrets, whatever put them there."""
    return {
        name: "(not written)" if any(word in name.lower() for word in SECRETS) else value
        for name, value in event.items()
    }


def _dropped(_logger: Any, _method: str, _event: Any) -> Any:
    raise _structlog().DropEvent


def get(name: str) -> Any:
    """The structured logger of a module; silent until `open_log`."""
    structlog = _structlog()
    if not structlog.is_configured():
        structlog.configure(processors=[_dropped])
    return structlog.get_logger(f"trichrome.{name}")


def _structlog() -> Any:
    """The library, without rich: it would load that, 4 MiB, to draw tracebacks on a terminal, as nobody does here."""
    is_spared = not sys.modules.keys() & {"rich", "structlog"}
    if is_spared:
        sys.modules["rich"] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    try:
        import structlog
    finally:
        if is_spared:
            del sys.modules["rich"]
    return structlog
