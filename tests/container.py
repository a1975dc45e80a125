"""Containers with systemd and sshd for a molecule scenario: `container.py (check | up NAME [HOST...] | down NAME)`.

check   whether containers can be had here; installs and starts Docker and makes the image where that may be done. Ends with 3
        and the reason if not.
up      starts a container for each host, or one that is called NAME, and leaves in build/molecule/NAME an ssh_config in which
        they have their names, and addresses.json: host -> address, and "bridge", where they reach this machine.
down    removes the containers, and ends the Docker Engine if `check` or `up` of this clone started it and nobody else uses it.

HOMELAB_LLM_TEST_IMAGE names the image, any with systemd and apt. Where it cannot be pulled, one is made by debootstrap, once,
and kept in the user's cache under a name that stands for its recipe. SSL_CERT_FILE and the like are handed on to the container.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homelab-llm" / "images"
ENGINE_FILES = ROOT / "build" / "tests" / "docker"
PUBLIC_IMAGE = "geerlingguy/docker-debian12-ansible:latest"
# What a plain Debian server has, and what the roles ask for (venv). Without libgomp1: the role has to bring it.
PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,python3,python3-venv,ca-certificates,iproute2,procps"
RELEASE = "bookworm"
# Raised with every change of how the image is made.
RECIPE = f"3 {RELEASE} {PACKAGES}"
UNAVAILABLE = 3
# systemd as the first process of a container needs its own cgroups, mounts and system calls. Tracing is what root may on any
# host: without it the ports of another user's process cannot be told.
SYSTEMD_FLAGS = [
    "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--cap-add=SYS_PTRACE", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec",
]  # fmt: skip
# Settings of the caller without which a host here reaches no package registry. Files they name are mounted at their path.
HANDED_ON = (
    "SSL_CERT_FILE", "PIP_CERT", "PIP_INDEX_URL", "UV_DEFAULT_INDEX",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
SSH_CONFIG = """Host *
  User root
  IdentityFile "{folder}/key"
  IdentitiesOnly yes
  UserKnownHostsFile "{folder}/known_hosts"
  StrictHostKeyChecking accept-new
  # Whoever asks for a shared connection gets one; a socket in the clone could have too long a path.
  ControlPath /tmp/{scenario}-%C
"""
SSH_HOST = "Host {host}\n  HostName {address}\n"
# On every container: the scenario and the clone that it belongs to.
LABEL = "homelab-llm.scenario"
UP_S = 60.0


class Unavailable(Exception):
    """Containers cannot be had here; the message says why."""


def say(text: str) -> None:
    print(f"container: {text}", flush=True)


def call(command: list[str], limit_s: float = 120.0, text: str | None = None) -> str:
    """Run a command and return what it printed; a failing one ends the program with its words."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode:
        raise SystemExit(f"container: {' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout.strip()


def works(command: list[str], limit_s: float = 60.0) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=limit_s, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def wait(condition: Callable[[], bool], limit_s: float) -> bool:
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.5)
    return True


def running() -> bool:
    return works(["docker", "info"], 20)


def install(package: str) -> None:
    """Install a package of Debian; Unavailable where that may not be done."""
    if os.geteuid() != 0:
        raise Unavailable(f"{package} is not here, and installing it needs root")
    if not shutil.which("apt-get"):
        raise Unavailable(f"{package} is not here, and there is no apt-get to install it with")
    say(f"installing {package}")
    get = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    works([*get, "update"], 300)
    done = works([*get, "install", "--yes", "--no-install-recommends", package], 600)
    if not done:
        raise Unavailable(f"apt-get could not install {package}")


def pid_file() -> Path:
    return ENGINE_FILES / "dockerd.pid"


def prepare() -> None:
    """Have a Docker Engine that answers, or say why there is none."""
    if not shutil.which("ssh"):
        install("openssh-client")
    if shutil.which("docker") and running():
        return
    if not (shutil.which("dockerd") and shutil.which("docker")):
        install("docker.io")
    if not running():
        start_engine()


