"""Which deployments a name leads to, as LiteLLM resolves it: literally, with one hop through an alias."""

from __future__ import annotations

from functools import cached_property

from ..litellm_release import Release
from .config import CHAIN_SECTIONS, Chain, Config, Deployment, mapping, text
from .fallback_keys import FallbackKeys

# Names held against wildcards whose longest part they have; a home lab has dozens.
MOST_COMPARISONS = 50_000
# Looking for the longest part takes a twentieth of the time of a comparison.
LOOKS = 20


class Names:
    """The names that clients, chains and tiers may use."""

    def __init__(self, config: Config, release: Release) -> None:
        self._config, self._release = config, release
        self._found: dict[str, tuple[Deployment, ...]] = {}
        self._answering: dict[str, tuple[Deployment, ...]] = {}
        self._tiers: dict[Deployment, tuple[str, ...]] = {}
        self._comparisons = 0

    def deployments(self, name: str) -> tuple[Deployment, ...]:
        """Empty: nothing answers to that name. A router's own entry stands for itself."""
        name = self._config.aliases.get(name, name)
        if name not in self._found:
            self._found[name] = self._config.groups.get(name) or self._by_model.get(name) or self._by_pattern(name)
        return self._found[name]

    def known(self, name: str) -> bool:
        """Whether a request with that name is taken; of models that come from elsewhere nobody can say that it is not."""
        made = name in self._elsewhere or self.group(name) in self._elsewhere
        return bool(self.deployments(name)) or made or self._config.has_models_elsewhere or self.is_cut

    @property
    def is_cut(self) -> bool:
        """Whether the file has too many wildcards to hold every name against them: no name can then be called unknown."""
        return self._comparisons > MOST_COMPARISONS

    def has_levels(self, name: str) -> bool:
        """Whether LiteLLM looks for levels of order behind a name: not behind a bare model string or an id."""
        group = self.group(name)
        return group in self._config.groups or group not in self._by_model

    def group(self, name: str) -> str:
        """The name of the group behind a name: an alias leads one hop."""
        return self._config.aliases.get(name, name)

    def hosts(self, name: str) -> frozenset[str]:
        """The hosts on which a name can be answered; of a router those of its tiers."""
        return frozenset(item.host for item in self.models(name))

    def models(self, name: str) -> tuple[Deployment, ...]:
        """The models on hosts that can answer, through routers too."""
        if name not in self._answering:
            self._answering[name] = self._models(name)
        return self._answering[name]

    def _models(self, name: str) -> tuple[Deployment, ...]:
        found: dict[int, Deployment] = {}
        waiting, seen = [name], {name}
        while waiting:
            for item in self.deployments(waiting.pop()):
                if item.is_router:
                    tiers = self._tiers_of(item)
                    # Routers that name each other name mostly what was seen.
                    new = [] if seen.issuperset(tiers) else [tier for tier in tiers if tier not in seen]
                    seen.update(new)
                    waiting += new
                else:
                    found[id(item)] = item
        return tuple(found.values())

    def _tiers_of(self, router: Deployment) -> tuple[str, ...]:
        if router not in self._tiers:
            self._tiers[router] = tier_names(router)
        return self._tiers[router]

    def chain(self, name: str, kind: str = "fallbacks") -> Chain | None:
        """The chain that a request with that very name gets."""
        return self.keys.chain(name, kind)

    @cached_property
    def keys(self) -> FallbackKeys:
        """The chains by the names that get them."""
        return FallbackKeys(self._config, self._release)

    @cached_property
    def _by_model(self) -> dict[str, tuple[Deployment, ...]]:
        """Ids and model strings can be called too."""
        found: dict[str, list[Deployment]] = {}
        for item in self._config.deployments:
            for name in (item.model, text(item.info.get("id"))):
                if name:
                    found.setdefault(name, []).append(item)
        return {name: tuple(items) for name, items in found.items()}

    def _by_pattern(self, name: str) -> tuple[Deployment, ...]:
        """Groups such as ``openai/*``. Most do not fit by their longest part already."""
        if self.is_cut:
            return ()
        near = [(parts, items) for longest, parts, items in self._patterns if longest in name]
        self._comparisons += len(near) + len(self._patterns) // LOOKS
        return tuple(item for parts, items in near if _fits(name, parts) for item in items)

    @cached_property
    def _patterns(self) -> list[tuple[str, list[str], tuple[Deployment, ...]]]:
        split = ((name.split("*"), items) for name, items in self._config.groups.items() if "*" in name)
        return [(max(parts, key=len), parts, items) for parts, items in split]

    @cached_property
    def _elsewhere(self) -> frozenset[str]:
        """Names that are made in other places: maps of the SDK, teams' own names, groups of strategies."""
        maps = mapping(self._config.setting("model_alias_map", "litellm_settings"))
        teams = {text(item.info.get("team_public_model_name")) for item in self._config.deployments}
        listed = self._config.setting("routing_groups", *CHAIN_SECTIONS)
        groups = {text(mapping(item).get("group_name")) for item in (listed if isinstance(listed, list) else ())}
        return frozenset(name for name in {*maps, *teams, *groups} if isinstance(name, str))


def _fits(name: str, parts: list[str]) -> bool:
    """Whether a name has the parts of a pattern in their order; a regular expression could take forever."""
    first, *middle, last = parts
    place, end = len(first), len(name) - len(last)
    if not name.startswith(first) or not name.endswith(last) or end < place:
        return False
    for part in middle:
        found = name.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def tier_names(router: Deployment) -> tuple[str, ...]:
    """The names that one of LiteLLM's routers sends to, its default among them, each once."""
    return tuple(dict.fromkeys(name for _place, name in tier_places(router)))


def tier_places(router: Deployment) -> list[tuple[tuple[str | int, ...], str]]:
    """Path below litellm_params -> name, of every tier and of the default."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    settings = mapping(router.params.get("complexity_router_config"))
    for tier, wanted in mapping(settings.get("tiers")).items():
        place = ("complexity_router_config", "tiers", tier)
        several = isinstance(wanted, list)
        for index, item in enumerate(wanted if several else [wanted]):
            name = text(item) or text(mapping(item).get("model_name"))
            if name:
                found.append(((*place, index) if several else place, name))
    defaults = (
        (("complexity_router_default_model",), router.params.get("complexity_router_default_model")),
        (("complexity_router_config", "default_model"), settings.get("default_model")),
        (("auto_router_default_model",), router.params.get("auto_router_default_model")),
    )
    return found + [(place, value) for place, value in defaults if isinstance(value, str) and value]
