"""Mistakes of a host's own: found before anything is installed, with the host, what was got and what was expected.

One play for all cases; each is a host of its own that is this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands.command import ROOT
from tests.commands.test_ports import BASE

ARCHIVE = b"no archive, but a file with a digest"
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
PROGRAMS = {
    "ollama": "#!/bin/sh\necho client version is 0.33.0\n",
    "candidate": "#!/bin/sh\necho client version is 0.33.0-rc2\n",
    "failing": "#!/bin/sh\nexit 3\n",
    "elsewhere": "\x7fELF of elsewhere",
    "llama-server": "#!/bin/sh\n",
}
NOTHING = {"ollama-linux-amd64.tgz": "0" * 64}
PLACE = "PLACE"


def ollama(binary: str = "real/ollama", **more: Any) -> dict[str, Any]:
    return {"engine": "ollama", "ollama_install_method": "existing", "ollama_binary": f"{PLACE}/{binary}", **more}


def llama_cpp(binary: str = "real/llama-server", **more: Any) -> dict[str, Any]:
    return {"engine": "llama_cpp", "llama_cpp_install_method": "existing", "llama_cpp_binary": f"{PLACE}/{binary}", **more}


def archive(folder: str, **more: Any) -> dict[str, Any]:
    files = [f"{PLACE}/{folder}/ollama-linux-amd64.tgz"]
    return {"engine": "ollama", "ollama_install_method": "archive", "ollama_archive_files": files, **more}


BUILD = {
    "engine": "llama_cpp",
    "llama_cpp_install_method": "release",
    "llama_cpp_archive_files": [f"{PLACE}/summed/ollama-linux-amd64.tgz"],
}
SEEN = {"mode": "chat", "port": BASE + 1, "listen_address": "127.0.0.1", "source": {"kind": "file", "path": "/model.gguf"}}
MODEL = {**SEEN, "model": "m", "engine_model": "m", "context_tokens": 512, "load_order": 1}
# Host: its variables, and words of its refusal; without words it is accepted.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "binary": (ollama(), ""),
    "linked": (ollama("link/ollama"), ""),
    "linked-server": (llama_cpp("link/llama-server"), ""),
    "dangling": (ollama("link/nothing"), "link/nothing is no program; expected ollama."),
    "directory": (ollama("real"), "real is a directory; expected ollama."),
    "directory-server": (llama_cpp("real"), "real is a directory; expected llama-server."),
    "failing": (ollama("real/failing"), "real/failing --version ended with 3 and named version (none); expected 0 and 0.33.0"),
    "elsewhere": (ollama("real/elsewhere"), "and named version (none); expected 0 and 0.33.0"),
    "candidate": (ollama("real/candidate"), "ended with 0 and named version 0.33.0-rc2; expected 0 and 0.33.0"),
    "no-archive": (archive("none"), "none/ollama-linux-amd64.tgz: no file on the controller; expected the archive"),
    "no-checksum": (archive("bare"), "bare/ollama-linux-amd64.tgz: got no checksum; expected the archive, and its sha256"),
    "wrong-checksum": (archive("summed", ollama_archive_checksums=NOTHING), f"sha256 {SHA256}; expected 000"),
    "right-checksum": (archive("summed", ollama_archives=[], ollama_memory_mib=1e9), "the plan takes"),
    "wrong-build": ({**BUILD, "llama_cpp_archive_checksums": NOTHING}, f"sha256 {SHA256}; expected 000"),
    "name-of-a-router": (
        ollama(ollama_firewall="nftables", ollama_allowed_addresses=["router.lan"]),
        "got 'router.lan'; expected an IPv4",
    ),
    "no-systemd": (ollama(ollama_firewall="nftables", service_mgr="launchd"), "has launchd; expected root, and systemd."),
    "no-ufw": (ollama(ollama_firewall="ufw"), "ufw"),
    "name-of-a-router-server": (
        llama_cpp(llama_cpp_models=[MODEL], llama_cpp_firewall="nftables", llama_cpp_allowed_addresses=["router.lan"]),
        "got 'router.lan'; expected an IPv4",
    ),
    "contradiction": (ollama(ollama_environment={"OLLAMA_NOPRUNE": "0"}), "got OLLAMA_NOPRUNE=0 (decided: 1) in ollama"),
    "password": (ollama(ollama_environment={"HTTPS_PROXY": "http://me:hidden@proxy:3128"}), "HTTPS_PROXY"),
    "no-textfiles": (ollama(ollama_textfile_directory=f"{PLACE}/nowhere"), "nowhere"),
}  # fmt: skip


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def furnish(folder: Path) -> None:
    """Programs and archives, honest and not."""
    for name, text in PROGRAMS.items():
        executable(folder / "real" / name, text)
    (folder / "link").mkdir()
    for name in ("ollama", "llama-server", "nothing"):
        (folder / "link" / name).symlink_to(f"../real/{name}")
    for name in ("bare", "summed"):
        (folder / name).mkdir()
        (folder / name / "ollama-linux-amd64.tgz").write_bytes(ARCHIVE)
    (folder / "summed" / "sha256sum.txt").write_text(f"{SHA256.upper()}  ./ollama-linux-amd64.tgz\n", encoding="utf-8")


def inventory(folder: Path) -> dict[str, Any]:
    hosts = {name: variables for name, (variables, _words) in CASES.items()}
    shared = {"ansible_python_interpreter": sys.executable, "ollama_port": BASE}
    for engine in ("ollama", "llama_cpp"):
        shared[f"{engine}_service_manager"] = "supervisord"
        shared[f"{engine}_directory"] = f"{folder}/{{{{ inventory_hostname }}}}"
    return json.loads(json.dumps({"cases": {"hosts": hosts, "vars": shared}}).replace(PLACE, str(folder)))


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the play ended in, by host, and all that it printed."""
    folder = tmp_path_factory.mktemp("preflight")
    furnish(folder)
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory(folder)), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "commands" / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "rendered",
        "RENDERED_FILE": str(folder / "rendered.json"),
    }
    command = ["ansible-playbook", "-i", str(folder / "hosts.yml"), str(ROOT / "tests/commands/preflight.yml")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    hosts = json.loads((folder / "rendered.json").read_text(encoding="utf-8"))
    said = {name: hosts[name]["facts"]["said"] for name in CASES}
    revisions = {name: hosts[name]["facts"].get(f"{CASES[name][0]['engine']}_engine_revision") for name in CASES}
    return {"said": said, "revisions": revisions, "printed": done.stdout + done.stderr}


@pytest.mark.parametrize("name", CASES)
def test_what_a_host_is_told(looked: dict[str, Any], name: str) -> None:
    said, words = looked["said"][name], CASES[name][1]
    if not words:
        assert said is None
        return
    assert said.startswith(f"{name}: "), said
    assert words in " ".join(said.split())


def test_the_revision_is_the_programs_behind_a_link(looked: dict[str, Any]) -> None:
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (PROGRAMS["ollama"], PROGRAMS["llama-server"])]
    assert [looked["revisions"][name] for name in ("linked", "linked-server")] == digests


def test_no_password_is_printed(looked: dict[str, Any]) -> None:
    assert "hidden" not in looked["printed"]
