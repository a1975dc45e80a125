"""What the expressions of a role come to, without a play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from tests import yaml_text

ROLES = Path(__file__).parents[2] / "roles"

init_plugin_loader()


def load(path: str) -> Any:
    """A file of a role, such as ollama/tasks/main.yml."""
    return yaml_text.read((ROLES / path).read_text(encoding="utf-8"))


def evaluated(text: str, variables: dict[str, Any], **given: Any) -> Any:
    """``text`` as a template; ``variables`` are the role's own, templates among them, ``given`` are plain values."""
    trusted = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in variables.items()}
    return Templar(loader=DataLoader(), variables={**trusted, **given}).template(trust_as_template(text))


def holds(condition: str, variables: dict[str, Any], **given: Any) -> bool:
    """What a ``when`` or ``failed_when`` says."""
    return bool(evaluated(f"{{{{ {condition} }}}}", variables, **given))
