"""Engines and models that all tests of this folder share. What is not built is skipped: `make engines` builds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.build import folder_of
from tests.engines.cases import REAL
from tests.engines.small_models import small_models


def built(name: str) -> Path:
    folder = folder_of(name)
    if not folder.is_dir():
        pytest.skip(f"{name} is not built here: tests/engines/build.py {name}")
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for model files; engines' stores beside it can link to them."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def model_file(files: Path) -> Callable[[str], Path]:
    """Gives the file of a model by its name, written when it is first asked for."""
    made = small_models()

    def find(name: str) -> Path:
        return built(REAL) / "model.gguf" if name == REAL else made[name].write(files)

    return find
