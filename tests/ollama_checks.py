"""What holds on a host of the scenario `ollama` whenever it is converged, whichever version it runs."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from tests import ollama_hosts as lab

HARDENING = {
    "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectHome": "read-only",
    "PrivateTmp": "yes", "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectControlGroups": "yes",
    "RestrictSUIDSGID": "yes", "LockPersonality": "yes", "Restart": "always", "UMask": "0077",
}  # fmt: skip
# What the plan sets, and what the role does.
SETTINGS = {
    "OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_NUM_PARALLEL": "1", "OLLAMA_CONTEXT_LENGTH": "4096", "OLLAMA_KV_CACHE_TYPE": "f16",
    "OLLAMA_FLASH_ATTENTION": "1", "LLAMA_ARG_CACHE_RAM": "0", "OLLAMA_NO_CLOUD": "1", "OLLAMA_NOPRUNE": "1",
    "OLLAMA_MODELS": lab.STORE, "HOME": f"{lab.DIRECTORY}/home",
}  # fmt: skip
LISTENING = {"larch": lambda: lab.address("larch"), "rowan": lambda: "0.0.0.0"}
# Prints what a connection ends in: the status, or the kind of error.
KNOCK = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=3).status)
except OSError as error:
    print("nobody:", error)
"""


class AsPlanned:
    """One version of the engine with its whole resident set."""

    version = ""

    def test_the_engine_is_that_version(self, host: Any) -> None:
        assert lab.call(lab.name_of(host), "/api/version") == {"version": self.version}

    def test_it_runs_out_of_its_own_tree(self, host: Any) -> None:
        assert lab.tree(host).startswith(f"{lab.DIRECTORY}/versions/{self.version}-")
        assert host.check_output("readlink /proc/%s/exe", lab.main_process(host)) == f"{lab.tree(host)}/bin/ollama"

    def test_its_runners_are_that_versions(self, host: Any) -> None:
        """v0.33.0 has llama-server load the models, v0.24.0 does it itself."""
        commands = [line for line in host.check_output("ps -u %s -o args=", lab.USER).splitlines() if "--model " in line]
        assert len(commands) == len(lab.residents(lab.name_of(host)))
        runner = "lib/ollama/llama-server" if self.version == lab.NEW else "bin/ollama runner"
        assert [command for command in commands if f"{lab.tree(host)}/{runner}" not in command] == []

    def test_the_service_has_its_own_user(self, host: Any) -> None:
        assert host.service(lab.UNIT).is_running
        assert host.service(lab.UNIT).is_enabled
        assert host.check_output("ps -o user:32= -p %s", lab.main_process(host)).strip() == lab.USER
        user = host.user(lab.USER)
        assert 0 < user.uid < 1000
        assert user.shell == "/usr/sbin/nologin"

    def test_the_service_is_shut_in(self, host: Any) -> None:
        assert {name: lab.show(host, f"{lab.UNIT}.service", name) for name in HARDENING} == HARDENING
        status = host.file(f"/proc/{lab.main_process(host)}/status").content_string
        assert "CapBnd:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status

    def test_the_process_has_the_settings(self, host: Any) -> None:
        text = host.check_output("cat /proc/%s/environ", lab.main_process(host))
        environment = dict(line.split("=", 1) for line in text.rstrip("\0").split("\0"))
        name = lab.name_of(host)
        wanted = {**SETTINGS, "OLLAMA_MAX_LOADED_MODELS": str(len(lab.residents(name)))}
        wanted["OLLAMA_HOST"] = f"{LISTENING[name]()}:{lab.PORT}"
        assert {key: environment.get(key) for key in wanted} == wanted

    def test_it_listens_where_told_and_its_runners_on_loopback(self, host: Any) -> None:
        addresses = {line.split()[3] for line in host.check_output("ss -Htln").splitlines()}
        outside = {address for address in addresses if not address.startswith(("127.0.0.1:", "[::1]:")) and address[-3:] != ":22"}
        wanted = f"{LISTENING[lab.name_of(host)]()}:{lab.PORT}"
        assert outside in ({wanted}, {wanted.replace("0.0.0.0", "*")})

    def test_just_the_planned_models_are_in_memory(self, host: Any) -> None:
        name = lab.name_of(host)
        found = lab.loaded(name)
        assert set(found) == {resident.name for resident in lab.residents(name)}
        for resident in lab.residents(name):
            assert found[resident.name]["context_length"] == resident.context_tokens
            assert found[resident.name]["expires_at"][:4] >= lab.FOREVER

    def test_the_models_are_the_registrys(self, host: Any) -> None:
        """By the manifest; a derived model by the file that both have."""
        name = lab.name_of(host)
        digests = {entry["name"]: entry["digest"] for entry in lab.call(name, "/api/tags")["models"]}
        for resident in lab.residents(name):
            if resident.name.startswith("homelab/"):
                path = f"{lab.STORE}/manifests/registry.ollama.ai/{resident.name.replace(':', '/')}"
                assert lab.weights(resident.source)["digest"] in host.file(path).content_string
            else:
                assert digests[resident.name] == lab.digest(resident.source)

    def test_all_files_of_the_store_are_whole(self, host: Any) -> None:
        blobs = host.check_output("cd %s/blobs && sha256sum *", lab.STORE).splitlines()
        assert blobs
        assert [line for line in blobs if f"sha256-{line.split()[0]}" != line.split()[1]] == []

    def test_the_engine_reads_and_writes_its_store(self, host: Any) -> None:
        assert host.run("find %s ! -user %s", lab.STORE, lab.USER).stdout == ""

    def test_every_model_answers(self, host: Any) -> None:
        name = lab.name_of(host)
        for resident in lab.residents(name):
            if resident.is_embedding:
                answer = lab.call(name, "/v1/embeddings", {"model": resident.name, "input": "hello"})
                assert len(answer["data"][0]["embedding"]) == 384
            else:
                # More words of weights that mean nothing are refused by v0.33.0's parser of answers, now and then.
                more = {"max_tokens": 1, "temperature": 0}
                body = {"model": resident.name, "messages": [{"role": "user", "content": "Say hello."}], **more}
                assert lab.call(name, "/v1/chat/completions", body)["usage"]["completion_tokens"] == 1
        assert lab.is_resident(name)

    def test_a_derived_model_has_its_parameters(self, host: Any) -> None:
        name = lab.name_of(host)
        derived = [resident.name for resident in lab.residents(name) if resident.name.startswith("homelab/")]
        assert len(derived) == (1 if name == "larch" else 0)
        shown = [lab.call(name, "/api/show", {"model": model})["parameters"].split() for model in derived]
        assert shown == [["num_ctx", "8192"]] * len(derived)

    def test_only_the_router_gets_in(self, host: Any) -> None:
        """This machine is the router; the stranger and the other host are not."""
        name = lab.name_of(host)
        url = f"http://{lab.address(name)}:{lab.PORT}/api/version"
        others = ["stranger", next(other for other in lab.HOSTS if other != name)]
        said = {other: lab.reach(other).check_output("python3 -c %s %s", KNOCK, url) for other in others}
        assert {other: answer[:7] for other, answer in said.items()} == dict.fromkeys(others, "nobody:")
        assert host.check_output("python3 -c %s %s", KNOCK, url) == "200"

    def test_the_watchdog_sees_the_set(self, host: Any) -> None:
        assert host.service(f"{lab.WATCHDOG}.timer").is_running
        assert host.service(f"{lab.WATCHDOG}.timer").is_enabled
        seen = json.loads(host.file(f"{lab.STATE}/residency.json").content_string)
        planned = [lab.planned_name(resident.name) for resident in lab.residents(lab.name_of(host))]
        assert {entry["name"]: entry["resident"] for entry in seen["models"]} == dict.fromkeys(planned, True)

    def test_a_collector_without_rights_reads_what_the_watchdog_writes(self, host: Any) -> None:
        assert host.file(lab.TEXTFILE).linked_to == f"{lab.STATE}/residency.prom"
        read = host.run("setpriv --reuid=nobody --regid=nogroup --clear-groups cat %s", lab.TEXTFILE)
        assert "homelab_llm_" in read.stdout, read.stderr
        assert host.file(str(PurePosixPath(lab.TEXTFILE).parent)).mode == 0o755
