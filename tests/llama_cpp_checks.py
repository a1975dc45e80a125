"""What holds on a host of the scenario `llama_cpp` whenever it is converged, whichever build it runs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import llama_cpp_hosts as lab

HARDENING = {
    "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectHome": "read-only",
    "PrivateTmp": "yes", "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectControlGroups": "yes",
    "RestrictSUIDSGID": "yes", "LockPersonality": "yes", "Restart": "always", "UMask": "0077",
}  # fmt: skip
MODELS = sorted(lab.PORTS)
# MiB of the prompt cache that the inventory gives each server of a host.
CACHE_MIB = {"oak": "32", "elm": "0"}
# Flags and their values, of each model.
MEMORY = {
    "smollm2": "--ctx-size 4096 --parallel 2 --no-kv-unified --cache-type-k q8_0 --cache-type-v q8_0 --flash-attn auto",
    "fir": "--ctx-size 4096 --parallel 1 --no-kv-unified --cache-type-k f16 --cache-type-v f16 --flash-attn auto",
}
PLACE = "--batch-size 2048 --ubatch-size 512 --device none --n-gpu-layers 0 --fit off --load-mode auto --threads 1"


class AsPlanned:
    """One build of the engine with a server for each model."""

    build = ""

    @pytest.mark.parametrize("model", MODELS)
    def test_a_server_is_an_instance_of_one_template(self, host: Any, model: str) -> None:
        assert host.service(lab.unit(model)).is_running
        assert host.service(lab.unit(model)).is_enabled
        assert lab.show(host, model, "FragmentPath") == f"/etc/systemd/system/{lab.TEMPLATE}"
        assert lab.show(host, model, "NRestarts") == "0"

    def test_there_are_no_other_units(self, host: Any) -> None:
        names = [path.rsplit("/", 1)[1] for path in lab.unit_files(host) if "firewall" not in path]
        assert names == sorted([lab.TEMPLATE, *(f"{lab.unit(model)}.d" for model in lab.models(host))])

    @pytest.mark.parametrize("model", MODELS)
    def test_it_runs_out_of_that_builds_tree(self, host: Any, model: str) -> None:
        assert lab.tree(host).startswith(f"{self.build}-")
        assert lab.program(host, model) == f"{lab.DIRECTORY}/versions/{lab.tree(host)}/llama-server"

    @pytest.mark.parametrize("model", MODELS)
    def test_it_has_a_user_of_its_own_and_is_shut_in(self, host: Any, model: str) -> None:
        assert {name: lab.show(host, model, name) for name in HARDENING} == HARDENING
        assert host.check_output("ps -o user:32= -p %s", lab.show(host, model, "MainPID")).strip() == lab.USER
        assert host.user(lab.USER).shell == "/usr/sbin/nologin"

    @pytest.mark.parametrize("model", MODELS)
    def test_what_decides_memory_is_written_out(self, host: Any, model: str) -> None:
        words = host.check_output("tr '\\0' ' ' < /proc/%s/cmdline", lab.show(host, model, "MainPID"))
        assert MEMORY[model] in words
        assert PLACE in words
        assert f"--cache-ram {CACHE_MIB[lab.name_of(host)]} " in words

    @pytest.mark.parametrize("model", MODELS)
    def test_it_took_what_it_was_told(self, host: Any, model: str) -> None:
        """In the server's own words: slots, types of the caches, and the prompt cache."""
        assert [slot["n_ctx"] for slot in lab.call(host, model, "/slots")] == lab.SLOTS[model]
        process = lab.show(host, model, "MainPID")
        said = host.check_output("journalctl --no-pager --output=cat --unit %s _PID=%s", lab.unit(model), process)
        kind = "q8_0" if model == "smollm2" else "f16"
        assert re.search(rf"K \({kind}\): .* V \({kind}\):", said)
        limit = CACHE_MIB[lab.name_of(host)]
        assert ("prompt cache is disabled" if limit == "0" else f"prompt cache is enabled, size limit: {limit} MiB") in said

    @pytest.mark.parametrize("model", MODELS)
    def test_it_answers(self, host: Any, model: str) -> None:
        # No chat, and the likeliest tokens: noise of the generated model may be no text that could be parsed.
        body = {"model": model, "prompt": "Say hello.", "max_tokens": 8, "temperature": 0}
        answer = lab.call(host, model, "/v1/completions", body)
        assert answer["usage"]["completion_tokens"] > 0
        assert answer["model"] == model

    def test_only_the_router_gets_in(self, host: Any) -> None:
        """The other host, which is not the router's, is kept out of every port; this machine is let in (see above)."""
        other = lab.reach(next(name for name in lab.HOSTS if name != lab.name_of(host)))
        address = lab.address(lab.name_of(host))
        knocks = [other.run("timeout 3 bash -c %s", f"exec 3<>/dev/tcp/{address}/{port}").rc for port in lab.PORTS.values()]
        assert 0 not in knocks
        assert other.run("timeout 3 bash -c %s", f"exec 3<>/dev/tcp/{address}/22").rc == 0
