"""Rules about names: aliases, and LiteLLM's own routers and their tiers."""

from __future__ import annotations

from collections.abc import Iterator

from ..litellm_release import releases
from ..problems import Path
from .config import Deployment, mapping, text
from .finding import Edit, Found, Subject, rule
from .names import tier_names, tier_places

TIERS = ("SIMPLE", "MEDIUM", "COMPLEX", "REASONING")


@rule("alias-without-hidden", "error", "The proxy does not start: KeyError 'hidden'.")
def alias_without_hidden(subject: Subject) -> Iterator[Found]:
    for alias, target in mapping(subject.config.section("router_settings").get("model_group_alias")).items():
        if isinstance(target, dict) and "hidden" not in target:
            path = (*subject.config.alias_path(alias), "hidden")
            yield Found(
                path,
                f"the alias {alias} without hidden",
                "hidden: false or true",
                "Write hidden: false.",
                edits=(Edit(path, False),),
            )


@rule(
    "alias-dangling",
    "error",
    "A request with that name is answered with 400; where there are default_fallbacks, silently by the first of them.",
)
def alias_dangling(subject: Subject) -> Iterator[Found]:
    for alias, target in subject.config.aliases.items():
        if target not in subject.config.aliases and not subject.names.known(alias):
            mend = subject.guesses.meant(target, subject.config.groups)
            yield Found(
                subject.config.alias_path(alias), f"{alias}, which stands for {target}", "a group of the model list", mend
            )


@rule(
    "health-group-unknown",
    "error",
    "Checks and routing by them are for these groups alone: nothing is probed under a name that no entry has.",
    releases(since="1.103.11"),
)
def health_group_unknown(subject: Subject) -> Iterator[Found]:
    """An alias is none: LiteLLM compares them with model_name."""
    name, section = "background_health_check_model_groups", "general_settings"
    listed = subject.config.section(section).get(name)
    for index, group in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(group, str) and group not in subject.config.groups and not subject.config.has_models_elsewhere:
            mend = subject.guesses.meant(group, subject.config.groups)
            yield Found((section, name, index), group, "a group of the model list", mend)


@rule("alias-chained", "error", "An alias leads one hop only: one of an alias is answered with 400.")
def alias_chained(subject: Subject) -> Iterator[Found]:
    aliases = subject.config.aliases
    for alias, target in aliases.items():
        if target in aliases and not subject.names.known(alias):
            end = aliases[target]
            path = _target_path(subject, alias)
            got = f"{alias}, which stands for the alias {target}"
            if end in subject.config.groups:
                yield Found(path, got, f"{end} itself", f"Write {end}.", edits=(Edit(path, end),))
            else:
                mend = subject.guesses.meant(end, subject.config.groups)
                yield Found(path, got if alias != target else f"{alias}, which stands for itself", "a group", mend)


def _target_path(subject: Subject, alias: str) -> Path:
    path = subject.config.alias_path(alias)
    entry = mapping(subject.config.section("router_settings").get("model_group_alias")).get(alias)
    return (*path, "model") if isinstance(entry, dict) else path


@rule("alias-shadows-group", "error", "The alias wins: the deployments of the group with that name are never asked by it.")
def alias_shadows_group(subject: Subject) -> Iterator[Found]:
    for alias, target in subject.config.aliases.items():
        if alias in subject.config.groups and target != alias:
            got = f"the alias {alias} (for {target}), which is also a group"
            yield Found(subject.config.alias_path(alias), got, "names that differ", "Rename the alias or the group.")


@rule(
    "complexity-tier-names",
    "error",
    "A tier under another name is ignored, and one that is missing goes to the default model, without a word.",
)
def complexity_tier_names(subject: Subject) -> Iterator[Found]:
    for router in subject.config.complexity_routers:
        settings = mapping(router.params.get("complexity_router_config"))
        tiers = mapping(settings.get("tiers"))
        # A set of one's own is classified by a model.
        if not tiers or settings.get("tier_definitions"):
            continue
        path = (*router.path, "litellm_params", "complexity_router_config", "tiers")
        allowed = {*TIERS, *(("NON_REASONING",) if settings.get("enable_non_reasoning_tier") is True else ())}
        for name in (name for name in tiers if name not in allowed):
            upper = str(name).upper()
            edits = (Edit((*path, name), rename=upper),) if upper in allowed and upper not in tiers else ()
            yield Found(
                (*path, name), f"the tier {name}", ", ".join(TIERS), "Write the name in capitals, or take it out.", edits=edits
            )
        missing = [name for name in TIERS if name not in tiers and name not in {str(key).upper() for key in tiers}]
        default = text(router.params.get("complexity_router_default_model")) or text(settings.get("default_model"))
        if missing and not default:
            yield Found(path, f"no tier {', '.join(missing)}", ", ".join(TIERS), "Name a group for each.")


@rule(
    "complexity-tier-unresolved",
    "error",
    "Requests of that tier go to the default model without a word, or are answered with 400 (up to 1.98.1).",
)
def complexity_tier_unresolved(subject: Subject) -> Iterator[Found]:
    for router in subject.config.deployments:
        for place, name in tier_places(router) if router.is_router else ():
            if not subject.names.known(name) or name == router.group:
                names = [item for item in subject.config.callable if item != router.group]
                yield Found(
                    (*router.path, "litellm_params", *place),
                    f"{name}, which nothing answers to",
                    "a group or an alias",
                    subject.guesses.meant(name, names),
                )


