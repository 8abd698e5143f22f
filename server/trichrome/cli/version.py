"""`trichrome version`."""

from __future__ import annotations

from trichrome.cli.output import Json, document, new_app, say
from trichrome.version import VERSION

app = new_app()


@app.command(epilog="Example: trichrome version")
def version(as_json: Json = False) -> None:
    """Print the version of this program."""
    if as_json:
        document({"version": VERSION})
    else:
        say(f"trichrome {VERSION}")
