"""Files for the audit that nobody would write: mutations of real configurations by a seeded hand, and worse ones written out."""

from __future__ import annotations

import copy
import datetime
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests import yaml_text

FOLDER = Path(__file__).parents[3] / "fixtures" / "router"
SOURCES = [FOLDER / "article_first.yaml", FOLDER / "article_final.yaml", *sorted((FOLDER / "right").glob("*.yaml"))]
# What a value may turn into: each type of YAML, and what is none.
VALUES = tuple(
    value.replace("_", " ")
    for value in r"""null ~ true no 0 -1 1e400 .inf -.inf .nan 0x1F 0o17 1_000 190:20:30 99999999999999999999999999 '' "" "
    [] {} [[]] [{}]
    {a:_b} {1:_2} {?_[a]_:_b} 2024-10-21 2024-10-21T10:00:00Z 2024-99-99 = <<:_*anchor &anchor !!binary_aGVsbG8= !!bool_x
    !!set_{a,b} !!omap_[a:_1] !!python/object/apply:os.system_[id] !!timestamp_x !!int_x !!float_x !custom !!null_x os.environ/
    os.environ/X http:// http://[::1 http://a:b http://a:99999999 :: // auto_router/ auto_router/complexity_router / ollama/
    ollama_chat/ openai/* * ** .* ( "\x00" "\ud800" 😀 | > - ? : % @ ` # , } ]""".split()  # noqa: SIM905
)
LINES = (
    "<<: *nothing",
    "? {a: b}\n: c",
    "- - - -",
    "\tkey: value",
    "key: value: value",
    "--- # second",
    "...",
    "%YAML 9.9",
    "!!python/name:os.system",
    "fallbacks: [{a: [a]}, {'*': [a]}, {a: [{model: a}]}, [a], {1: [2]}, {a: {b: c}}]",
    "model_group_alias: {a: a, b: {model: b, hidden: 3}, 1: 2, c: [d], d: {e: f}}",
    "model_list: &l [*l]",
    "? ",
    "null: null",
    "1: 2",
    "true: false",
)
Hand = Callable[[bytes, random.Random], bytes]


def flipped(content: bytes, hand: random.Random) -> bytes:
    """Bytes changed, most of them to what YAML reads as something."""
    found = bytearray(content)
    for _count in range(hand.choice([1, 1, 2, 4, 30])):
        found[hand.randrange(len(found))] = hand.choice([hand.randrange(256), *b"{}[]:,#&*!|>'\"%@`-? \t\n\r"])
    return bytes(found)


def cut(content: bytes, hand: random.Random) -> bytes:
    """The beginning or the end of a file, mostly of whole lines."""
    at = hand.randrange(len(content))
    at = at if hand.random() < 0.3 else content.rfind(b"\n", 0, at) + 1
    return content[at:] if hand.random() < 0.3 else content[:at]


def lines_moved(content: bytes, hand: random.Random) -> bytes:
    """Lines lost, written twice, swapped, or indented otherwise."""
    lines = content.split(b"\n")
    for _count in range(hand.choice([1, 1, 2, 8])):
        at, other = hand.randrange(len(lines)), hand.randrange(len(lines))
        kind = hand.randrange(5)
        if kind == 0 and len(lines) > 2:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            lines[at] = b" " * hand.randint(0, 9) + lines[at].lstrip()
        else:
            lines.insert(at, hand.choice([b"", b"  ", b"\t"]) + hand.choice(LINES).encode())
    return b"\n".join(lines)


def values_replaced(content: bytes, hand: random.Random) -> bytes:
    """Values behind a colon, and items behind a dash, become something of another type."""
    lines = content.split(b"\n")
    for _count in range(hand.choice([1, 1, 2, 6])):
        at = hand.randrange(len(lines))
        for mark in (b": ", b"- "):
            head, found, _rest = lines[at].partition(mark)
            if found:
                lines[at] = head + mark + hand.choice(VALUES).encode()
                break
    return b"\n".join(lines)


def flow_values_replaced(content: bytes, hand: random.Random) -> bytes:
    """The same inside braces, where most of a deployment stands."""
    pieces = content.split(b", ")
    for _count in range(hand.randint(1, 5)):
        at = hand.randrange(len(pieces))
        head, found, _rest = pieces[at].partition(b": ")
        pieces[at] = head + found + hand.choice(VALUES).encode() if found else pieces[at]
    return b", ".join(pieces)


