"""After the upgrade: the same servers out of the newer build's tree, started one after the other."""

from __future__ import annotations

from typing import Any

from tests import llama_cpp_hosts as lab
from tests.llama_cpp_checks import AsPlanned
from tests.llama_cpp_servers import NEW, OLD


class TestUpgraded(AsPlanned):
    build = NEW


def test_the_older_tree_is_kept(host: Any) -> None:
    assert [name.rsplit("-", 1)[0] for name in lab.trees(host)] == [OLD, NEW]


def test_one_server_was_started_when_the_one_before_was_ready(host: Any) -> None:
    times = "systemctl show --property ExecMainStartTimestamp --value %s | xargs -I T date --date T +%%s"
    first, second = (int(host.check_output(times, lab.unit(model))) for model in lab.PORTS)
    ready = "journalctl --no-pager --output=short-unix --unit %s _PID=%s --grep 'model loaded'"
    lines = host.check_output(ready, lab.unit("smollm2"), lab.show(host, "smollm2", "MainPID")).splitlines()
    assert first <= float(lines[-1].split()[0]) <= second + 1


def test_no_model_was_fetched_again(host: Any) -> None:
    fetched = [path for path in lab.requests(lab.name_of(host)) if path.startswith("/models/")]
    assert len(fetched) == 2