def start_engine() -> None:
    """Start a Docker Engine that outlives this program, until `down`."""
    if os.geteuid() != 0:
        raise Unavailable("no Docker Engine answers, and starting one needs root")
    ENGINE_FILES.mkdir(parents=True, exist_ok=True)
    say("starting dockerd")
    with (ENGINE_FILES / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    if not wait(lambda: process.poll() is not None or running(), 60) or process.poll() is not None:
        process.terminate()
        lines = (ENGINE_FILES / "dockerd.log").read_text(errors="replace").splitlines()
        raise Unavailable(f"dockerd does not start here: {lines[-1] if lines else 'it says nothing'}")
    pid_file().write_text(str(process.pid))


def stop_engine() -> None:
    """End the Docker Engine that this clone started, unless somebody's container runs in it."""
    if not pid_file().is_file():
        return
    pid = int(pid_file().read_text())
    ours = Path(f"/proc/{pid}/comm")
    if ours.is_file() and ours.read_text().strip() == "dockerd":
        if running() and call(["docker", "ps", "--quiet"]):
            say(f"dockerd {pid} goes on, it has other containers")
            return
        say(f"ending dockerd {pid}")
        os.kill(pid, signal.SIGTERM)
        wait(lambda: not ours.is_file() or "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0], 60)
    pid_file().unlink()


def image() -> str:
    """Name of an image that is in the Docker Engine."""
    wanted = os.environ.get("HOMELAB_LLM_TEST_IMAGE")
    name = wanted or PUBLIC_IMAGE
    if works(["docker", "image", "inspect", name]):
        return name
    own = f"homelab-llm-systemd:{hashlib.sha256(RECIPE.encode()).hexdigest()[:16]}"
    if not wanted and works(["docker", "image", "inspect", own]):
        return own
    say(f"pulling {name}")
    if works(["docker", "pull", "--quiet", name], 300):
        return name
    if wanted:
        raise SystemExit(f"container: HOMELAB_LLM_TEST_IMAGE {name} cannot be pulled; name another, or none to have one made")
    say("it cannot be pulled; taking one made by debootstrap")
    call(["docker", "import", str(archive(own.split(":")[1])), own], 300)
    return own


def archive(key: str) -> Path:
    """The root file system as a tar file, made when it is not in the cache."""
    path = CACHE / f"systemd-{key}.tar"
    if path.is_file():
        return path
    if not shutil.which("debootstrap"):
        install("debootstrap")
    CACHE.mkdir(parents=True, exist_ok=True)
    tree = CACHE / f"systemd-{key}.{os.getpid()}"
    say(f"making {path.name}: about a minute")
    try:
        bootstrap(tree)
        # Every container has its own identity.
        (tree / "etc" / "machine-id").write_text("")
        shutil.rmtree(tree / "var" / "cache" / "apt" / "archives")
        shutil.rmtree(tree / "var" / "lib" / "apt" / "lists")
        unfinished = tree.with_suffix(f".{os.getpid()}.tar")
        call(["tar", "-C", str(tree), "-cf", str(unfinished), "."], 300)
        unfinished.rename(path)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    return path


def bootstrap(tree: Path) -> None:
    """A small Debian in a folder; Unavailable where Debian's mirror is not to be had."""
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise Unavailable(f"debootstrap makes no image here: {(done.stderr or done.stdout).strip()[-300:]}")


def handed_on() -> dict[str, str]:
    return {name: os.environ[name] for name in HANDED_ON if os.environ.get(name)}


def scenario_of(name: str) -> str:
    """Two clones may run the same scenario at the same time."""
    return f"homelab-llm-{name}-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}"


def containers_of(name: str) -> list[str]:
    """The scenario's containers, ended ones too."""
    return call(["docker", "ps", "--all", "--quiet", f"--filter=label={LABEL}={scenario_of(name)}"]).split()


def remove_containers(name: str) -> None:
    for container in containers_of(name):
        works(["docker", "rm", "--force", "--volumes", container], 120)
    left = containers_of(name)
    if left:
        raise SystemExit(f"container: {', '.join(left)} of the scenario {name} could not be removed")


def folder_of(name: str) -> Path:
    return ROOT / "build" / "molecule" / name


def up(name: str, hosts: list[str]) -> None:
    prepare()
    folder, from_image = folder_of(name), image()
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder / "key", folder / "key.pub", folder / "known_hosts"):
        path.unlink(missing_ok=True)
    call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", scenario_of(name), "-f", str(folder / "key")])
    # Those that an ended Docker Engine left behind, which `down` could not see.
    remove_containers(name)
    containers = {host: start(name, host, from_image) for host in hosts}
    for container in containers.values():
        let_in(container, (folder / "key.pub").read_text())
    addresses = {host: address_of(container, "IPAddress") for host, container in containers.items()}
    entries = [SSH_HOST.format(host=host, address=address) for host, address in addresses.items()]
    (folder / "ssh_config").write_text("".join([*entries, SSH_CONFIG.format(folder=folder, scenario=scenario_of(name))]))
    bridge = address_of(next(iter(containers.values())), "Gateway")
    (folder / "addresses.json").write_text(json.dumps({**addresses, "bridge": bridge}))
    for host, address in addresses.items():
        await_ssh(folder / "ssh_config", host, containers[host])
        say(f"{host} at {address} is up")


def start(name: str, host: str, from_image: str) -> str:
    """Start a host's container; its name."""
    container = scenario_of(name) if host == name else scenario_of(f"{name}-{host}")
    mounts = [f"--volume={path}:{path}:ro" for path in sorted({value for value in handed_on().values() if Path(value).is_file()})]
    marks = [f"--name={container}", f"--hostname={host}", f"--label={LABEL}={scenario_of(name)}"]
    call(["docker", "run", "--detach", *marks, *SYSTEMD_FLAGS, *mounts, from_image, "/sbin/init"])
    return container


def address_of(container: str, kind: str) -> str:
    """The container's own address (IPAddress), or the one of this machine that it sees (Gateway)."""
    return str(ipaddress.ip_address(call(["docker", "inspect", "--format", f"{{{{ .NetworkSettings.{kind} }}}}", container])))


def await_ssh(ssh_config: Path, host: str, container: str) -> None:
    if not wait(lambda: works(["ssh", "-F", str(ssh_config), "-o", "BatchMode=yes", host, "true"], 10), UP_S):
        raise SystemExit(f"container: {host} lets nobody in; look at: docker logs {container}")


def let_in(container: str, key: str) -> None:
    """Put the key and the settings handed on into the container, and see that it has sshd."""
    inside = ["docker", "exec", "--interactive", container, "sh", "-euc"]
    lines = "".join(f"{variable}={value}\n" for variable, value in handed_on().items())
    call([*inside, "cat >>/etc/environment"], text=lines)
    call([*inside, "install -d -m 0700 /root/.ssh; cat >/root/.ssh/authorized_keys"], text=key)
    if not works([*inside, "test -x /usr/sbin/sshd"]):
        say("installing sshd in the container")
        call([*inside, "apt-get -qq update; apt-get -qq install --yes --no-install-recommends openssh-server python3-venv"], 600)


def down(name: str) -> None:
    if shutil.which("docker") and running():
        remove_containers(name)
    shutil.rmtree(folder_of(name), ignore_errors=True)
    stop_engine()


def main(words: list[str]) -> int:
    match words:
        case ["check"]:
            prepare()
            image()
        case ["up", name, *hosts]:
            up(name, hosts or [name])
        case ["down", name]:
            down(name)
        case _:
            say(f"{' '.join(words) or 'nothing'} was asked; expected check, up NAME [HOST...] or down NAME")
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Unavailable as error:
        print(error, flush=True)
        sys.exit(UNAVAILABLE)
