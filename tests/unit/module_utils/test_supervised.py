"""The decision about a supervised program: a table of what is there and what is wanted."""

from __future__ import annotations

import pytest

from plugins.module_utils.process_identity import Process
from plugins.module_utils.supervised import Decision, Observed, decide

DAEMON = Process(7, "boot:7:1", "2026-01-01T00:00:00+00:00")
EMPTY = Observed("", "", None, None, ())
RUNNING = Observed("d", "p", DAEMON, "RUNNING", ())
DEAD = RUNNING._replace(daemon=None, state=None)

CASES = [
    # wanted, there, decision
    ("started", EMPTY, Decision(write=True, start_daemon=True, launch=True)),
    ("started", RUNNING, Decision()),
    ("started", RUNNING._replace(state="STARTING"), Decision()),
    ("started", RUNNING._replace(program_text="old"), Decision(write=True, launch=True)),
    ("started", RUNNING._replace(daemon_text="old"), Decision(shut_down=True, write=True, start_daemon=True, launch=True)),
    ("started", RUNNING._replace(state="FATAL"), Decision(launch=True)),
    ("started", RUNNING._replace(state="BACKOFF"), Decision(launch=True)),
    ("started", RUNNING._replace(state="EXITED"), Decision(launch=True)),
    ("started", DEAD, Decision(start_daemon=True, launch=True)),
    ("restarted", RUNNING, Decision(stop=True, launch=True)),
    # A new description already makes supervisord start it again: once is enough.
    ("restarted", RUNNING._replace(program_text="old"), Decision(write=True, launch=True)),
    ("restarted", DEAD, Decision(start_daemon=True, launch=True)),
    ("stopped", EMPTY, Decision(write=True)),
    ("stopped", RUNNING, Decision(stop=True)),
    ("stopped", RUNNING._replace(state="STOPPED"), Decision()),
    ("stopped", RUNNING._replace(state="BACKOFF"), Decision(stop=True)),
    # Told to stop by somebody else: done when it has ended.
    ("stopped", RUNNING._replace(state="STOPPING"), Decision(stop=True)),
    ("started", RUNNING._replace(state="STOPPING"), Decision(launch=True)),
    ("stopped", DEAD, Decision()),
    ("absent", EMPTY, Decision()),
    ("absent", RUNNING, Decision(shut_down=True, forget=True)),
    ("absent", RUNNING._replace(others=("b",)), Decision(forget=True)),
    ("absent", DEAD, Decision(forget=True)),
    ("absent", RUNNING._replace(program_text="", state=None, others=("b",)), Decision()),
    # A supervisord without any program is a leftover.
    ("absent", RUNNING._replace(program_text="", state=None), Decision(shut_down=True, forget=True)),
]


@pytest.mark.parametrize(("wanted", "there", "expected"), CASES)
def test_what_has_to_be_done(wanted, there, expected):
    assert decide(wanted, "d", "p", there) == expected


HANG_UPS = [
    ("started", RUNNING, Decision(hang_up=True)),
    ("started", RUNNING._replace(state="STARTING"), Decision(hang_up=True)),
    # What is started anyway reads everything anew.
    ("started", EMPTY, Decision(write=True, start_daemon=True, launch=True)),
    ("started", RUNNING._replace(program_text="old"), Decision(write=True, launch=True)),
    ("started", RUNNING._replace(state="FATAL"), Decision(launch=True)),
    ("restarted", RUNNING, Decision(stop=True, launch=True)),
    ("stopped", RUNNING._replace(state="STOPPED"), Decision()),
    ("absent", EMPTY, Decision()),
]


@pytest.mark.parametrize(("wanted", "there", "expected"), HANG_UPS)
def test_only_what_goes_on_is_told_to_reload(wanted, there, expected):
    assert decide(wanted, "d", "p", there, hang_up=True) == expected


@pytest.mark.parametrize("wanted", ["started", "stopped", "absent"])
def test_what_was_done_needs_nothing_more(wanted):
    after = {"started": RUNNING, "stopped": RUNNING._replace(state="STOPPED"), "absent": EMPTY}[wanted]
    assert not decide(wanted, "d", "p", after).changed
