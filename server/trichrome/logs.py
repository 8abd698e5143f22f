"""The program's own log: JSON lines in a rotating file; nothing ever on stdout, which belongs to the protocol."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path
from typing import Any, Final

FILE_BYTES: Final = 5 * 1024 * 1024
FILES: Final = 3
SECRETS: Final = ("key", "token", "secret", "password", "authorization")
"""A field whose name holds one of these is not written."""


def open_log(folder: Path, *, name: str, level: str) -> None:
    """Write structured events to `folder/logs/<name>.jsonl` from here on."""
    import structlog

    path = folder / "logs"
    path.mkdir(mode=0o700, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        path / f"{name}.jsonl", maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("trichrome")
    logger.handlers[:] = [handler]
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


def without_secrets(_logger: Any, _method: str, event: Any) -> Any:
    """Blank fields that look like secrets, whatever put them there."""
    return {
        name: "(not written)" if any(word in name.lower() for word in SECRETS) else value
        for name, value in event.items()
    }


def _dropped(_logger: Any, _method: str, _event: Any) -> Any:
    import structlog

    raise structlog.DropEvent


def get(name: str) -> Any:
    """The structured logger of a module; silent until `open_log`."""
    import structlog

    if not structlog.is_configured():
        structlog.configure(processors=[_dropped])
    return structlog.get_logger(f"trichrome.{name}")
