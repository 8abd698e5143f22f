"""The prompts a client can offer: one for each role, and `orchestrate` for a lead."""

from __future__ import annotations

import mcp_types as types

from trichrome.domain.text import clean
from trichrome.errors import InvalidError
from trichrome.mcp_server.session import Session


def listed(session: Session) -> list[types.Prompt]:
    """Every prompt."""
    roles = session.roles()
    return [
        types.Prompt(
            name="orchestrate",
            description="Lead several workers on one request.",
            arguments=[types.PromptArgument(name="request", description="What is wanted.", required=True)],
        ),
        *(types.Prompt(name=name, description=roles.read(name).description) for name in roles.names),
    ]


def get(session: Session, name: str, arguments: dict[str, str] | None) -> types.GetPromptResult:
    """One prompt.

    Raises:
        InvalidError: no such prompt, or `orchestrate` without a request.
    """
    given = arguments or {}
    if name == "orchestrate":
        if not given.get("request"):
            raise InvalidError("request is missing. Say what is wanted.", field="request")
        from trichrome.domain import orchestration

        text = orchestration.lead(clean(given["request"]))
    else:
        text = session.roles().read(name).prompt
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.GetPromptResult(messages=[message])
