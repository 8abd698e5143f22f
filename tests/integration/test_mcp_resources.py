"""Resources, their change notices, and prompts, in both eras, with changes made by another process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servers import ERAS, Era, Server, ending

Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    with ending() as start:
        yield start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def other(folder: Path) -> Iterator[Server]:
    with ending() as start:
        yield start(folder)


@pytest.fixture(scope="module", params=ERAS)
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server of each era, all in the project of `other`."""
    with ending() as start:
        yield start(folder, era=request.param)


def created(server: Server) -> tuple[str, str]:
    """A new task and its run."""
    made = server.call("create_task", kind="search", instructions="look")
    return made["tasks"][0]["id"], made["run"]


@pytest.mark.parametrize("era", ERAS)
def test_subscriber_that_called_no_tool_is_told_of_a_change_by_another_process(
    start: Start, other: Server, folder: Path, era: Era
) -> None:
    task, run = created(other)
    server = start(folder, era=era)
    wanted = {f"trichrome://{uri}" for uri in (f"tasks/{task}", f"runs/{run}", "status")}
    subscribe(server, *wanted)

    other.call("cancel_task", task=task)  # at once: nothing may be missed between the subscription and the first look
    told = [server.notice("notifications/resources/updated", seconds=5)["uri"] for _ in wanted]

    assert set(told) == wanted


def test_resources_are_listed_and_read(server: Server) -> None:
    task, run = created(server)
    listed = server.result("resources/list")["resources"]
    templates = server.result("resources/templates/list")["resourceTemplates"]

    read = {
        uri: server.result("resources/read", {"uri": f"trichrome://{uri}"})["contents"][0]
        for uri in ("status", f"tasks/{task}", f"runs/{run}", "roles/blue")
    }

    assert [each["uri"] for each in listed] == ["trichrome://status"]
    assert [each["uriTemplate"] for each in templates] == [
        "trichrome://tasks/{id}",
        "trichrome://runs/{id}",
        "trichrome://roles/{name}",
    ]
    assert json.loads(read["status"]["text"]) == server.call("get_status")
    assert json.loads(read[f"tasks/{task}"]["text"]) == server.call("get_task", task=task)
    assert json.loads(read[f"runs/{run}"]["text"]) == server.call("list_tasks", run=run)
    assert read["roles/blue"]["mimeType"] == "text/markdown"
    assert "blue" in read["roles/blue"]["text"].lower()
    assert {each["uri"] for each in read.values()} == {f"trichrome://{uri}" for uri in read}


def test_a_resource_is_held_to_the_size_of_an_answer(server: Server) -> None:
    created = server.call("create_task", kind="search", instructions="i" * 20_000)
    claimed = server.call("claim_task", task=created["tasks"][0]["id"])
    server.call("report_result", attempt=claimed["attempt"], outcome="completed", summary="s", data="d" * 30_000)
    task = claimed["task"]["id"]

    (read,) = server.result("resources/read", {"uri": f"trichrome://tasks/{task}"})["contents"]

    assert len(read["text"]) <= 40_000
    assert json.loads(read["text"]) == server.call("get_task", task=task)


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("trichrome://nothing", "not_found"),
        ("trichrome://tasks/t99", "not_found"),
        ("trichrome://tasks/../../etc", "not_found"),
        ("trichrome://roles/violet", "unknown_role"),
        ("file:///etc/passwd", "not_found"),
        ("trichrome://tasks/" + "x" * 5000, "not_found"),
    ],
)
def test_unknown_resource_is_an_error_with_a_stable_code(server: Server, uri: str, code: str) -> None:
    error = server.error("resources/read", {"uri": uri})

    assert error["code"] == -32602
    assert error["data"]["error"]["code"] == code
    assert error["data"]["error"]["message"] == error["message"]
    assert len(error["message"]) < 400


def subscribe(server: Server, *uris: str) -> None:
    """Ask for notices about resources, as each era does."""
    if server.era == "2026-07-28":
        server.ask("subscriptions/listen", {"notifications": {"resourceSubscriptions": list(uris)}})
        server.notice("notifications/subscriptions/acknowledged")
    else:
        for uri in uris:
            server.result("resources/subscribe", {"uri": uri})


