# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a canary for everything side by side, and tells what its configuration does wrong from what a host does wrong.

A question is what P(homelab.llm.litellm_canary_work#filter) makes: a deployment by its id, or a name with the ids behind it.
"""

from __future__ import annotations

import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Mapping, NamedTuple, Sequence
from urllib.parse import urlsplit

from . import router_client

ANSWERS, DOUBT, REFUSED = "answers", "doubt", "refused"
# Of the time for all: the longest wait for a first answer (a model may have to be loaded), and for each of three more, two
# to a deployment and one to its name.
FIRST_SHARE, MORE_SHARE = 0.5, 0.16
CONNECT_S = 3.0
# A host that is off, not an engine that is not there.
HOST_IS_OFF = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)
PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """A proxy: where, and with which key."""

    url: str
    key: str


class Asked(NamedTuple):
    """Whom: the canary, the proxy that serves (None where there is none), seconds for all, and whether the canary has ended."""

    canary: Place
    serving: Place | None
    timeout_s: float
    is_over: Callable[[], bool]


def ask_all(asked: Asked, questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each question's answer with `name`, `verdict` and `reason`. One that hangs takes no time of the others."""
    if not questions:
        return []
    asked = asked._replace(serving=who_answers(asked.serving, questions))
    with ThreadPoolExecutor(len(questions)) as pool:
        found = list(pool.map(lambda question: judged(asked, question), questions))
        silent = [one["alias"] for one in found if one["verdict"] != ANSWERS]
        found = [excused(one, question, silent) for one, question in zip(found, questions)]
        return list(pool.map(lambda one, question: asked_again(asked, one, question), found, questions))


def who_answers(serving: Place | None, questions: Sequence[Mapping[str, Any]]) -> Place | None:
    """The proxy that serves, where it can be asked: away, or with another key, it says nothing of an engine."""
    if serving and any(question["unchanged"] for question in questions):
        return serving if router_client.knows(serving.url, serving.key, CONNECT_S) else None
    return serving


def judged(asked: Asked, question: Mapping[str, Any]) -> dict[str, Any]:
    """One question's answer; of a deployment that does not answer, whose fault that is."""
    answer = ask(asked, asked.canary, question, FIRST_SHARE)
    if not answer["error"] or not question["exact"] or asked.is_over():
        return told(answer, question, REFUSED if answer["error"] else ANSWERS, answer["error"] or "")
    if question["unchanged"] and asked.serving:
        theirs = ask(asked, asked.serving, question, MORE_SHARE)
        if theirs["error"] and has_a_say(theirs):
            return told(answer, question, DOUBT, f"{answer['error']}; it does not answer by the proxy that serves either")
        if not theirs["error"]:
            # It may have been loading its model.
            again = ask(asked, asked.canary, question, MORE_SHARE)
            why = f"{again['error']}; by the proxy that serves it answers" if again["error"] else ""
            return told(again, question, REFUSED if why else ANSWERS, why)
    if answer["late"]:
        return told(answer, question, DOUBT, answer["error"])
    off, why = connecting(question["address"])
    return told(answer, question, DOUBT if off else REFUSED, f"{answer['error']}{why}")


def ask(asked: Asked, place: Place, question: Mapping[str, Any], share: float) -> dict[str, Any]:
    """One request, for a deployment to it alone."""
    timeout_s = min(float(question["timeout_s"]), asked.timeout_s * share)
    answer = router_client.ask(place.url, place.key, question["model"], question["mode"], timeout_s, question["exact"])
    if question["exact"] and not answer["error"] and answer["answered_by"] != question["model"]:
        answer["error"] = f"{answer['answered_by'] or 'nobody by name'} answered in its place"
    return answer


def has_a_say(theirs: Mapping[str, Any]) -> bool:
    """Whether an error is the engine's: the proxy that serves may have gone meanwhile."""
    return bool(theirs["late"] or theirs["status"])


def connecting(address: str) -> tuple[bool, str]:
    """Whether the host of an address is off, and what speaks against connecting to it: LiteLLM says "Connection error" of all."""
    try:
        place = urlsplit(address)
        if place.hostname:
            socket.create_connection((place.hostname, place.port or PORTS[place.scheme]), CONNECT_S).close()
    except OSError as error:
        off = isinstance(error, (TimeoutError, socket.timeout)) or error.errno in HOST_IS_OFF
        return off, f" ({address}: {error.strerror or error})"
    except ValueError as error:
        return False, f" ({address}: {error})"
    return False, ""


def excused(found: dict[str, Any], question: Mapping[str, Any], silent: Sequence[str]) -> dict[str, Any]:
    """A name is the deployments behind it: where one of them does not answer, that is said already. Time is a host's."""
    behind = [one for one in question["behind"] if one in silent]
    if found["verdict"] != REFUSED or not (behind or (found["late"] and not question["exact"])):
        return found
    why = f"; behind it {', '.join(behind)} does not answer" if behind else ""
    return {**found, "verdict": DOUBT, "reason": f"{found['reason']}{why}"}


def asked_again(asked: Asked, found: dict[str, Any], question: Mapping[str, Any]) -> dict[str, Any]:
    """A name that alone does not answer, once more: an engine behind it may have been loading its model, and answers now."""
    if question["exact"] or found["verdict"] != REFUSED or asked.is_over():
        return found
    again = ask(asked, asked.canary, question, MORE_SHARE)
    verdict = DOUBT if again["late"] else REFUSED
    return told(again, question, verdict if again["error"] else ANSWERS, again["error"] or "")


def told(answer: Mapping[str, Any], question: Mapping[str, Any], verdict: str, reason: str) -> dict[str, Any]:
    return {**answer, "name": question["name"], "verdict": verdict, "reason": reason}


def sentences(found: Sequence[Mapping[str, Any]], verdict: str) -> list[str]:
    """What is to be said of those with this verdict."""
    return [f"{label(one)}: {one['reason']}" for one in found if one["verdict"] == verdict]


def label(one: Mapping[str, Any]) -> str:
    return one["name"] if one["alias"] == one["name"] else f"{one['alias']} of {one['name']}"
