"""Whatever the file: findings, or one clear error. Five hundred mutations, and the worst that was thought of."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest

from plugins.plugin_utils.audit.check import Audit, AuditError, audit
from plugins.plugin_utils.audit.mend import mend_diff, mended
from plugins.plugin_utils.audit.said import said
from plugins.plugin_utils.audit.sarif import sarif
from plugins.plugin_utils.yaml_document import YamlError
from tests import yaml_text

from .mutations import WORST, mutated

MUTATIONS, AT_ONCE = 500, 25
RELEASES = ("1.82.6", "1.98.1", "1.106.2", "1.83.14", "1.109.1")
# A message that a terminal shows in a few lines.
CLEAR = 400


def audited(content: bytes, release: str) -> Audit | None:
    """Everything that is made of a file; None where it cannot be read, of which one line says why."""
    try:
        found = audit(content, release)
    except AuditError as error:
        said_of_it = str(error)
    else:
        shown(content, found)
        return found
    assert 0 < len(said_of_it) <= CLEAR
    assert "\n" not in said_of_it
    return None


def shown(content: bytes, found: Audit) -> None:
    assert said(found, "config.yaml")[-1]
    assert json.loads(json.dumps([item.plain() for item in found.findings])) is not None
    assert sarif(found.findings, "config.yaml")["version"] == "2.1.0"
    mend(content, found)


def mend(content: bytes, found: Audit) -> None:
    """What was mended can still be read, and is not found again."""
    try:
        text, done = mended(content, found.findings)
    except YamlError:
        # Read in another encoding than the one in which alone something is written.
        with pytest.raises(UnicodeDecodeError):
            content.decode()
        return
    assert bool(done) == bool(mend_diff(content, text, "config.yaml"))
    again = {(item.rule, item.path, item.got) for item in audit(text.encode(), found.subject.release).findings}
    assert [item for item in done if (item.rule, item.path, item.got) in again] == []


@pytest.mark.parametrize("first", range(0, MUTATIONS, AT_ONCE))
def test_mutations(first: int) -> None:
    read = [audited(mutated(number), RELEASES[number % len(RELEASES)]) for number in range(first, first + AT_ONCE)]
    assert sum(found is not None for found in read) >= AT_ONCE // 4


def test_a_mutation_is_always_the_same() -> None:
    assert [mutated(number) for number in range(20)] == [mutated(number) for number in range(20)]
    assert len({mutated(number) for number in range(100)}) > 90


@pytest.mark.parametrize("name", WORST)
@pytest.mark.parametrize("release", ["1.82.6", "1.109.1"])
def test_the_worst(name: str, release: str) -> None:
    audited(WORST[name], release)


def deployments(count: int, group: str, host: str) -> list[dict[str, Any]]:
    return [
        {
            "model_name": group.format(number, number // 2),
            "litellm_params": {"model": f"ollama_chat/m{number}", "api_base": f"http://{host.format(number % 40, number)}:11434"},
        }
        for number in range(count)
    ]


def chains(count: int, length: int) -> dict[str, Any]:
    return {"fallbacks": [{f"g{one}": [f"g{(one + step) % count}" for step in range(1, length + 1)]} for one in range(count)]}


LARGE: dict[str, dict[str, Any]] = {
    "one-group": {"model_list": deployments(1000, "g", "h{1}")},
    "forty-hosts": {"model_list": deployments(400, "g{0}", "h{0}"), "router_settings": chains(400, 3)},
    "pairs": {"model_list": deployments(1000, "g{1}", "h{1}"), "router_settings": chains(300, 5)},
    "every-way": {"model_list": deployments(39, "g{0}", "h{0}"), "router_settings": {**chains(39, 38), "num_retries": 3}},
    "loops": {
        "model_list": deployments(60, "g{0}", "h{0}"),
        "router_settings": {**chains(60, 59), "num_retries": 10, "max_fallbacks": 500},
    },
    "aliases": {
        "model_list": deployments(300, "g{0}", "h{0}"),
        "router_settings": {"model_group_alias": {f"a{number}": f"g{number % 300}" for number in range(4000)}},
    },
    "wrong-names": {
        "model_list": deployments(300, "g{0}", "h{0}"),
        "router_settings": {"fallbacks": [{f"x{number}": [f"y{number}"]} for number in range(1000)]},
    },
    "misspelt": {
        "model_list": deployments(30, "ab" * 90 + "{0}", "h{0}"),
        "router_settings": {"fallbacks": [{"ab" * 90 + f"x{number}": ["ba" * 90 + f"{number}"]} for number in range(100)]},
    },
    "thousands": {"model_list": deployments(2000, "g{0}", "h{0}"), "router_settings": chains(1000, 1)},
    "wildcards-of-wildcards": {
        "model_list": deployments(1500, "*a" * 20 + "{0}*", "h{0}"),
        "router_settings": {"fallbacks": [{"a" * 60 + f"{number}": ["a" * 60 + f"b{number}"]} for number in range(1000)]},
    },
    "wildcards": {"model_list": deployments(300, "*a{0}*b*c*", "h{0}"), "router_settings": chains(300, 2)},
    "routers": {
        "model_list": [
            *deployments(50, "g{0}", "h{0}"),
            *(
                {
                    "model_name": f"r{number}",
                    "litellm_params": {
                        "model": "auto_router/complexity_router",
                        "complexity_router_config": {"tiers": {"SIMPLE": [f"r{other}" for other in range(60)], "COMPLEX": "g1"}},
                    },
                }
                for number in range(60)
            ),
        ]
    },
}
# A second on a machine that has nothing else to do; counted is the processor's time, and other work on it may treble that.
BOUND_S = 4.0


@pytest.mark.property
@pytest.mark.parametrize("name", [*LARGE, *WORST])
@pytest.mark.parametrize("release", ["1.82.6", "1.106.2"])
def test_no_file_takes_long(name: str, release: str) -> None:
    content = WORST[name] if name in WORST else yaml_text.written(LARGE[name]).encode()
    began = time.process_time()
    with contextlib.suppress(AuditError):
        audit(content, release)
    took_s = time.process_time() - began
    assert took_s < BOUND_S
    audited(content, release)
