"""Rules about who of a group is asked first: order, strategies, weights and limits."""

from __future__ import annotations

from collections.abc import Iterator

from ..litellm_release import releases
from ..problems import shown
from .config import Deployment, mapping, number, text
from .finding import Edit, Found, Subject, rule
from .litellm_keys import known
from .walk import ORDER_FAILOVER

# Strategies that take rpm and tpm as weights or not at all (reference 2.3).
WITHOUT_LIMITS = ("simple-shuffle", "least-busy")


def order_path(item: Deployment) -> tuple[str | int, ...]:
    """Where the order of a deployment stands, or belongs."""
    section = "model_info" if item.params.get("order") is None and "order" in item.info else "litellm_params"
    return (*item.path, section, "order")


@rule(
    "order-type",
    "error",
    "Orders are compared as they are: text after text ('10' before '9'), and text beside numbers fails each request.",
)
def order_type(subject: Subject) -> Iterator[Found]:
    """Nothing coerces an order, it is no declared field."""
    for item in subject.config.models:
        if item.order is None or (isinstance(item.order, int) and not isinstance(item.order, bool)):
            continue
        value = number(item.order)
        edits = (Edit(order_path(item), int(value)),) if value is not None and value.is_integer() else ()
        yield Found(order_path(item), shown(item.order), "a whole number", "Write it without quotes: order: 1.", edits=edits)


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


@rule("order-partial", "error", "As soon as one deployment of a group has an order, those without are never asked.")
def order_partial(subject: Subject) -> Iterator[Found]:
    for name, items in subject.config.groups.items():
        models = [item for item in items if not item.is_router]
        if any(item.order is not None for item in models):
            for item in (item for item in models if item.order is None):
                expected = "an order on every deployment of a group, or on none"
                yield Found(
                    (*item.path, "litellm_params"),
                    f"no order in the ordered group {name}",
                    expected,
                    "Give it its place: order: 2.",
                )


@rule(
    "order-ignored",
    "error",
    "Up to 1.82.6 no strategy looks at order (latency-based-routing neither) unless pre-call checks are on.",
    releases(until="1.82.6"),
)
def order_ignored(subject: Subject) -> Iterator[Found]:
    """One in model_info is not even looked at with pre-call checks."""
    checked = subject.config.section("router_settings").get("enable_pre_call_checks") is True
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
    "With one host down some requests fail: a retry may pick it again (9 of 80 with two retries, measured).",
)
def unordered_no_failover(subject: Subject) -> Iterator[Found]:
    if subject.config.section("router_settings").get("enable_weighted_failover") is True:
        return
    for name, items in subject.config.groups.items():
        hosts = {item.host for item in items if not item.is_router}
        if len(hosts) > 1 and all(item.order is None for item in items):
            got = f"the group {name} on {', '.join(sorted(hosts))} without order"
            yield Found((*items[0].path, "model_name"), got, "an order on each, or weighted failover", _failover(subject))


def _failover(subject: Subject) -> str:
    can = "enable_weighted_failover" in known("router_settings", subject.release) and subject.config.strategy == "simple-shuffle"
    if subject.release < ORDER_FAILOVER:
        return f"Run {ORDER_FAILOVER} or newer and give each an order: this release has neither."
    return f"Give each an order{'; or set router_settings.enable_weighted_failover: true' if can else ''}."


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
    if enforced or subject.config.strategy not in WITHOUT_LIMITS:
        return
    for item in subject.config.models:
        for name in ("rpm", "tpm"):
            if item.params.get(name) is not None:
                mend = (
                    "Add enforce_model_rate_limits to router_settings.optional_pre_call_checks; for a share write weight instead."
                )
                yield Found(
                    (*item.path, "litellm_params", name), f"{name} under {subject.config.strategy}", "a limit that is kept", mend
                )


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
