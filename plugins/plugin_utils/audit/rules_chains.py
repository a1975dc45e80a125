"""Rules about chains: who answers instead when all deployments of a name fail."""

from __future__ import annotations

from collections.abc import Iterator

from ..litellm_release import releases
from ..problems import Path, shown
from .config import CHAIN_SECTIONS, CHAINS, Chain, is_no_count, mapping, number
from .finding import Edit, Found, Subject, rule
from .names import tier_names
from .survival import survival
from .walk import ORDER_FAILOVER

SHAPE = "a list of mappings with one key each: [{name: [other]}]"


MOVE = "Move it to router_settings."
# On each of the four releases that were tried.
LETTERS = "The proxy starts, and takes the text letter by letter: as names of one letter, which nothing answers to."


@rule("fallback-shape", "error", "The proxy does not start with chains of another shape.")
def fallback_shape(subject: Subject) -> Iterator[Found]:
    for section in CHAIN_SECTIONS:
        for kind in CHAINS:
            value = subject.config.section(section).get(kind)
            if value is not None:
                yield from _shape(value, (section, kind))
        value = subject.config.section(section).get("default_fallbacks")
        if value is not None and not isinstance(value, list):
            edits = (Edit((section, "default_fallbacks"), [value]),) if isinstance(value, str) else ()
            yield _no_list((section, "default_fallbacks"), value, edits)


def _shape(value: object, path: Path) -> Iterator[Found]:
    if not isinstance(value, list):
        edits = (Edit(path, [{key: names} for key, names in value.items()]),) if isinstance(value, dict) else ()
        yield Found(path, shown(value), SHAPE, "Write a list with one entry per name.", edits=edits)
        return
    for index, entry in enumerate(value):
        if not isinstance(entry, dict) or len(entry) != 1:
            yield Found((*path, index), shown(entry), "a mapping with one key", "Write an entry per name.")
        else:
            for key, names in entry.items():
                if not isinstance(names, list):
                    yield _no_list((*path, index, key), names)


def _no_list(path: Path, value: object, edits: tuple[Edit, ...] = ()) -> Found:
    why = LETTERS if isinstance(value, str) else None
    return Found(path, shown(value), "a list of names", "Write a list: [name].", why=why, edits=edits)


@rule(
    "count-type",
    "error",
    "LiteLLM compares it with a number when something fails: no fallback is asked (max_fallbacks), no retry made (num_retries).",
)
def count_type(subject: Subject) -> Iterator[Found]:
    """On all four releases that were asked, for each section."""
    for section in CHAIN_SECTIONS:
        for name in ("max_fallbacks", "num_retries"):
            value = subject.config.section(section).get(name)
            if is_no_count(value) and not (name == "max_fallbacks" and isinstance(value, float)):
                whole = number(value)
                edits = (Edit((section, name), int(whole)),) if whole is not None and whole.is_integer() else ()
                mend = f"Write {name}: {int(whole)}, without quotes." if edits and whole is not None else "Write a whole number."
                yield Found((section, name), shown(value), "a whole number", mend, edits=edits)


@rule("fallback-section", "error", "LiteLLM does not look for chains there.")
def fallback_section(subject: Subject) -> Iterator[Found]:
    """Neither in general_settings nor beside the sections, nor beside the parameters of a deployment."""
    entries = subject.config.data.get("model_list")
    for name in (*CHAINS, "default_fallbacks"):
        if name in subject.config.section("general_settings"):
            got = f"{name} in general_settings"
            yield Found(
                ("general_settings", name), got, "router_settings", MOVE, edits=_moved(subject, ("general_settings",), name)
            )
        if name in subject.config.data:
            got = f"{name} beside the sections"
            yield Found((name,), got, "router_settings", MOVE, edits=_moved(subject, (), name))
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if name in mapping(entry):
                path = ("model_list", index, name)
                yield Found(path, f"{name} in an entry of model_list", f"router_settings.{name}", MOVE)


@rule("fallback-section-twice", "error", "LiteLLM reads chains of one section: those of litellm_settings are never used.")
def fallback_section_twice(subject: Subject) -> Iterator[Found]:
    first, second = CHAIN_SECTIONS
    for name in (*CHAINS, "default_fallbacks"):
        used, unused = (subject.config.section(section).get(name) for section in (first, second))
        if used and unused and used != unused:
            got, expected = f"{name} in {second}, and in {first} too", f"{name} in {first} alone"
            yield Found((second, name), got, expected, f"Join them in {first}.")


