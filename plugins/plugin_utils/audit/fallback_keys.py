"""Which chain a name gets: by its key, by the key without or with a provider, or the default of all names."""

from __future__ import annotations

from functools import cached_property

from ..litellm_release import Release, parse_release
from .config import Chain, Config
from .litellm_keys import known

# From about here on a name without a provider takes the chain of the same name with one (in 1.106.2, not in 1.98.1).
PREFIXED_SINCE = parse_release("1.103.11")
# Each of them is tried with each key; a file has one or two.
MOST_PROVIDERS = 20


class FallbackKeys:
    """The chains of a configuration by the names that get them."""

    def __init__(self, config: Config, release: Release) -> None:
        self._config, self._release = config, release

    def chain(self, name: str, kind: str = "fallbacks") -> Chain | None:
        """What a request with that very name gets."""
        return self.own(name, kind) or self.default(kind)

    def own(self, name: str, kind: str = "fallbacks") -> Chain | None:
        """The first chain with that key; else the last one whose key is the name without its provider.

        A pattern is no name that a request has, and a chain with it as its key is never found.
        """
        if "*" in name:
            return None
        found = self._first.get((kind, name))
        if found or kind != "fallbacks" or "/" not in name:
            return found
        provider, _slash, rest = name.partition("/")
        return self._last.get((kind, rest)) if provider in known("providers", self._release) else None

    def default(self, kind: str = "fallbacks") -> Chain | None:
        """LiteLLM puts default_fallbacks behind all others, and takes the last of those for every name."""
        of_all = self._last.get(("default_fallbacks", None)) if kind == "fallbacks" else None
        return of_all or self._last.get((kind, None))

    def asked_as(self, key: str) -> tuple[str, ...]:
        """The names by which clients may come to the chain of a key, the key itself first."""
        names = [key, *(f"{provider}/{key}" for provider in self._group_providers)]
        head, slash, rest = key.partition("/")
        if slash and self._release >= PREFIXED_SINCE and head in known("providers", self._release):
            names.append(rest)
        return tuple(names)

    @cached_property
    def _group_providers(self) -> list[str]:
        """Providers that begin the name of a group, a pattern such as ``openai/*`` among them."""
        heads = dict.fromkeys(name.partition("/")[0] for name in self._config.groups if "/" in name)
        return [head for head in heads if head in known("providers", self._release)][:MOST_PROVIDERS]

    @cached_property
    def _first(self) -> dict[tuple[str, str | None], Chain]:
        return {(chain.kind, chain.key): chain for chain in reversed(self._config.chains)}

    @cached_property
    def _last(self) -> dict[tuple[str, str | None], Chain]:
        return {(chain.kind, chain.key): chain for chain in self._config.chains}
