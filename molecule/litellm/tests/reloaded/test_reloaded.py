"""Another configuration and other reloads while eight clients go on asking: not one request is lost."""

from __future__ import annotations

import copy
from typing import Any

from tests import litellm_host as lab
from tests.proxy.load import Load

# Of each stretch of the load between two changes.
ANSWERS = 40


def test_another_configuration_and_reloads_lose_no_request(host: Any) -> None:
    before, key = lab.identity(host), lab.master_key(host)
    changed = copy.deepcopy(lab.config(host))
    changed["router_settings"]["cooldown_time"] += 1
    with Load(lab.url(), key, lab.request_body, lab.PAUSE_S) as load:
        load.wait_for(ANSWERS)
        code, said = lab.deploy(litellm_config=changed)
        assert code == 0, said[-3000:]
        deployed = lab.identity(host)
        load.wait_for(ANSWERS)
        host.check_output("systemctl reload %s", lab.UNIT)
        assert lab.wait(lambda: lab.serving(host)["pid"] != deployed["generation"])
        load.wait_for(ANSWERS)
    assert load.failures == []
    assert load.answered >= 3 * ANSWERS
    assert deployed["main"] == before["main"]
    assert deployed["generation"] != before["generation"]
    assert deployed["revision"] != before["revision"]
    assert lab.config(host)["router_settings"]["cooldown_time"] == changed["router_settings"]["cooldown_time"]


def test_the_former_generation_is_gone(host: Any) -> None:
    assert lab.wait(lambda: len(lab.state(host)["generations"]) == 1)
    assert host.check_output("ls %s/generations", lab.DIRECTORY).split() == [lab.serving(host)["revision"]]
    assert len(host.check_output("ls %s/environments", lab.DIRECTORY).split()) == 1