def _moved(subject: Subject, place: Path, name: str) -> tuple[Edit, ...]:
    free = subject.config.setting(name, *CHAIN_SECTIONS) is None
    value = (subject.config.section(str(place[0])) if place else subject.config.data)[name]
    return (Edit(("router_settings", name), value), Edit((*place, name), remove=True)) if free else ()


@rule(
    "fallback-target-unknown",
    "error",
    "The name is skipped without a word; with default_fallbacks the first of those answers instead of all that follow.",
)
def fallback_target_unknown(subject: Subject) -> Iterator[Found]:
    for chain in subject.config.chains:
        for target in chain.targets:
            if not subject.names.known(target.name):
                mend = subject.guesses.meant(target.name, subject.config.callable)
                yield Found(target.path, f"{target.name}, which nothing answers to", "a group or an alias", mend)


@rule("fallback-key-unknown", "error", "No request has that name: the chain is never used.")
def fallback_key_unknown(subject: Subject) -> Iterator[Found]:
    for chain in subject.config.chains:
        asked = subject.names.keys.asked_as(chain.key) if chain.key is not None else ()
        if chain.key is None:
            continue
        if "*" in chain.key:
            mend = "Write a chain for each name that clients call, or default_fallbacks."
            yield Found(chain.path, f"a chain for {chain.key}", "a name as clients write it: patterns are not looked for", mend)
        elif not any(map(subject.names.known, asked)):
            mend = subject.guesses.meant(chain.key, subject.config.callable)
            yield Found(chain.path, f"a chain for {chain.key}", "a group or an alias", mend)


@rule("fallback-key-repeated", "error", "The first chain of a name wins; the others are never used.")
def fallback_key_repeated(subject: Subject) -> Iterator[Found]:
    seen: dict[tuple[str, str | None], Chain] = {}
    for chain in subject.config.chains:
        first = seen.setdefault((chain.kind, chain.key), chain)
        if first is not chain and chain.kind != "default_fallbacks":
            # No mend by rule: what the second one asks for would be gone.
            line = subject.document.line(first.path)
            yield Found(
                chain.path,
                f"a second chain for {chain.key} (the first is in line {line})",
                "one",
                "Join them in one list.",
            )


@rule(
    "fallback-same-group",
    "error",
    "Every target is the group that has just failed, under another name: the same hosts are asked again.",
)
def fallback_same_group(subject: Subject) -> Iterator[Found]:
    for chain in _keyed(subject):
        if _same_group(subject, chain):
            names = ", ".join(target.name for target in chain.targets)
            got = f"{chain.key} to {names}, all of them {subject.names.group(chain.key or '')}"
            yield Found(
                chain.path, got, "another group", "Name an alias whose models stand on other hosts, or take the chain out."
            )


def _keyed(subject: Subject) -> Iterator[Chain]:
    """Chains for a name that fails, with somebody in them. Those for long prompts are of another kind."""
    return (chain for chain in subject.config.chains if chain.kind == "fallbacks" and chain.key is not None and chain.targets)


def _same_group(subject: Subject, chain: Chain) -> bool:
    """A bare model string is none where it may lead to another host of an unordered group: that is one more try."""
    own = subject.names.deployments(chain.key or "")
    several = len({item.host for item in own}) > 1
    again = all(subject.names.deployments(target.name) == own for target in chain.targets)
    return bool(own) and again and not (several and any(not subject.names.has_levels(target.name) for target in chain.targets))


@rule("fallback-same-hosts", "error", "When the hosts of this name are down, those of its whole chain are down too.")
def fallback_same_hosts(subject: Subject) -> Iterator[Found]:
    yield from (
        found for chain, found in _on_own_hosts(subject) if _hosts(subject, chain) == subject.names.hosts(chain.key or "")
    )


@rule("fallback-no-new-host", "advice", "When the hosts of this name are down, those of its whole chain are down too.")
def fallback_no_new_host(subject: Subject) -> Iterator[Found]:
    yield from (
        found for chain, found in _on_own_hosts(subject) if _hosts(subject, chain) != subject.names.hosts(chain.key or "")
    )


def _hosts(subject: Subject, chain: Chain) -> frozenset[str]:
    return frozenset(host for target in chain.targets for host in subject.names.hosts(target.name))


