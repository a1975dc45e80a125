"""What expressions of the role `litellm` come to: what is looked at before it installs, whose files are, and what it removes."""

from __future__ import annotations

import pytest

from tests.unit.role_expressions import evaluated, holds, load

VARIABLES = {**load("litellm/defaults/main.yml"), **load("litellm/vars/main.yml")}
HOST = {task["name"]: task for task in load("litellm/tasks/preflight_host.yml")}
SECRETS = {task["name"]: task for task in load("litellm/tasks/preflight_secrets.yml")}
REMOVE = {task["name"]: task for task in load("litellm/tasks/remove.yml")}


@pytest.mark.parametrize("exists", [True, False])
def test_the_disk_is_looked_at_whenever_packages_are_to_come(exists):
    """Also of a router that is there: another lock's packages come beside those that serve."""
    found = {"stat": {"exists": exists}}
    assert holds(HOST["Measure the host"]["when"], VARIABLES, litellm_packages_found=found) is not exists


REDIS = {"general_settings": {"coordination_redis": {"password": "os.environ/REDIS_PASSWORD"}}, "more": ["os.environ/A"]}
# (configuration, secrets, environment, names that lack)
GIVEN = [
    ({"general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"}}, {}, {}, []),
    (REDIS, {}, {}, ["A", "REDIS_PASSWORD"]),
    (REDIS, {"REDIS_PASSWORD": "x"}, {"A": "y"}, []),
    (REDIS, {"A": "x"}, {}, ["REDIS_PASSWORD"]),
    ({"text": "no os.environ/B"}, {}, {}, []),
]


@pytest.mark.parametrize(("config", "secrets", "environment", "lack"), GIVEN, ids=range(len(GIVEN)))
def test_a_variable_that_nobody_gives_is_named(config, secrets, environment, lack):
    said = {"litellm_config": config, "litellm_secrets": secrets, "litellm_environment": environment}
    task = SECRETS["Check that every variable of the configuration is given"]
    assert evaluated(task["vars"]["litellm_missing"], {**VARIABLES, **said}) == lack
    message = evaluated(task["ansible.builtin.assert"]["fail_msg"], {**VARIABLES, **task["vars"], **said}, inventory_hostname="h")
    assert all(name in message for name in lack)


@pytest.mark.parametrize(
    ("secrets", "environment", "twice"),
    [
        ({"A": "x"}, {"B": "y"}, []),
        ({"A": "x"}, {"A": "y"}, ["A"]),
        ({"LITELLM_MASTER_KEY": "sk-1"}, {}, ["LITELLM_MASTER_KEY"]),
        ({"NO_DOCS": "False"}, {}, ["NO_DOCS"]),
    ],
)
def test_a_variable_is_said_once(secrets, environment, twice):
    said = {**VARIABLES, "litellm_secrets": secrets, "litellm_environment": environment}
    assert evaluated(SECRETS["Check that a variable is said once"]["vars"]["litellm_twice"], said) == twice


@pytest.mark.parametrize("manager", ["systemd", "launchd"])
def test_what_root_runs_is_roots(manager):
    """Under every manager with a user for the router: that user must not write what root executes or imports."""
    given = {"service_chosen_manager": manager, "service_user_group": "homelab-litellm"}
    names = ("litellm_files_owner", "litellm_files_group", "litellm_files_mode", "litellm_folder_mode")
    found = [evaluated(f"{{{{ {name} }}}}", VARIABLES, **given) for name in names]
    assert found == ["root", "homelab-litellm", "0640", "0750"]


def test_a_generation_starts_from_its_own_folder():
    given = {"litellm_revision": "r", "litellm_lock": "lock"}
    folder = evaluated("{{ litellm_generation }}", VARIABLES, **given)
    program, config = [evaluated(word, VARIABLES, **given) for word in VARIABLES["litellm_generation_command"][1:]]
    secrets = evaluated("{{ litellm_secrets_file }}", VARIABLES, **given)
    assert (program, config, secrets) == (f"{folder}/serve_generation.py", f"{folder}/config.yaml", f"{folder}/router.env")


@pytest.mark.parametrize(
    ("left", "removed"), [([], True), (["current", "router.env"], True), (["current", "mine"], False), (None, True)]
)
def test_the_directory_goes_with_the_last_of_the_roles_own(left, removed):
    """In check mode they are there still."""
    found = {} if left is None else {"files": [{"path": f"/x/{name}"} for name in left]}
    assert holds(REMOVE["Remove the directory when it is empty"]["when"], VARIABLES, litellm_left=found) is removed
