"""The lock of a machine: between processes, between threads, and safe from what others put in its way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from plugins.plugin_utils.machine_lock import LockError, lock_directory, lock_path, machine_lock

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from plugins.plugin_utils.machine_lock import machine_lock
with machine_lock(sys.argv[1], lambda holder: None, lambda: False):
    print("in", time.monotonic_ns(), flush=True)
    sys.stdin.readline()
    print("out", time.monotonic_ns(), flush=True)
"""


@pytest.fixture(autouse=True)
def private_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr("plugins.plugin_utils.machine_lock.POLL_S", 0.01)


def holder(machine: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", HOLDER, machine], cwd=ROOT, text=True, stdin=-1, stdout=-1)


def never() -> bool:
    return False


def test_another_process_waits_says_so_and_goes_on() -> None:
    with holder("mini") as other:
        assert other.stdout.readline().startswith("in")
        told: list[str] = []

        def waiting(who: str) -> None:
            told.append(who)
            other.stdin.write("\n")
            other.stdin.flush()

        with machine_lock("mini", waiting, never) as held:
            entered = time.monotonic_ns()
        left = int(other.stdout.readline().split()[1])
    assert held
    assert entered >= left
    assert [str(other.pid) in line for line in told] == [True]


def test_a_killed_holder_leaves_nothing_behind() -> None:
    with holder("mini") as other:
        other.stdout.readline()
        other.kill()
    with machine_lock("mini", pytest.fail, never) as held:
        assert held


def test_other_machines_do_not_wait() -> None:
    with holder("mini") as other:
        other.stdout.readline()
        with machine_lock("star", pytest.fail, never) as held:
            assert held
        other.communicate("\n")


def test_threads_of_one_process_exclude_each_other() -> None:
    inside, overlaps = [0], []

    def work() -> None:
        with machine_lock("mini", lambda _who: None, never):
            inside[0] += 1
            overlaps.append(inside[0])
            time.sleep(0.01)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1, 1, 1]


def test_a_stopped_run_stops_waiting() -> None:
    with machine_lock("mini", pytest.fail, never):
        stop = threading.Event()
        with machine_lock("mini", lambda _who: stop.set(), stop.is_set) as held:
            assert not held


def test_machines_have_files_of_their_own_inside_the_directory() -> None:
    names = ["star", "../star", "star/x", "star x", "s" * 500, "sTar", "star\n", "ü"]
    paths = [lock_path(name) for name in names]
    assert len(set(paths)) == len(names)
    assert {path.parent for path in paths} == {lock_directory()}
    assert max(len(path.name) for path in paths) < 255


def test_the_directory_is_this_users_alone() -> None:
    assert lock_directory().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["open", "link", "file"])
def test_a_directory_that_others_can_reach_is_refused(tmp_path: Path, trap: str) -> None:
    place = tmp_path / f"homelab-llm-{os.getuid()}"
    if trap == "open":
        place.mkdir()
        place.chmod(0o777)
    elif trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_text("")
    with pytest.raises((LockError, FileExistsError)):
        lock_directory()


def test_a_link_in_place_of_the_lock_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock_path("mini").symlink_to(victim)
    with pytest.raises(OSError, match="mini"), machine_lock("mini", pytest.fail, never):
        pass
    assert victim.read_text() == "precious"
