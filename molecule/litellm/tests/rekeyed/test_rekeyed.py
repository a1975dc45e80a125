"""Another master key, a client less, a secret more: a new generation on the same main process; the former keys open nothing."""

from __future__ import annotations

from typing import Any

from tests import litellm_host as lab

MASTER = "sk-another-key-of-the-router"
KEYS = {
    "litellm_master_key": MASTER,
    "litellm_secrets": {"REDIS_PASSWORD": "a b#c$d"},
    "litellm_clients": {"notebook": {"models": ["coding"], "key": lab.GIVEN_KEY}},
}


def test_other_keys_are_another_generation(host: Any) -> None:
    before, master, client = lab.identity(host), lab.master_key(host), lab.made_key(host)
    assert lab.chat("tools_fast", client)[0] == 200
    code, said = lab.deploy(**KEYS)
    assert code == 0, said[-3000:]
    assert [key for key in (MASTER, "a b#c$d", master, client) if key in said] == []
    after = lab.identity(host)
    assert after["main"] == before["main"]
    assert after["revision"] != before["revision"]
    asked = {"former master key": master, "client that has left": client, "master key": MASTER, "client": lab.GIVEN_KEY}
    assert {who: lab.chat("coding", key)[0] for who, key in asked.items()} == {
        "former master key": 401,
        "client that has left": 401,
        "master key": 200,
        "client": 200,
    }


def test_the_generation_has_its_secrets_to_itself(host: Any) -> None:
    file = host.file(f"{lab.CURRENT}/router.env")
    assert (file.mode, file.user) == (0o600, lab.USER)
    variables = host.check_output("cat /proc/%s/environ", str(lab.serving(host)["pid"])).split("\0")
    assert "REDIS_PASSWORD=a b#c$d" in variables
    assert not host.file(f"{lab.DIRECTORY}/clients/assistant.key").exists
