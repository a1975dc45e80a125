"""After the first converge: the aliases answer, keys and files are kept to those whose they are, clients reach what is theirs."""

from __future__ import annotations

from typing import Any

import pytest

from tests import litellm_host as lab

# Path below the role's directory -> mode, user, group.
FILES = {
    "clients": (0o700, "root", "root"),
    "clients/assistant.key": (0o600, "root", "root"),
    "run/state.json": (0o600, lab.USER, lab.USER),
    "generations": (0o750, "root", lab.USER),
    "current/config.yaml": (0o640, "root", lab.USER),
    "current/generation.json": (0o640, "root", lab.USER),
    "current/tried": (0o640, "root", lab.USER),
    "current/serve_generation.py": (0o640, "root", lab.USER),
    "current/router.env": (0o600, lab.USER, "root"),
    "current/homelab_llm_auth.py": (0o640, "root", lab.USER),
    "current/clients.json": (0o600, lab.USER, "root"),
}
HELLO = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}


@pytest.fixture
def keys(host: Any) -> dict[str, str]:
    return {"administrator": lab.master_key(host), "assistant": lab.made_key(host), "notebook": lab.GIVEN_KEY}


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_kept_to_those_whose_it_is(host: Any, path: str) -> None:
    file = host.file(f"{lab.DIRECTORY}/{path}")
    assert (file.mode, file.user, file.group) == FILES[path]


def test_main_process_and_generation_belong_to_the_services_user(host: Any) -> None:
    for process in (lab.show(host, "MainPID"), str(lab.serving(host)["pid"])):
        assert host.check_output("ps -o user:32= -p %s", process).strip() == lab.USER


def test_the_router_listens_where_it_was_told(host: Any) -> None:
    lines = [line.split() for line in host.check_output("ss -Htlnp").splitlines()]
    ours = {fields[3] for fields in lines if any("python" in field for field in fields[5:])}
    assert f"{lab.address()}:{lab.PORT}" in ours
    assert [address for address in ours if not address.startswith(("127.0.0.1:", f"{lab.address()}:{lab.PORT}"))] == []


def test_the_drain_is_longer_than_the_slowest_timeout(host: Any) -> None:
    slowest = max(entry["litellm_params"]["timeout"] for entry in lab.config(host)["model_list"])
    variables = host.check_output("cat /proc/%s/environ", str(lab.serving(host)["pid"])).split("\0")
    drain_s = int(next(line for line in variables if line.startswith("GRACEFUL_SHUTDOWN_TIMEOUT=")).partition("=")[2])
    stop = lab.show(host, "TimeoutStopUSec")
    assert drain_s > slowest
    assert stop.startswith("31min"), stop


@pytest.mark.parametrize("alias", ["tools_fast", "coding"])
def test_an_alias_answers(alias: str, keys: dict[str, str]) -> None:
    status, answer = lab.chat(alias, keys["administrator"])
    assert status == 200, answer
    assert answer["choices"][0]["message"]["content"].strip()


# (client, name that it asks for, status)
CALLS = [
    ("assistant", "tools_fast", 200),
    ("assistant", "coding", 403),
    ("assistant", "{id}", 403),
    ("notebook", "coding", 200),
    ("notebook", "tools_fast", 403),
    ("administrator", "coding", 200),
]


@pytest.mark.parametrize(("client", "name", "status"), CALLS, ids=[f"{case[0]} {case[1]}" for case in CALLS])
def test_a_client_calls_what_is_its_own(host: Any, keys: dict[str, str], client: str, name: str, status: int) -> None:
    entry = next(one for one in lab.config(host)["model_list"] if one["model_name"] == "coding")
    found, answer = lab.chat(name.format(id=entry["model_info"]["id"]), keys[client])
    assert found == status, answer


@pytest.mark.parametrize(
    ("client", "names"),
    [
        ("assistant", {"tools_fast"}),
        ("notebook", {"coding", "embedding"}),
        ("administrator", {"tools_fast", "coding", "embedding"}),
    ],
)
def test_a_client_sees_what_is_its_own(keys: dict[str, str], client: str, names: set[str]) -> None:
    status, answer = lab.ask("/v1/models", keys[client])
    assert status == 200, answer
    assert {one["id"] for one in answer["data"]} == names


@pytest.mark.parametrize("key", [None, "sk-wrong", "sk-given.to-the_notebook2"])
def test_nobody_else_is_served(key: str | None) -> None:
    assert lab.chat("tools_fast", key)[0] == 401


@pytest.mark.parametrize("path", ["/settings", "/get/config/callbacks"])
def test_a_client_is_no_administrator(keys: dict[str, str], path: str) -> None:
    assert lab.ask(path, keys["assistant"])[0] == 403


def test_no_key_is_in_anything_that_is_shown(host: Any, keys: dict[str, str]) -> None:
    shown = {
        "show": host.check_output("systemctl show %s", lab.UNIT),
        "cat": host.check_output("systemctl cat %s", lab.UNIT),
        "journal": host.check_output("journalctl --no-pager --output=verbose"),
        "processes": host.check_output("ps -eo args"),
        "generation": host.check_output("cat %s/config.yaml %s/generation.json %s/clients.json", *[lab.CURRENT] * 3),
        "state": host.file(lab.STATE).content_string,
    }
    assert all(shown.values())
    assert [(name, whose) for name, text in shown.items() for whose, key in keys.items() if key in text] == []


def test_a_generation_that_dies_is_started_again(host: Any) -> None:
    before = lab.identity(host)
    host.check_output("kill -9 %s", str(before["generation"]))
    assert lab.wait(
        lambda: before["generation"] != next(iter(lab.state(host)["generations"]), {"pid": before["generation"]})["pid"]
    )
    # Requests wait for it, they are not refused.
    assert lab.chat("tools_fast", lab.master_key(host))[0] == 200
    after = lab.identity(host)
    assert (after["main"], after["revision"]) == (before["main"], before["revision"])


def test_remember_who_serves(host: Any) -> None:
    """Later steps compare with this: the second converge must not touch anything."""
    lab.record(identity=lab.identity(host), files=lab.files(host))
