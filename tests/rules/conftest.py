"""Releases of LiteLLM for the tests of this folder, each loaded once. See environments.wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.rules.environments import Unavailable, wanted
from tests.rules.releases import Release


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "version" in metafunc.fixturenames:
        metafunc.parametrize("version", wanted(), scope="session")


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Release]]:
    """Gives a release by its version; it is loaded when it is first asked for."""
    held: dict[str, Release] = {}

    def find(version: str) -> Release:
        if version not in held:
            try:
                held[version] = Release(version, tmp_path_factory.mktemp("release"))
            except Unavailable as error:
                pytest.skip(str(error))
        return held[version]

    yield find
    for release in held.values():
        release.close()


@pytest.fixture
def release(loaded: Callable[[str], Release], version: str) -> Release:
    return loaded(version)