def _on_own_hosts(subject: Subject) -> Iterator[tuple[Chain, Found]]:
    """Chains that lead nowhere new although another host could serve.

    From one model of a vendor to another one they are for limits, quotas and refusals: nobody switches a cloud off.
    """
    for chain in (chain for chain in _keyed(subject) if not _in_clouds(subject, chain.key or "")):
        own, chained = subject.names.hosts(chain.key or ""), _hosts(subject, chain)
        others = _other_hosts(subject, chain.key or "", own)
        # A router begins with one of its tiers, and another one may stand elsewhere.
        tiers = [tier for item in subject.names.deployments(chain.key or "") if item.is_router for tier in tier_names(item)]
        vain = chained <= own and all(chained <= subject.names.hosts(tier) for tier in tiers)
        if chained and vain and others and not _same_group(subject, chain):
            got = f"{chain.key} on {', '.join(sorted(own))}, its chain on {', '.join(sorted(chained))}"
            mend = f"Add a name that is served on {', '.join(sorted(others))}."
            yield chain, Found(chain.path, got, "a host that is not down with the first", mend)


def _in_clouds(subject: Subject, name: str) -> bool:
    return all(item.is_cloud for item in subject.names.models(name))


def _other_hosts(subject: Subject, name: str, own: frozenset[str]) -> frozenset[str]:
    embedding = any(item.is_embedding for item in subject.names.models(name))
    return subject.config.hosts_by_kind[embedding] - own


@rule(
    "fallback-alias-uncovered",
    "error",
    "Chains are looked up by the very name that the client used, never by the group behind it.",
)
def fallback_alias_uncovered(subject: Subject) -> Iterator[Found]:
    """A default for all names covers them where it names the same; there is none for long prompts."""
    for kind in CHAINS:
        keys = {chain.key: chain for chain in subject.config.chains if chain.kind == kind}
        default = subject.names.keys.default(kind) if kind == "fallbacks" else None
        for group in dict.fromkeys(subject.config.aliases.values()):
            names = [group, *subject.config.aliases_of.get(group, ())]
            covered = [name for name in names if name in keys]
            bare = [name for name in names if name not in keys and not subject.names.keys.own(name, kind)]
            if group in subject.config.groups and covered and bare and not _covers(default, keys[covered[0]]):
                got = f"chains for {', '.join(covered)}, none for {', '.join(bare)}"
                mend = "Add a chain with each of these names as its key."
                yield Found(keys[covered[0]].path, got, "a chain for each name of the group", mend)


def _covers(default: Chain | None, chain: Chain) -> bool:
    """Whether whoever is in a chain is in the default too."""
    names = {target.name for target in (default.targets if default else ())}
    return default is not None and all(target.name in names for target in chain.targets)


@rule("fallback-too-deep", "error", "LiteLLM goes no deeper than max_fallbacks: what stands behind is never asked.")
def fallback_too_deep(subject: Subject) -> Iterator[Found]:
    everything = frozenset(item.host for item in subject.config.models)
    counted = not isinstance(subject.config.setting("max_fallbacks", *CHAIN_SECTIONS), str)
    for chain in _keyed(subject) if counted else ():
        missed = subject.walker.walk(chain.key or "", everything).unreached
        if missed:
            got = f"the way from {chain.key} ends before {', '.join(missed)}"
            mend = "Write one flat list per name, or raise router_settings.max_fallbacks."
            yield Found(chain.path, got, "every name within the depth", mend)


@rule(
    "fallback-embedding-chat",
    "error",
    "A chat model cannot answer an embedding request, nor the reverse: it fails with an error that names the wrong model.",
)
def fallback_embedding_chat(subject: Subject) -> Iterator[Found]:
    for chain in subject.config.chains:
        own = _kind(subject, chain.key) if chain.key else None
        for target in chain.targets if own else ():
            other = _kind(subject, target.name)
            if other and other != own:
                got = f"{target.name} ({other}) for {chain.key} ({own})"
                mend = "Take it out; give each kind a chain of its own."
                yield Found(target.path, got, "a model of the same kind", mend)


def _kind(subject: Subject, name: str) -> str | None:
    """What the models behind a name do; None where nobody can say, or they are of several kinds."""
    kinds = {item.kind for item in subject.names.models(name)}
    return kinds.pop() if len(kinds) == 1 else None


@rule(
    "default-fallback-embedding",
    "error",
    "default_fallbacks do not ask for the kind: an embedding falls to a chat model and fails with an error that names that.",
)
def default_fallback_embedding(subject: Subject) -> Iterator[Found]:
    chain = subject.names.keys.default()
    kinds = {name: _kind(subject, name) for name in subject.config.callable}
    names = [name for name, kind in kinds.items() if kind not in ("chat", None) and not subject.names.keys.own(name)]
    targets = {target.name: _kind(subject, target.name) for target in (chain.targets if chain else ())}
    other = [name for name, kind in targets.items() if kind and any(kinds[bare] != kind for bare in names)]
    if chain and other:
        got, mend = f"{', '.join(other)} for {', '.join(names)} too", "Give each name a chain of its own instead of a default."
        yield Found(chain.path, got, "chains that leave embeddings out", mend)


