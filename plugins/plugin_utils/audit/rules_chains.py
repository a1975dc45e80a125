"""Rules about chains: who answers instead when all deployments of a name fail."""

from __future__ import annotations

from collections.abc import Iterator

from ..litellm_release import releases
from ..problems import Path, shown
from .config import CHAIN_SECTIONS, CHAINS, Chain
from .finding import Edit, Found, Subject, rule
from .names import tier_names
from .survival import survival
from .walk import ORDER_FAILOVER

SHAPE = "a list of mappings with one key each: [{name: [other]}]"


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


@rule("fallback-section", "error", "LiteLLM does not look for chains in that section.")
def fallback_section(subject: Subject) -> Iterator[Found]:
    for name in (*CHAINS, "default_fallbacks"):
        if name in subject.config.section("general_settings"):
            path = ("general_settings", name)
            yield Found(
                path, f"{name} in general_settings", "router_settings", "Move it to router_settings.", edits=_moved(subject, name)
            )


def _moved(subject: Subject, name: str) -> tuple[Edit, ...]:
    free = subject.config.setting(name, *CHAIN_SECTIONS) is None
    value = subject.config.section("general_settings")[name]
    return (Edit(("router_settings", name), value), Edit(("general_settings", name), remove=True)) if free else ()


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
        if chain.key is not None and not subject.names.known(chain.key):
            yield Found(
                chain.path,
                f"a chain for {chain.key}",
                "a group or an alias",
                subject.guesses.meant(chain.key, subject.config.callable),
            )


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
    own = subject.names.deployments(chain.key or "")
    return bool(own) and all(subject.names.deployments(target.name) == own for target in chain.targets)


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
    """Chains that lead nowhere new although another host could serve."""
    for chain in _keyed(subject):
        own, chained = subject.names.hosts(chain.key or ""), _hosts(subject, chain)
        others = _other_hosts(subject, chain.key or "", own)
        # A router begins with one of its tiers, and another one may stand elsewhere.
        tiers = [tier for item in subject.names.deployments(chain.key or "") if item.is_router for tier in tier_names(item)]
        vain = chained <= own and all(chained <= subject.names.hosts(tier) for tier in tiers)
        if chained and vain and others and not _same_group(subject, chain):
            got = f"{chain.key} on {', '.join(sorted(own))}, its chain on {', '.join(sorted(chained))}"
            mend = f"Add a name that is served on {', '.join(sorted(others))}."
            yield chain, Found(chain.path, got, "a host that is not down with the first", mend)


def _other_hosts(subject: Subject, name: str, own: frozenset[str]) -> frozenset[str]:
    embedding = any(item.is_embedding for item in subject.names.models(name))
    return subject.config.hosts_by_kind[embedding] - own


@rule(
    "fallback-alias-uncovered",
    "error",
    "Chains are looked up by the very name that the client used, never by the group behind it.",
)
def fallback_alias_uncovered(subject: Subject) -> Iterator[Found]:
    keys = {chain.key: chain for chain in subject.config.chains if chain.kind == "fallbacks"}
    for group in dict.fromkeys(subject.config.aliases.values()):
        names = [group, *subject.config.aliases_of.get(group, ())]
        covered = [name for name in names if name in keys]
        bare = [name for name in names if name not in keys]
        if group in subject.config.groups and covered and bare:
            first = keys[covered[0]]
            got = f"chains for {', '.join(covered)}, none for {', '.join(bare)}"
            yield Found(first.path, got, "a chain for each name of the group", "Add a chain with each of these names as its key.")


@rule("fallback-too-deep", "error", "LiteLLM goes no deeper than max_fallbacks: what stands behind is never asked.")
def fallback_too_deep(subject: Subject) -> Iterator[Found]:
    everything = frozenset(item.host for item in subject.config.models)
    for chain in _keyed(subject):
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
        own = [item.is_embedding for item in subject.names.models(chain.key)] if chain.key else []
        for target in chain.targets if own else ():
            other = [item.is_embedding for item in subject.names.models(target.name)]
            if other and any(own) != any(other):
                kinds = {True: "embedding", False: "chat"}
                got = f"{target.name} ({kinds[any(other)]}) for {chain.key} ({kinds[any(own)]})"
                yield Found(target.path, got, "a model of the same kind", "Take it out; give embeddings a chain of their own.")


@rule(
    "default-fallback-embedding",
    "error",
    "default_fallbacks do not ask for the kind: an embedding falls to a chat model and fails with an error that names that.",
)
def default_fallback_embedding(subject: Subject) -> Iterator[Found]:
    names = subject.names
    bare = [
        name
        for name, items in subject.config.groups.items()
        if any(item.is_embedding for item in items) and not _own_chain(subject, name)
    ]
    for chain in subject.config.chains:
        chats = [target.name for target in chain.targets if not any(item.is_embedding for item in names.models(target.name))]
        if chain.key is None and chain.kind in ("default_fallbacks", "fallbacks") and chats and bare:
            got = f"{', '.join(chats)} for {', '.join(bare)} too"
            yield Found(
                chain.path, got, "chains that leave embeddings out", "Give each name a chain of its own instead of a default."
            )


def _own_chain(subject: Subject, name: str) -> bool:
    return any(chain.key == name and chain.kind == "fallbacks" for chain in subject.config.chains)


@rule(
    "retries-before-fallback",
    "warning",
    "While it is down, each request asks the group's only deployment again, with pauses of seconds, before it falls back.",
)
def retries_before_fallback(subject: Subject) -> Iterator[Found]:
    if subject.config.retries == 0 or subject.config.setting("model_group_retry_policy", "router_settings"):
        return
    seen: set[str] = set()
    for chain in _keyed(subject):
        items = subject.names.deployments(chain.key or "")
        group = subject.names.group(chain.key or "")
        if len(items) == 1 and not items[0].is_router and group not in seen and items[0].params.get("num_retries") != 0:
            seen.add(group)
            mend = "Set router_settings.num_retries: 0, or put the same alias on a second host with order."
            got = f"{subject.config.retries} retries for {group} with one deployment"
            yield Found(chain.path, got, "no retries before the chain", mend)


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


@rule("alias-on-one-host", "advice", "When that host is down, nothing answers to the name.")
def alias_on_one_host(subject: Subject) -> Iterator[Found]:
    hosts = {item.host for item in subject.config.models if not item.is_cloud}
    if len(hosts) < 2 or subject.release < ORDER_FAILOVER:
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
