"""The one translation of SQLite's errors into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    except (apsw.BusyError, apsw.LockedError, apsw.ProtocolError) as error:
        raise StoreUnavailableError(
            f"Another program holds {path} for too long. Try again; `trichrome doctor` shows who is connected."
        ) from error
    except apsw.FullError as error:
        raise StoreUnavailableError(
            f"The disk of {path} is full, so nothing was changed. Free some space and try again."
        ) from error
    except (apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError) as error:
        raise StoreUnavailableError(
            f"{path} cannot be written, so nothing was changed. Make the folder writable for this user."
        ) from error
    except apsw.CantOpenError as error:
        raise StoreUnavailableError(
            f"{path} cannot be opened. Check that its folder exists and is readable and writable for this user."
        ) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StoreUnavailableError(
            f"{path} is damaged. Stop writing to it, copy the folder aside, and run `trichrome doctor`."
        ) from error
    except apsw.IOError as error:
        raise StoreUnavailableError(
            f"The disk refused to read or write {path}; nothing that was acknowledged is lost. "
            "Check the disk, then try again."
        ) from error