@rule(
    "complexity-compaction",
    "error",
    "Context compaction asks for facts that a single ollama_chat/ deployment does not have: 500 on each request.",
    releases(since="1.104.0"),
)
def complexity_compaction(subject: Subject) -> Iterator[Found]:
    for router in subject.config.complexity_routers:
        settings = mapping(router.params.get("complexity_router_config"))
        if "context_compaction" in settings and settings["context_compaction"] in (False, None):
            continue
        for name in tier_names(router):
            if single := _single(subject, name):
                path = (*router.path, "litellm_params", "complexity_router_config", "context_compaction")
                got = f"the tier model {name} with the one deployment {single.model}"
                mend = "Set complexity_router_config.context_compaction: false."
                yield Found(path, got, "context_compaction: false", mend, edits=(Edit(path, False),))
                break


def _single(subject: Subject, name: str) -> Deployment | None:
    """The deployment that is alone with its model in the whole file."""
    items = subject.names.deployments(name)
    same = [item for item in subject.config.models if items and item.model == items[0].model]
    return items[0] if len(items) == 1 and len(same) == 1 and items[0].prefix == "ollama_chat" else None


@rule(
    "complexity-alias",
    "error",
    "In these releases a complexity router is not found through an alias; by its own name it is callable and listed.",
    releases(until="1.98.1"),
)
def complexity_alias(subject: Subject) -> Iterator[Found]:
    routers = {item.group for item in subject.config.complexity_routers}
    for alias, target in subject.config.aliases.items():
        if target in routers:
            mend = f"Rename the router's entry to {alias}, or let clients call {target}."
            yield Found(
                subject.config.alias_path(alias), f"the alias {alias} of the complexity router {target}", "its own name", mend
            )


@rule(
    "complexity-own-name",
    "advice",
    "It needs no alias: it is callable and listed by its own name. An alias breaks it up to 1.98.1.",
)
def complexity_own_name(subject: Subject) -> Iterator[Found]:
    for router in subject.config.complexity_routers:
        if subject.config.aliases and router.group not in subject.config.aliases.values():
            mend = f"Let clients call {router.group}, or rename the entry; add no alias for it in those releases."
            got = f"{router.group} beside model_group_alias"
            yield Found((*router.path, "model_name"), got, f"clients that call {router.group}", mend)


@rule(
    "complexity-fallback-key",
    "error",
    "In these releases only a chain with the router's own name counts for what it routes; those of its tiers are not looked at.",
    releases(until="1.98.1"),
)
def complexity_fallback_key(subject: Subject) -> Iterator[Found]:
    keys = {chain.key: chain for chain in subject.config.chains if chain.kind == "fallbacks"}
    for router in subject.config.complexity_routers:
        tiers = [name for name in tier_names(router) if name in keys]
        if tiers and router.group not in keys and None not in keys:
            got = f"chains for the tiers {', '.join(tiers)}, none for {router.group}"
            mend = f"Add a chain with the key {router.group}."
            yield Found(keys[tiers[0]].path, got, f"a chain for {router.group}", mend)


@rule(
    "complexity-escalation",
    "warning",
    "Whoever writes LITELLM ESCALATE into a prompt moves it to a larger model.",
    releases(since="1.98.1"),
)
def complexity_escalation(subject: Subject) -> Iterator[Found]:
    for router in subject.config.complexity_routers:
        settings = mapping(router.params.get("complexity_router_config"))
        if "escalation_keywords" not in settings:
            path = (*router.path, "litellm_params", "complexity_router_config", "escalation_keywords")
            mend = "Set escalation_keywords: [], or words of your own."
            yield Found(path, "the default words", "words of one's own, or none", mend, edits=(Edit(path, []),))


@rule("complexity-repeated", "error", "Of two routers with one name the second is dropped at the start.")
def complexity_repeated(subject: Subject) -> Iterator[Found]:
    seen: set[str] = set()
    for router in subject.config.complexity_routers:
        if router.group in seen:
            yield Found(
                (*router.path, "model_name"), f"a second router {router.group}", "one router per name", "Rename one of them."
            )
        seen.add(router.group)


@rule("semantic-router-incomplete", "error", "The proxy drops such an entry, and starts without it.")
def semantic_router_incomplete(subject: Subject) -> Iterator[Found]:
    for item in subject.config.deployments:
        kind = item.model.partition("/")[2]
        if item.is_router and kind not in ("complexity_router", "quality_router", "adaptive_router"):
            params = item.params
            has = text(params.get("auto_router_config")) or text(params.get("auto_router_config_path"))
            wanted = [name for name in ("auto_router_default_model", "auto_router_embedding_model") if not params.get(name)]
            missing = [*(() if has else ("auto_router_config or auto_router_config_path",)), *wanted]
            if missing:
                yield Found(
                    (*item.path, "litellm_params"),
                    f"{item.model} without {', '.join(missing)}",
                    "all three",
                    "Add what is missing.",
                )
