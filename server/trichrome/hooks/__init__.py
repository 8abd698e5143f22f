"""What Claude Code runs at its hooks: the table of them, and the two plain files among them.

The files are started by path, as `python3 -I -S FILE`, by whatever Python the user's PATH names. So they rest on the
standard library, `domain` and `roles` alone, and fail open: where one cannot do its work, Claude Code goes on as if it
were not there.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
"""Where the plain files lie in this installation."""
