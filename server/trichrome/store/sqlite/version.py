"""Which form of the file this program knows; kept apart so that opening a current file imports no migrations."""

from typing import Final

LATEST: Final = 7
"""`PRAGMA user_version` of a current file: the number of migrations."""

OLDEST_SQLITE: Final = 3_051_003
"""SQLite 3.51.3, the first release without the WAL-reset bug (sqlite.org/wal.html)."""