@rule(
    "retries-before-fallback",
    "warning",
    "While it is down, each request asks the group's only deployment again, with pauses of seconds, before it falls back.",
)
def retries_before_fallback(subject: Subject) -> Iterator[Found]:
    """A vendor's cloud is not switched off, and a policy of retries is a decision."""
    router = subject.config.section("router_settings")
    if router.get("model_group_retry_policy") or router.get("retry_policy"):
        return
    for name, items in subject.config.groups.items():
        keys, names = subject.names.keys, (name, *subject.config.aliases_of.get(name, ()))
        chain = next((found for key in names if (found := keys.own(key))), None) or keys.default()
        if not chain or len(items) != 1 or items[0].is_router or items[0].is_cloud or not _leads_away(subject, chain, name):
            continue
        retries = subject.walker.retries(name, items[0])
        if retries:
            own = items[0].retries is not None
            setting = "num_retries: 0 in its litellm_params" if own else "router_settings.num_retries: 0"
            got, mend = f"{retries} retries for {name} with one deployment", "put the same alias on a second host with order."
            yield Found(chain.path, got, "no retries before the chain", f"Set {setting}, or {mend}")


def _leads_away(subject: Subject, chain: Chain, name: str) -> bool:
    """Whether somebody else is in a chain."""
    return any(subject.names.group(target.name) != name for target in chain.targets)


@rule(
    "order-level-carried",
    "advice",
    "A group that is entered after a level of another one has failed is entered at that level: its first host is left out.",
    releases("1.83.0", "1.98.1"),
)
def order_level_carried(subject: Subject) -> Iterator[Found]:
    for chain in _keyed(subject):
        own = subject.names.deployments(chain.key or "")
        others = [target for target in chain.targets if subject.names.deployments(target.name) != own]
        if len(_orders(subject, chain.key or "")) > 1:
            for target in (target for target in others if len(_orders(subject, target.name)) > 1):
                got = f"{chain.key} and {target.name}, both with levels of order"
                yield Found(target.path, got, "a release that begins at the first level", "Run 1.106.2 or newer.")


def _orders(subject: Subject, name: str) -> set[str]:
    return {repr(item.order) for item in subject.names.deployments(name) if item.order is not None}


@rule(
    "attempts-multiplied",
    "advice",
    "While hosts are down a request asks the same dead deployments again and again under other names.",
)
def attempts_multiplied(subject: Subject) -> Iterator[Found]:
    everything = frozenset(item.host for item in subject.config.models)
    for chain in _keyed(subject):
        way = subject.walker.walk(chain.key or "", everything)
        distinct = len({(item.host, item.model) for item in way.asked})
        if way.attempts > distinct * (1 + subject.config.retries):
            got = f"{way.attempts} attempts at {distinct} deployments for one request of {chain.key}"
            yield Found(
                chain.path,
                got,
                f"at most {distinct * (1 + subject.config.retries)}",
                "Write flat chains whose targets stand on other hosts.",
            )


@rule("alias-on-one-host", "advice", "When that host is down, nothing answers to the name.", releases(since=str(ORDER_FAILOVER)))
def alias_on_one_host(subject: Subject) -> Iterator[Found]:
    hosts = {item.host for item in subject.config.models if not item.is_cloud}
    if len(hosts) < 2:
        return
    rows = survival(subject.config, subject.release, most_down=1, walker=subject.walker)
    whole = {row.alias for row in rows if not row.down and row.served}
    lost: dict[str, list[str]] = {}
    for row in rows:
        if row.alias in whole and row.down and not row.served and row.down[0] in hosts:
            lost.setdefault(row.alias, []).append(row.down[0])
    for alias, without in lost.items():
        down = ", ".join(without)
        yield Found(
            _place(subject, alias),
            f"{alias}, lost with {down}",
            "a second host",
            "Add a deployment on another host with order: 2, or a chain.",
        )


def _place(subject: Subject, alias: str) -> Path:
    if alias in subject.config.aliases:
        return subject.config.alias_path(alias)
    return (*subject.config.groups[alias][0].path, "model_name")
