"""The program's version, readable without the package metadata."""

from typing import Final

VERSION: Final = "0.1.0"
