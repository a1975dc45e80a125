"""Rules that need an inventory: what the hosts of the configuration can hold."""

from __future__ import annotations

from collections.abc import Iterator

from .finding import Found, Subject, rule


@rule("memory-overcommitted", "error", "The engine lets one model go to load the other: 30 to 60 s each way, on every request.")
def memory_overcommitted(subject: Subject) -> Iterator[Found]:
    for path, got, expected, mend in subject.fleet.refusals if subject.fleet else ():
        yield Found(path, got, expected, mend)


@rule("host-not-in-inventory", "advice", "Nobody can say whether its models fit in memory together.")
def host_not_in_inventory(subject: Subject) -> Iterator[Found]:
    if subject.fleet is None:
        return
    seen: set[str] = set()
    for item in subject.config.models:
        if item.host not in subject.fleet.hosts and item.base and item.host not in seen:
            seen.add(item.host)
            yield Found(
                (*item.path, "litellm_params", "api_base"),
                item.host,
                "a host of the inventory",
                "Add it to the inventory, or correct the address.",
            )


@rule("model-not-in-inventory", "advice", "Nobody can say whether it fits in memory beside the others of its host.")
def model_not_in_inventory(subject: Subject) -> Iterator[Found]:
    for path, model, host in subject.fleet.unknown if subject.fleet else ():
        yield Found(path, f"{model} on {host}", "a model of llm_models", "Declare it in the inventory, with its size.")
