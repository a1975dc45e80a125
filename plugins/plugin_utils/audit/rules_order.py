"""Rules about who of a group is asked first: order, strategies, weights and limits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from ..litellm_release import releases
from ..problems import shown
from .config import Deployment, is_true, mapping, number, text
from .finding import Edit, Found, Subject, rule
from .litellm_keys import known
from .walk import ORDER_FAILOVER

# Strategies that take rpm and tpm as weights or not at all (reference 2.3).
WITHOUT_LIMITS = ("simple-shuffle", "least-busy")
# Larger groups are compared that far.
MOST_COMPARED = 50


def order_path(item: Deployment) -> tuple[str | int, ...]:
    """Where the order of a deployment stands, or belongs."""
    section = "model_info" if item.params.get("order") is None and "order" in item.info else "litellm_params"
    return (*item.path, section, "order")


def _looked_at(subject: Subject) -> bool:
    """Whether this release looks at order at all; where it does not, order-ignored says so."""
    return subject.release >= ORDER_FAILOVER or is_true(subject.config.section("router_settings").get("enable_pre_call_checks"))


@rule(
    "order-type",
    "error",
    "Orders are compared as they are: text after text ('10' before '9'), and text beside numbers fails each request "
    "(up to 1.82.6 with pre-call checks only).",
)
def order_type(subject: Subject) -> Iterator[Found]:
    """Nothing coerces an order, it is no declared field. Numbers of both kinds, and text that sorts as its numbers do, work."""
    for items in subject.config.groups.values() if _looked_at(subject) else ():
        models = [item for item in items if not item.is_router and item.order is not None]
        texts = [item for item in models if isinstance(item.order, str)]
        if len(texts) == len(models) and _sorts_as_numbers([str(item.order) for item in texts]):
            continue
        for item in models:
            if isinstance(item.order, (int, float)) and not isinstance(item.order, bool):
                continue
            value = number(item.order)
            edits = (Edit(order_path(item), int(value)),) if value is not None and value.is_integer() else ()
            yield Found(order_path(item), shown(item.order), "a whole number", "Write it without quotes: order: 1.", edits=edits)


def _sorts_as_numbers(orders: list[str]) -> bool:
    values = [number(order) for order in orders]
    known_values = [value for value in values if value is not None]
    return len(known_values) == len(orders) and sorted(orders) == [
        order for _value, order in sorted(zip(known_values, orders, strict=True))
    ]


@rule(
    "order-misplaced",
    "error",
    "LiteLLM reads order in litellm_params (and model_info); beside them it is ignored without a word.",
)
def order_misplaced(subject: Subject) -> Iterator[Found]:
    """Looks at entries as they stand, also at those without a model."""
    entries = subject.config.data.get("model_list")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if "order" in mapping(entry):
            path = ("model_list", index, "order")
            free = isinstance(entry.get("litellm_params"), dict) and "order" not in entry["litellm_params"]
            moved = (Edit(("model_list", index, "litellm_params", "order"), entry["order"]),) if free else ()
            mend = "Move it into litellm_params."
            yield Found(
                path, "order beside litellm_params", "order in litellm_params", mend, edits=(*moved, Edit(path, remove=True))
            )


@rule(
    "order-partial",
    "error",
    "As soon as one deployment of a group has an order, those without are never asked (up to 1.82.6 with pre-call checks only).",
)
def order_partial(subject: Subject) -> Iterator[Found]:
    for name, items in subject.config.groups.items() if _looked_at(subject) else ():
        models = [item for item in items if not item.is_router]
        first = list(dict.fromkeys(_audience(item) for item in models if item.order is not None))[:MOST_COMPARED]
        for item in (item for item in models if item.order is None):
            if any(_always_beside(subject, _audience(item), other) for other in first):
                expected = "an order on every deployment of a group, or on none"
                yield Found(
                    (*item.path, "litellm_params"),
                    f"no order in the ordered group {name}",
                    expected,
                    "Give it its place: order: 2.",
                )


# The team and the tags that a deployment is for.
Audience = tuple[str | None, frozenset[str]]


def _audience(item: Deployment) -> Audience:
    team = item.info.get("team_id")
    return None if team is None else str(team), frozenset(_tags(item))


def _always_beside(subject: Subject, one: Audience, other: Audience) -> bool:
    """Whether whoever may be answered by the one may be by the other too: teams and tags are looked at before order."""
    (team, tags), (other_team, other_tags) = one, other
    return other_team in (None, team) and not (_filters_tags(subject) and _are_apart(tags, other_tags))


def _filters_tags(subject: Subject) -> bool:
    return is_true(subject.config.section("router_settings").get("enable_tag_filtering"))


def _are_apart(tags: frozenset[str], others: frozenset[str]) -> bool:
    """Whether no tag leads to both; who has none is asked for several."""
    return bool(tags and others) and not tags & others


@rule(
    "tags-ignored",
    "advice",
    "Without router_settings.enable_tag_filtering tags choose no deployment: each answers all, and tags are for logs alone.",
)
def tags_ignored(subject: Subject) -> Iterator[Found]:
    """Only where tags tell deployments of one name apart; keys and teams of a database may turn the filter on too.

    No mend: whether they are to choose is a decision; with the filter on, a request whose tag no deployment has is refused.
    """
    config, name = subject.config, "enable_tag_filtering"
    if (
        config.section("router_settings").get(name)
        or config.has_models_elsewhere
        or config.section("general_settings").get("database_url")
    ):
        return
    for group, items in config.groups.items():
        tagged = [item for item in items if _tags(item)]
        if len({frozenset(_tags(item)) for item in items}) > 1 and not any(item.params.get(name) for item in items):
            path = (*tagged[0].path, "litellm_params", "tags")
            remedy = f"Set router_settings.{name}: true if they are to choose."
            yield Found(path, f"tags in the group {group}", f"{name}: true", remedy)


@rule(
    "order-ignored",
    "error",
    "Up to 1.82.6 no strategy looks at order (latency-based-routing neither) unless pre-call checks are on.",
    releases(until="1.82.6"),
)
def order_ignored(subject: Subject) -> Iterator[Found]:
    """One in model_info is not even looked at with pre-call checks."""
    checked = is_true(subject.config.section("router_settings").get("enable_pre_call_checks"))
    for name, items in subject.config.groups.items():
        ignored = [item for item in items if not checked or item.params.get("order") is None]
        if any(item.order is not None for item in ignored) and len({repr(item.order) for item in items}) > 1:
            first = min(ignored, key=lambda item: item.order is None)
            mend = "Run 1.83.0 or newer, which also fails over by order; or set router_settings.enable_pre_call_checks: true."
            got = f"orders in the group {name} under {subject.config.strategy}"
            yield Found(order_path(first), got, "a release that looks at them", mend)


@rule(
    "unordered-no-failover",
    "warning",
    "With one host down some requests fail: LiteLLM may pick it, and a retry may pick it again (9 of 80 with two, measured).",
)
def unordered_no_failover(subject: Subject) -> Iterator[Found]:
    """Only where a request is really lost to bad luck: not where weighted failover or a chain steps in."""
    for name, items in subject.config.groups.items():
        models = [item for item in items if not item.is_router]
        hosts = sorted({item.host for item in models if not item.is_cloud})
        if not hosts or len({item.host for item in models}) < 2 or len({repr(item.order) for item in models}) > 1:
            continue
        ways = (subject.walker.walk(name, frozenset({host})) for host in hosts[:MOST_COMPARED])
        if any(way.deployment and not way.certain for way in ways) and not _apart(subject, models):
            order = "without order" if models[0].order is None else f"with the same order {shown(models[0].order)}"
            got = f"the group {name} on {', '.join(sorted({item.host for item in models}))} {order}"
            expected = "orders that differ, or weighted failover"
            yield Found((*items[0].path, "model_name"), got, expected, _failover(subject, name))


def _apart(subject: Subject, models: list[Deployment]) -> bool:
    """Whether no request can be answered by either of two hosts: they are of other teams, or for other tags."""
    filtered = _filters_tags(subject)
    return all(
        first.host == second.host
        or first.info.get("team_id") != second.info.get("team_id")
        or (filtered and _are_apart(frozenset(_tags(first)), frozenset(_tags(second))))
        for first, second in combinations(models[:MOST_COMPARED], 2)
    )


def _tags(item: Deployment) -> list[str]:
    tags = item.params.get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _failover(subject: Subject, name: str) -> str:
    simple = subject.config.strategy_of(name) == "simple-shuffle"
    can = "enable_weighted_failover" in known("router_settings", subject.release) and simple
    if subject.release < ORDER_FAILOVER:
        return f"Run {ORDER_FAILOVER} or newer and give each an order of its own: this release has neither."
    return f"Give each an order of its own{'; or set router_settings.enable_weighted_failover: true' if can else ''}."


# Beside litellm_params: what nothing looks at there, and what only strategies by usage and cost do.
NOWHERE, BY_USAGE = ("weight", "max_parallel_requests"), ("rpm", "tpm")


@rule("parameter-misplaced", "warning", "LiteLLM looks for it in litellm_params; beside them it has no effect.")
def parameter_misplaced(subject: Subject) -> Iterator[Found]:
    """Order has a rule of its own; of the rest those that published examples put there."""
    entries = subject.config.data.get("model_list")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        params = mapping(mapping(entry).get("litellm_params"))
        weights_only = subject.config.strategy_of(text(mapping(entry).get("model_name")) or "") in WITHOUT_LIMITS
        names = (*NOWHERE, *(BY_USAGE if weights_only else ()))
        for name in (name for name in names if name in mapping(entry)):
            path, place = ("model_list", index, name), ("model_list", index, "litellm_params", name)
            edits = (Edit(place, entry[name]), Edit(path, remove=True)) if params and name not in params else ()
            yield Found(
                path, f"{name} beside litellm_params", f"{name} in litellm_params", "Move it into litellm_params.", edits=edits
            )


@rule("strategy-unknown", "error", "The proxy does not start with a routing strategy that it does not know.")
def strategy_unknown(subject: Subject) -> Iterator[Found]:
    value = subject.config.section("router_settings").get("routing_strategy")
    strategies = known("routing_strategies", subject.release)
    if value is not None and not (isinstance(value, str) and value in strategies):
        yield Found(
            ("router_settings", "routing_strategy"),
            shown(value),
            "a strategy that exists",
            subject.guesses.meant(value, strategies),
        )


@rule(
    "rate-limit-ignored",
    "warning",
    "Under this strategy rpm and tpm are weights at most: requests beyond them are served all the same.",
)
def rate_limit_ignored(subject: Subject) -> Iterator[Found]:
    checks = subject.config.section("router_settings").get("optional_pre_call_checks")
    enforced = isinstance(checks, list) and "enforce_model_rate_limits" in checks
    for item in subject.config.models if not enforced else ():
        strategy = subject.config.strategy_of(item.group)
        for name in BY_USAGE if strategy in WITHOUT_LIMITS else ():
            if item.params.get(name) is not None:
                mend = (
                    "Add enforce_model_rate_limits to router_settings.optional_pre_call_checks; for a share write weight instead."
                )
                yield Found((*item.path, "litellm_params", name), f"{name} under {strategy}", "a limit that is kept", mend)


@rule("routing-group-strategy", "error", "The proxy does not start with a routing strategy that it does not know.")
def routing_group_strategy(subject: Subject) -> Iterator[Found]:
    groups = subject.config.section("router_settings").get("routing_groups")
    strategies = known("routing_strategies", subject.release) | {"priority"}
    for index, group in enumerate(groups if isinstance(groups, list) else ()):
        value = text(mapping(group).get("routing_strategy"))
        if value and value not in strategies:
            path = ("router_settings", "routing_groups", index, "routing_strategy")
            mend = subject.guesses.meant(value, strategies)
            yield Found(path, shown(value), "a strategy that exists", mend)
