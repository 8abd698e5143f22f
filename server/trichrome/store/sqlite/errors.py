"""The one translation of SQLite's errors into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import apsw

from trichrome.errors import StoreUnavailableError


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the driver raises inside into a refusal that says what to do.

    Raises:
        StoreUnavailableError: the log cannot be read or written; what was acknowledged is kept.
    """
    try:
        yield
    except apsw.Error as error:
        raise_translated(path, error)


def raise_translated(path: Path, error: apsw.Error) -> NoReturn:
    """Raise what an error of the driver means for whoever called; the error itself where it is a defect of ours."""
    match error:
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            why = f"Another program holds {path} for too long. Try again; `trichrome doctor` shows who is connected."
        case apsw.FullError():
            why = f"The disk of {path} is full, so nothing was changed. Free some space and try again."
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            why = f"{path} cannot be written, so nothing was changed. Make the folder writable for this user."
        case apsw.CantOpenError():
            why = f"{path} cannot be opened. Check that its folder exists and is readable and writable for this user."
        case apsw.CorruptError() | apsw.NotADBError():
            why = f"{path} is damaged. Stop writing to it, copy the folder aside, and run `trichrome doctor`."
        case apsw.IOError():
            why = (
                f"The disk refused to read or write {path}; nothing that was acknowledged is lost. "
                "Check the disk, then try again."
            )
        case _:
            raise error
    raise StoreUnavailableError(why) from error
