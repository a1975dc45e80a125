"""Rules about the file itself: its shape, keys that stand twice, values that anchors share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..litellm_release import releases
from ..problems import Path
from .config import mapping, text
from .finding import Found, Subject, rule

# Sections that a proxy can serve without a model.
WITHOUT_MODELS = ("mcp_servers", "agent_list", "search_tools", "vector_store_registry")
MAPPINGS = ("router_settings", "general_settings", "litellm_settings", "environment_variables")


def _kind(value: object) -> str:
    """What a value is, without what it says: where its shape is wrong, it may hold keys."""
    names = {"str": "text", "int": "a number", "float": "a number", "dict": "a mapping", "list": "a list", "NoneType": "nothing"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")


@rule("not-a-configuration", "error", "LiteLLM reads a mapping of sections.")
def not_a_configuration(subject: Subject) -> Iterator[Found]:
    if not isinstance(subject.document.data, dict):
        yield Found((), _kind(subject.document.data), "a mapping with model_list", "Name LiteLLM's config.yaml.", line=1)


@rule("section-type", "error", "The proxy does not start, or leaves the section out.")
def section_type(subject: Subject) -> Iterator[Found]:
    data = subject.config.data
    for name in MAPPINGS:
        if data.get(name) is not None and not isinstance(data[name], dict):
            yield Found((name,), _kind(data[name]), "a mapping", "Write one setting per line below it.")
    models = data.get("model_list")
    if models is not None and not isinstance(models, list):
        yield Found(("model_list",), _kind(models), "a list of deployments", "Begin each with a dash.")


@rule("model-list-missing", "error", "A proxy without deployments answers nothing.")
def model_list_missing(subject: Subject) -> Iterator[Found]:
    """Models may also come from a database or from an included file, and a proxy may be there for other things."""
    data, general = subject.config.data, subject.config.section("general_settings")
    others = any(map(data.get, WITHOUT_MODELS)) or any(map(general.get, ("pass_through_endpoints", "database_url")))
    if data and not data.get("model_list") and not subject.config.has_models_elsewhere and not others:
        yield Found(("model_list",), "no deployment", "one or more", "Add a model_list.", line=1)


@rule("deployment-shape", "error", "The proxy does not start with an entry that has no model_name or no litellm_params.model.")
def deployment_shape(subject: Subject) -> Iterator[Found]:
    entries = subject.config.data.get("model_list")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        path: Path = ("model_list", index)
        if not isinstance(entry, dict):
            yield Found(path, _kind(entry), "a mapping", "Write model_name and litellm_params.")
            continue
        if not text(entry.get("model_name")):
            yield Found((*path, "model_name"), _kind(entry.get("model_name")), "a name", "Write the name that clients call.")
        if not isinstance(entry.get("litellm_params"), dict):
            yield Found(
                (*path, "litellm_params"), _kind(entry.get("litellm_params")), "a mapping with model", "Write litellm_params."
            )
        elif not text(entry["litellm_params"].get("model")):
            got = _kind(entry["litellm_params"].get("model"))
            yield Found((*path, "litellm_params", "model"), got, "provider/model", "Write the provider and the model.")
        if entry.get("model_info") is not None and not isinstance(entry["model_info"], dict):
            yield Found((*path, "model_info"), _kind(entry["model_info"]), "a mapping", "Write one fact per line below it.")


@rule("key-repeated", "error", "YAML keeps the last of two equal keys: what stands above is lost without a word.")
def key_repeated(subject: Subject) -> Iterator[Found]:
    for item in subject.document.repeated:
        lines = ", ".join(map(str, item.lines))
        yield Found(
            item.path,
            f"the key {item.path[-1]} in the lines {lines}",
            "it once",
            "Join them, or take one out.",
            line=item.lines[-1],
        )


@rule(
    "deployment-id-repeated",
    "error",
    "Cooldown, health and metrics are kept by id: two deployments with one id go down together.",
)
def deployment_id_repeated(subject: Subject) -> Iterator[Found]:
    ids = Counter(str(item.info["id"]) for item in subject.config.deployments if item.info.get("id") is not None)
    shared = {path for paths in _shared_infos(subject) for path in paths}
    for item in subject.config.deployments:
        name = str(item.info.get("id"))
        if item.info.get("id") is not None and ids[name] > 1 and (*item.path, "model_info") not in shared:
            yield Found((*item.path, "model_info", "id"), f"{name}, {ids[name]} times", "an id of its own", "Write host--model.")


@rule(
    "model-info-shared",
    "error",
    "Deployments that share one model_info through an anchor get one id: when one of them cools down, so does the other.",
    releases(until="1.98.1"),
)
def model_info_shared(subject: Subject) -> Iterator[Found]:
    for paths in _shared_infos(subject):
        lines = [str(subject.document.line(path)) for path in paths]
        got = f"one model_info for the entries in the lines {', '.join(lines)}"
        mend = "Write a model_info for each; a merge into one of its own ({<<: *anchor, id: …}) is safe."
        yield Found(paths[-1], got, "one of its own", mend)


def _shared_infos(subject: Subject) -> list[tuple[Path, ...]]:
    """The places of each model_info that several entries have as one object."""
    groups: list[tuple[Path, ...]] = []
    for paths in subject.document.shared:
        infos = tuple(path for path in paths if len(path) == 3 and path[0] == "model_list" and path[2] == "model_info")
        if len(infos) > 1:
            groups.append(infos)
    return groups


@rule("alias-type", "error", "The proxy does not start, or leaves the alias out.")
def alias_type(subject: Subject) -> Iterator[Found]:
    aliases = subject.config.section("router_settings").get("model_group_alias")
    if aliases is not None and not isinstance(aliases, dict):
        yield Found(("router_settings", "model_group_alias"), _kind(aliases), "a mapping alias: group", "Write alias: group.")
    for alias, target in mapping(aliases).items():
        if not text(target) and not text(mapping(target).get("model")):
            yield Found(
                ("router_settings", "model_group_alias", alias), _kind(target), "the name of a group", "Write alias: group."
            )