def test_subscriber_is_not_told_of_what_it_did_not_ask_for(server: Server, other: Server) -> None:
    (ignored, _), (wanted, _) = created(other), created(other)
    subscribe(server, f"trichrome://tasks/{wanted}")

    other.call("cancel_task", task=ignored)
    other.call("cancel_task", task=wanted)
    told = server.notice("notifications/resources/updated", seconds=5)["uri"]

    assert told == f"trichrome://tasks/{wanted}"
    assert not [message for message in server.unread if message.get("method") == "notifications/resources/updated"]


def test_subscriber_that_left_hears_no_more(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)
    server.call("create_task", kind="search", instructions="look")
    for uri in ("trichrome://tasks/t1", "trichrome://status"):
        server.result("resources/subscribe", {"uri": uri})

    server.result("resources/unsubscribe", {"uri": "trichrome://tasks/t1"})
    server.call("cancel_task", task="t1")

    assert server.notice("notifications/resources/updated", seconds=5)["uri"] == "trichrome://status"
    assert not [message for message in server.unread if message.get("method") == "notifications/resources/updated"]


def test_subscription_to_what_cannot_be_is_refused(other: Server) -> None:
    error = other.error("resources/subscribe", {"uri": "trichrome://nothing"})

    assert error["data"]["error"]["code"] == "not_found"


def test_subscriber_that_reads_nothing_for_a_while_stops_nothing(start: Start, tmp_path: Path) -> None:
    server, other = start(tmp_path), start(tmp_path)
    for number in range(40):
        server.result("resources/subscribe", {"uri": f"trichrome://tasks/t{number}"})
    line = json.dumps(server.request("deaf", "tools/list")).encode() + b"\n"
    server.send_bytes(line * 60, reading=False)  # the pipe is full from here on

    for _ in range(40):
        other.call("create_task", kind="search", instructions="x")
    time.sleep(1.2)  # two turns of the notices, which now wait at the pipe
    answers = [server.answer("deaf") for _ in range(60)]

    assert len(answers) == 60
    assert server.notice("notifications/resources/updated")
    assert server.call("get_status")["tasks"] == {"ready": 40}


@pytest.mark.parametrize("era", ERAS)
def test_prompts_are_listed_and_given_without_opening_a_project(start: Start, tmp_path: Path, era: Era) -> None:
    server = start(tmp_path, era=era)
    listed = {prompt["name"]: prompt for prompt in server.result("prompts/list")["prompts"]}
    blue = server.result("prompts/get", {"name": "blue"})["messages"]
    lead = server.result("prompts/get", {"name": "orchestrate", "arguments": {"request": "mend\u202e it"}})["messages"]

    assert list(listed) == ["orchestrate", "blue", "green", "red"]
    assert all(prompt["description"] for prompt in listed.values())
    assert blue[0]["role"] == "user"
    assert lead[0]["content"]["text"].endswith("The request:\nmend it")
    assert not (tmp_path / ".trichrome").exists()


@pytest.mark.parametrize(
    ("params", "code", "field"),
    [({"name": "orchestrate"}, "invalid", "request"), ({"name": "violet"}, "unknown_role", "role")],
    ids=["no request", "no such prompt"],
)
def test_prompt_that_cannot_be_given_is_an_error_with_a_stable_code(
    other: Server, params: dict[str, str], code: str, field: str
) -> None:
    error = other.error("prompts/get", params)["data"]["error"]

    assert (error["code"], error["field"]) == (code, field)


def test_roles_of_the_project_have_prompts_too(start: Start, tmp_path: Path) -> None:
    agents = tmp_path / ".trichrome" / "agents"
    agents.mkdir(parents=True)
    (agents / "violet.md").write_text("---\nname: violet\ndescription: Paints.\nmodel: haiku\n---\nPaint it.\n")
    server = start(tmp_path)

    before = server.result("prompts/get", {"name": "violet"})["messages"][0]["content"]["text"]
    server.call("get_status")
    after = server.result("prompts/get", {"name": "violet"})["messages"][0]["content"]["text"]

    assert before == after == "Paint it.\n"
