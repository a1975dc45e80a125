"""After the first converge: the units run as nobody in particular, are shut in, keep the secret, and come back when they die."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests import systemd_host as lab

UNITS = sorted(lab.USERS)
HARDENING = {
    "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectHome": "read-only",
    "PrivateTmp": "yes", "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes", "ProtectControlGroups": "yes", "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes", "Restart": "always", "UMask": "0077",
}  # fmt: skip
# Asks the router with the key from its file, so that the key is in no command line. Prints the answer.
ASK = """
import json, sys, urllib.request
key = open(sys.argv[1]).read().split("LITELLM_MASTER_KEY=", 1)[1].split()[0]
head = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
request = urllib.request.Request("http://127.0.0.1:18400" + sys.argv[2], sys.argv[3].encode(), head)
print(urllib.request.urlopen(request, timeout=120).read().decode())
"""


def ask(host: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return json.loads(host.check_output("python3 -c %s %s %s %s", ASK, lab.KEY_FILE, path, json.dumps(body)))


def ask_chat(host: Any) -> str:
    body = {"model": "tools_fast", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
    return ask(host, "/v1/chat/completions", body)["choices"][0]["message"]["content"].strip()


@pytest.fixture
def key(host: Any) -> str:
    return host.file(lab.KEY_FILE).content_string.split("LITELLM_MASTER_KEY=", 1)[1].split()[0]


def test_systemd_has_these_units_and_no_others(host: Any) -> None:
    assert lab.unit_files(host) == lab.UNIT_FILES


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_runs_and_is_there_after_a_reboot(host: Any, unit: str) -> None:
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled
    assert lab.show(host, unit, "NRestarts") == "0"


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_has_an_unprivileged_user_of_its_role(host: Any, unit: str) -> None:
    found = host.check_output("ps -o user:32= -p %s", lab.show(host, unit, "MainPID")).strip()
    assert found == lab.USERS[unit]
    user = host.user(found)
    assert 0 < user.uid < 1000
    assert user.shell == "/usr/sbin/nologin"
    assert user.groups == [found]


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_shuts_a_unit_in(host: Any, unit: str) -> None:
    assert {name: lab.show(host, unit, name) for name in HARDENING} == HARDENING


@pytest.mark.parametrize("unit", UNITS)
def test_the_kernel_shuts_a_unit_in(host: Any, unit: str) -> None:
    lines = host.file(f"/proc/{lab.show(host, unit, 'MainPID')}/status").content_string.splitlines()
    status = {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}
    assert {name: int(status[name], 16) for name in ("CapBnd", "CapEff", "CapPrm")} == {"CapBnd": 0, "CapEff": 0, "CapPrm": 0}
    # 2: system calls are filtered.
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_sees_a_file_system_that_nobody_writes(host: Any, unit: str) -> None:
    """Root itself, put into the unit's view of the file system."""
    files = [f"{folder}/homelab-llm-test" for folder in ("/etc", "/opt/homelab-llm", "/var/lib", "/root")]
    done = host.run("nsenter --target %s --mount -- touch %s %s %s %s", lab.show(host, unit, "MainPID"), *files)
    assert done.rc != 0
    assert done.stderr.count("Read-only file system") == len(files), done.stderr


def test_all_that_listens_does_so_on_loopback(host: Any) -> None:
    addresses = [line.split()[3] for line in host.check_output("ss -Htln").splitlines()]
    ours = {address for address in addresses if not address.endswith(":22")}
    assert ours == {f"127.0.0.1:{port}" for port in lab.PORTS.values()}


def test_the_key_is_read_by_the_router_only(host: Any) -> None:
    file = host.file(lab.KEY_FILE)
    assert (file.mode, file.user) == (0o600, "homelab-litellm")
    assert host.run("runuser -u homelab-llama-cpp -- cat %s", lab.KEY_FILE).rc != 0


def test_the_key_is_in_nothing_that_is_shown(host: Any, key: str) -> None:
    assert len(key) >= 20
    shown = {
        "show": host.check_output("systemctl show %s.service", lab.ROUTER),
        "cat": host.check_output("systemctl cat %s.service", lab.ROUTER),
        "journal": host.check_output("journalctl --no-pager --output=verbose"),
        "config": host.file(f"{lab.DIRECTORY}/litellm/current/config.yaml").content_string,
        "processes": host.check_output("ps -eo args"),
    }
    assert all(shown.values())
    assert [name for name, text in shown.items() if key in text] == []


def test_only_the_router_reads_its_configuration(host: Any) -> None:
    file = host.file(f"{lab.DIRECTORY}/litellm/current/config.yaml")
    assert (file.mode, file.user, file.group) == (0o640, "root", "homelab-litellm")


def test_the_aliases_answer(host: Any) -> None:
    assert ask_chat(host)
    answer = ask(host, "/v1/embeddings", {"model": "embedding", "input": "hello"})
    assert len(answer["data"][0]["embedding"]) == 576


@pytest.mark.parametrize("unit", UNITS)
def test_a_restarted_unit_serves_again(host: Any, unit: str) -> None:
    before = lab.show(host, unit, "MainPID")
    host.check_output("systemctl restart %s.service", unit)
    assert lab.wait(lambda: lab.status(host, unit) == 200)
    assert lab.show(host, unit, "MainPID") != before


def test_systemd_starts_a_killed_engine_again(host: Any) -> None:
    before = lab.show(host, lab.ENGINE, "MainPID")
    host.check_output("kill -9 %s", before)
    assert lab.wait(lambda: lab.show(host, lab.ENGINE, "MainPID") not in ("0", before))
    assert lab.wait(lambda: lab.status(host, lab.ENGINE) == 200)
    assert lab.show(host, lab.ENGINE, "NRestarts") == "1"
    assert ask_chat(host)


def test_remember_who_runs(host: Any) -> None:
    """Later steps compare with this: the second converge must not restart anything."""
    lab.RECORD.write_text(yaml.safe_dump(lab.identities(host)), encoding="utf-8")