def joined(content: bytes, hand: random.Random) -> bytes:
    """Parts of two files."""
    other = hand.choice(SOURCES).read_bytes()
    begin, rest = content.split(b"\n"), other.split(b"\n")
    return b"\n".join(begin[: hand.randrange(len(begin))] + rest[hand.randrange(len(rest)) :])


def spelt_otherwise(content: bytes, hand: random.Random) -> bytes:
    """Another encoding, line ends, a mark at the beginning."""
    ways: list[Callable[[bytes], bytes]] = [
        lambda it: b"\xef\xbb\xbf" + it,
        lambda it: it.replace(b"\n", b"\r\n"),
        lambda it: it.replace(b"\n", b"\r"),
        lambda it: it.replace(b"  ", b"\t"),
        lambda it: it.decode(errors="replace").encode("utf-16"),
        lambda it: it.decode(errors="replace").encode("utf-32"),
        lambda it: it.replace(b"o", b"\xff"),
        lambda it: it.replace(b"a", "ä".encode("latin-1")),
        lambda it: it.replace(b" ", b"\x00", hand.randint(1, 3)),
        lambda it: it.replace(b"e", "é".encode()).replace(b":", "：".encode(), 1),
        lambda it: it.rstrip(b"\n"),
        lambda it: it + b"\n---\n" + it,
    ]
    return hand.choice(ways)(content)


DATA: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**30, 1.5, -0.0, math.nan, math.inf, "", " ", "x" * 5000, "1", "true", "fast", "*", "a/*", "/",
    "ollama_chat/x", "openai/x", "auto_router/complexity_router", "os.environ/", "http://[", "\x85", "😀", b"\xff\x00",
    datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12), [], {}, [None], {None: None}, {1: {2: 3}}, [[[]]], {"a", "b"},
    [{"a": ["a"]}], {"model": "x"}, {"model": "x", "hidden": None}, [1, "a", None, {}], {"<<": 1}, {True: 1, "true": 2},
)  # fmt: skip


def data_changed(content: bytes, hand: random.Random) -> bytes:
    """The same file as data, with keys and values of any type put, taken and moved in it: it always can be read."""
    try:
        root = yaml_text.read(content)
    except (yaml.YAMLError, ValueError):
        return content
    for _count in range(hand.choice([1, 1, 2, 4, 12])):
        places = list(_containers(root))
        if places:
            _change(hand.choice(places), hand, places)
    return yaml_text.written(root, allow_unicode=True, default_flow_style=hand.choice([True, False, None])).encode()


def _containers(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item)


def _change(place: Any, hand: random.Random, places: list[Any]) -> None:
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    new = copy.deepcopy(hand.choice([hand.choice(DATA), hand.choice(DATA), hand.choice(places)]))
    key = hand.choice(keys) if keys else None
    kind = hand.randrange(5)
    if isinstance(place, dict) and kind == 0:
        place[hand.choice([None, 1, True, "", "order", "x", 2.5, datetime.date(2024, 1, 1)])] = new
    elif key is not None and kind == 1:
        del place[key]
    elif isinstance(place, list) and kind == 2:
        place.insert(0, new)
    elif key is not None:
        place[key] = new


HANDS: tuple[Hand, ...] = (
    flipped, data_changed, cut, data_changed, lines_moved, data_changed,
    values_replaced, flow_values_replaced, joined, spelt_otherwise,
)  # fmt: skip


def mutated(number: int) -> bytes:
    """The file of that number, always the same."""
    hand = random.Random(number)
    content = hand.choice(SOURCES).read_bytes()
    for _count in range(hand.choice([1, 1, 1, 2, 3])):
        content = HANDS[number % len(HANDS)](content, hand) if content else content
    return content


