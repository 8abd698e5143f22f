"""The log in one SQLite file, through apsw, which carries a SQLite of its own.

SQLite versions 3.7.0 to 3.51.2 can corrupt a WAL that two connections write or checkpoint at once, and nearly every
Python's own is one of them; so the standard library's SQLite never opens the live file.
"""

from trichrome.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
