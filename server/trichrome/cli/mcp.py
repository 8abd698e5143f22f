"""`trichrome mcp` in the list of commands. The entry point starts the server before it would import this package."""

from __future__ import annotations

import typer

from trichrome.cli.output import new_app

app = new_app()


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: claude mcp add trichrome -- trichrome mcp",
)
def mcp(context: typer.Context) -> None:
    """Serve the tools to one MCP client, such as Claude Code, on standard input and output."""
    from trichrome.mcp_server import main as serve

    raise typer.Exit(serve(context.args))
