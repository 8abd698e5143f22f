"""The one translation of SQLite's errors, and of the file system's, into ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import apsw

from trichrome.errors import StoreDamagedError, StoreUnavailableError
from trichrome.store.codec import NoEventError

FAULTS: Final = (apsw.Error, NoEventError, UnicodeDecodeError)
"""What reading and writing the file raises: the driver itself, or what finds no sense in the bytes that it gave."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what reading and writing, or the file system, raise inside into a refusal that says what to do.

    Raises:
        StoreUnavailableError: the log cannot be read or written; what was acknowledged is kept.
        StoreDamagedError: its bytes are not what was written.
    """
    try:
        yield
    except (*FAULTS, OSError) as error:
        raise_translated(path, error)


def raise_translated(path: Path, error: Exception) -> NoReturn:
    """Raise what a fault, or the file system's error, means for whoever called; a defect of ours as it is."""
    match error:
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            why = (
                f"Another program holds {path} for too long, so nothing was changed. Try again; `trichrome doctor` "
                "shows who is connected."
            )
        case OSError(errno=number) if number in _FULL:
            why = _full(path)
        case OSError(errno=number) if number in _FORBIDDEN:
            why = (
                f"{error.filename or path} cannot be read or written by this user ({error.strerror}), so nothing was "
                "changed. Make the folder readable and writable for this user; `trichrome doctor` says what it finds "
                "there."
            )
        case OSError():
            why = (
                f"The disk refused {error.filename or path} ({error.strerror or error}); nothing that was acknowledged "
                "is lost. Check the disk, then try again; `trichrome repair --check` reads all of it."
            )
        case apsw.FullError():
            why = _full(path)
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            why = (
                f"{path} cannot be written, so nothing was changed. Make the folder writable for this user; `trichrome "
                "doctor` says what it finds there."
            )
        case apsw.CantOpenError():
            why = (
                f"{path} cannot be opened, so nothing was changed. Check that its folder exists and is readable and "
                "writable for this user; `trichrome doctor` says what it finds there."
            )
        case apsw.CorruptError() | apsw.NotADBError() | NoEventError() | UnicodeDecodeError():
            raise StoreDamagedError(
                f"{path} is damaged; it is kept as it is. `trichrome repair --log` says what can be saved of it, and "
                "saves that with `--yes`."
            ) from error
        case apsw.IOError():
            why = (
                f"The disk refused to read or write {path}; nothing that was acknowledged is lost. "
                "Check the disk, then try again; `trichrome repair --check` reads all of it."
            )
        case _:
            raise error
    raise StoreUnavailableError(why) from error


def _full(path: Path) -> str:
    return (
        f"The disk of {path} is full, so nothing was changed. Free some space and try again; `trichrome repair "
        "--check` looks whether all is whole."
    )