DEEP = 3000
WORST: dict[str, bytes] = {
    "empty": b"",
    "spaces": b"  \n\t\n",
    "mark-alone": b"\xef\xbb\xbf",
    "comment": b"# nothing\n",
    "text": b"hello",
    "number": b"42",
    "null": b"~",
    "list": b"- 1\n- 2\n",
    "zeros": b"\x00" * 100,
    "no-utf-8": b"model_list: \xff\xfe\xfd",
    "deep-flow": b"[" * DEEP + b"]" * DEEP,
    "deep-block": b"\n".join(b" " * level + b"a:" for level in range(DEEP // 2)),
    "deep-dashes": b"- " * DEEP + b"a",
    "long-line": b"model_list: [{model_name: " + b"a" * 500_000 + b", litellm_params: {model: openai/a}}]",
    "laughs": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + level, 98 + level, b", ".join([b"*%c" % (97 + level)] * 9)) for level in range(9)),
    "laughs-merged": b"a: &a {x: 1}\n"
    + b"".join(
        b"%c: &%c {<<: [%s], y%d: 1}\n" % (98 + level, 98 + level, b", ".join([b"*%c" % (97 + level)] * 9), level)
        for level in range(9)
    ),
    "itself": b"model_list: &m\n- model_name: a\n  litellm_params: {model: openai/a, all: *m}\n",
    "itself-merged": b"a: &a\n  <<: *a\n  b: 1\n",
    "unhashable": b"? {a: b}\n: c\n? [a]\n: d\n",
    "unhashable-chain": b"router_settings: {fallbacks: [{? [a] : [b]}], model_group_alias: {? {a: b} : c}}",
    "python": b"model_list: !!python/object/apply:os.system ['true']\n",
    "tag": b"model_list: !vault |\n  abc\n",
    "two-documents": b"model_list: []\n---\nmodel_list: [1]\n",
    "chains-to-themselves": b"model_list: [{model_name: a, litellm_params: {model: ollama_chat/a}}]\n"
    b"router_settings: {fallbacks: [{a: [a, a, b]}, {b: [a, b]}], max_fallbacks: 100000000, num_retries: 1000,\n"
    b"  model_group_alias: {b: b, a: b}, default_fallbacks: [a, b]}\nlitellm_settings: {default_fallbacks: [a]}\n",
    "routers-of-routers": b"model_list:\n"
    + b"".join(
        b"- {model_name: r%d, litellm_params: {model: auto_router/complexity_router, complexity_router_default_model: r%d,\n"
        b"  complexity_router_config: {tiers: {SIMPLE: r%d, MEDIUM: r%d, COMPLEX: [r0, r1], REASONING: r%d}}}}\n"
        % (number, (number + 1) % 9, (number + 2) % 9, number, (number * 5) % 9)
        for number in range(9)
    )
    + b"router_settings: {fallbacks: [{r0: [r1]}, {r1: [r0]}, {'*': [r2]}]}\n",
    "null-keys": b"~: ~\nmodel_list: [{~: ~, model_name: ~, litellm_params: {~: ~, model: a/b}, model_info: {~: ~}}, ~]\n"
    b"router_settings: {~: ~, fallbacks: [{~: [~]}, ~], model_group_alias: {~: ~}}\ngeneral_settings: {~: ~}\n",
    "numbers-for-names": b"1: 2\nmodel_list: [{model_name: 1, litellm_params: {model: 2, 3: 4}, model_info: {id: 5, 1.5: x}}]\n"
    b"router_settings: {1: 2, fallbacks: [{1: [2]}], model_group_alias: {1: 2}}\nlitellm_settings: {true: 1, 2024-01-01: 2}\n",
    "sections-of-lists": b"model_list: {a: b}\nrouter_settings: [a]\ngeneral_settings: x\nlitellm_settings: 3\n",
    "infinite": b"router_settings: {num_retries: .inf, timeout: .nan, max_fallbacks: .inf, cooldown_time: -.inf}\n"
    b"general_settings: {background_health_checks: true, enable_health_check_routing: true, health_check_interval: .inf,\n"
    b"  health_check_staleness_threshold: .nan}\nmodel_list: [{model_name: a, litellm_params: {model: ollama_chat/a, \n"
    b"  timeout: .inf, order: .nan}}, {model_name: a, litellm_params: {model: ollama_chat/a, timeout: 1e308, order: .inf}}]\n",
    "huge-numbers": b"router_settings: {num_retries: 9" + b"9" * 400 + b", max_fallbacks: 1" + b"0" * 5000 + b"}\n"
    b"model_list: [{model_name: a, litellm_params: {model: ollama_chat/a, order: 1" + b"0" * 400 + b", timeout: -5}}]\n",
    "health-interval-huge": b"general_settings: {background_health_checks: true, enable_health_check_routing: true,\n"
    b"  health_check_interval: 1e308}\nmodel_list: [{model_name: a, litellm_params: {model: ollama_chat/a}}]\n",
}
