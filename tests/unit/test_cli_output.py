"""How commands speak: advice that names tools names commands at a shell."""

from __future__ import annotations

import pytest

from trichrome.cli import GROUPS
from trichrome.cli.output import COMMANDS, for_shell
from trichrome.mcp_server import tools


@pytest.mark.parametrize(
    ("advice", "told"),
    [
        ("list_tasks shows them.", "`trichrome list` shows them."),
        ("get_task(task='t3') has them whole", "`trichrome show t3` has them whole"),
        ("Look with get_task or list_tasks.", "Look with `trichrome show` or `trichrome list`."),
        ("create_task answers it.", "`trichrome create` answers it."),
        ("start a Claude that calls claim_task(role='blue')", "start a Claude that calls claim_task(role='blue')"),
        ("'list_tasks' is not a task.", "'list_tasks' is not a task."),
        ("my_list_tasks and list_tasks2", "my_list_tasks and list_tasks2"),
        ("Call wait again with cursor=4.", "Call wait again with cursor=4."),
    ],
)
def test_tools_in_advice_become_commands_and_what_a_person_wrote_stays(advice: str, told: str) -> None:
    assert for_shell(advice) == told


def test_each_tool_that_is_translated_is_one_and_so_is_its_command() -> None:
    commands = {name for names in GROUPS.values() for name in names}

    assert COMMANDS.keys() <= {tool.name for tool in tools.TOOLS}
    assert set(COMMANDS.values()) <= commands
