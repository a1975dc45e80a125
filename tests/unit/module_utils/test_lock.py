"""Locks: which lines pin a package, and what is said of those that do not."""

from __future__ import annotations

import pytest

from plugins.module_utils import lock

HASH = "--hash=sha256:" + "a" * 64
OTHER = "--hash=sha256:" + "b" * 64

PINNED = [
    (f"uv==0.13.9 {HASH}", ["uv==0.13.9"]),
    (f"litellm[proxy]==1.106.2 {HASH}", ["litellm==1.106.2"]),
    (f"Some_Thing.x==1 \\\n    {HASH} \\\n    {OTHER}\n    # via -r in\n", ["some-thing-x==1"]),
    (f"colorama==0.4.6 ; sys_platform == 'win32' {HASH}", ["colorama==0.4.6 ; sys_platform == 'win32'"]),
    (f"# made by hand\nb==2 {HASH}\na==1+cpu {HASH}  # why\n", ["a==1+cpu", "b==2"]),
]


@pytest.mark.parametrize(("text", "pins"), PINNED)
def test_a_lock_names_its_packages(text, pins):
    assert [str(pin) for pin in lock.parse(text)] == pins


REFUSED = [
    ("", "names no package"),
    ("# nothing\n", "names no package"),
    (f"uv>=0.13 {HASH}", "pins no package: 'uv>=0.13'"),
    ("uv==0.13.9", "no sha256 for 'uv==0.13.9'"),
    ("uv==0.13.9 --hash=sha256:abc", "no sha256"),
    ("uv==0.13.9 --hash=md5:" + "a" * 32, "no sha256"),
    (f"--index-url https://example.invalid\nuv==1 {HASH}", "pins no package"),
    (f"-e . {HASH}", "pins no package"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_no_lock_is_refused(text, message):
    with pytest.raises(lock.LockError, match=message):
        lock.parse(text)


def test_every_lock_of_the_roles_is_one(request):
    locks = sorted(request.config.rootpath.glob("roles/*/files/requirements-*.txt"))
    assert len(locks) == 5
    for path in locks:
        wanted = path.with_suffix(".in").read_text().splitlines()
        pins = lock.versions(lock.parse(path.read_text()))
        name, version = next(line for line in wanted if "==" in line).split("==")
        assert pins[lock.normalized(name.split("[")[0])] == version


def test_controller_and_hosts_take_the_same_uv(request):
    root = request.config.rootpath
    folders = (root, root / "roles/python_environment/files")
    ours, theirs = (lock.parse((folder / "requirements-uv.txt").read_text()) for folder in folders)
    assert ours == theirs
