"""What expressions of the role `litellm` come to: what is looked at before it installs, whose files are, and what it removes."""

from __future__ import annotations

import pytest

from tests.unit.role_expressions import evaluated, holds, load

VARIABLES = {**load("litellm/defaults/main.yml"), **load("litellm/vars/main.yml")}
HOST = {task["name"]: task for task in load("litellm/tasks/preflight_host.yml")}
SECRETS = {task["name"]: task for task in load("litellm/tasks/preflight_secrets.yml")}
GENERATION = {task["name"]: task for task in load("litellm/tasks/generation.yml")}
CANARY = {task["name"]: task for task in load("litellm/tasks/gate_canary.yml")}
(SECOND_PROXY,) = load("litellm/tasks/canary.yml")
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
    given = {"service_chosen_manager": manager, "service_user_group": "homelab-litellm", "ansible_check_mode": False}
    names = ("litellm_files_owner", "litellm_files_group", "litellm_files_mode", "litellm_folder_mode")
    found = [evaluated(f"{{{{ {name} }}}}", VARIABLES, **given) for name in names]
    assert found == ["root", "homelab-litellm", "0640", "0750"]


@pytest.mark.parametrize(
    ("check_mode", "code", "to_come"), [(True, 1, True), (True, 0, False), (False, 1, False), (True, None, False)]
)
def test_nothing_is_given_to_a_user_that_check_mode_does_not_make(check_mode, code, to_come):
    """Without a user of its own (supervisord) nobody has looked for one."""
    looked = {} if code is None else {"service_user_id": {"rc": code}}
    given = {"service_chosen_manager": "systemd", "service_user_group": "new", "litellm_user": "new", "omit": None, **looked}
    expected = None if to_come else "new"
    for name in ("litellm_files_group", "litellm_files_user"):
        assert evaluated(f"{{{{ {name} }}}}", VARIABLES, ansible_check_mode=check_mode, **given) == expected


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


REVISION, FORMER = "0123456789abcdef", "fedcba9876543210"
PLACE = "/opt/homelab-llm/litellm/generations"


def before(name=None):
    """The router's own word: who serves."""
    return {"serving": {"revision": name, "folder": f"{PLACE}/{name}"} if name else None}


# Whether anything was written, where the link leads, who serves, whether a canary is wanted and whether one let it through;
# whether that is to be started, and whether it is to be tried.
STATES = {
    "nothing changed": (False, REVISION, REVISION, True, True, False, False),
    "it was stopped": (False, REVISION, None, True, True, True, False),
    "it was stopped and somebody changed its files": (True, REVISION, None, True, True, True, True),
    "another one": (True, FORMER, FORMER, True, False, True, True),
    "another one that lay there": (False, FORMER, FORMER, True, True, True, True),
    "another one, and nobody serves": (True, FORMER, None, True, False, True, True),
    "the first": (True, "", None, True, False, True, True),
    "another one without a canary": (True, FORMER, FORMER, False, False, True, True),
    "nothing changed, without a canary": (False, REVISION, REVISION, False, False, False, False),
    "nothing changed but that a canary is wanted": (False, REVISION, REVISION, True, False, False, True),
}


@pytest.mark.parametrize(("written", "link", "serves", "canary", "tried", "new", "untried"), STATES.values(), ids=STATES)
def test_what_is_started_and_what_is_tried(written, link, serves, canary, tried, new, untried):
    """A router that was stopped is started again whatever its engines do."""
    task = GENERATION["Note whether it is another one than the one that serves, and whether the gates have let it through"]
    given = {f"litellm_generation_{name}": {"changed": False} for name in ("programs", "secrets")}
    given["litellm_generation_written"] = {"changed": written}
    given |= {"litellm_current_folder": link and f"{PLACE}/{link}", "litellm_tried_found": {"stat": {"exists": tried}}}
    variables = {**VARIABLES, **task["vars"], "litellm_canary": canary, "litellm_revision": REVISION}
    noted = task["ansible.builtin.set_fact"].items()
    found = {name: evaluated(text, variables, **given, litellm_before=before(serves)) for name, text in noted}
    assert found == {"litellm_is_new": new, "litellm_is_untried": untried}
    when = GENERATION["Try it"]["when"]
    assert holds(when, VARIABLES, **found, ansible_check_mode=False) is untried


# Whether a canary is wanted, what is known to be tried; whether that is noted of what is served next.
@pytest.mark.parametrize(
    ("canary", "tried", "noted"),
    [(True, "", True), (True, "t", True), (False, "", False), (False, "t", True), (False, "u", False)],
)
def test_only_what_a_canary_let_through_is_noted_as_tried(canary, tried, noted):
    when = CANARY["Note that it was tried"]["when"]
    variables = {**VARIABLES, "litellm_canary": canary, "litellm_tried": "t"}
    assert holds(when, variables, litellm_serving_tried=tried) is noted
    assert "tried" not in VARIABLES["litellm_description"]


# What was read of what serves; the words of its file.
READ = {
    "tried": ([{"content": "dA=="}, {"content": "e30="}], "t"),
    "with a line's end": ([{"content": "dAo="}, {"content": "e30="}], "t"),
    "no canary": ([{"msg": "not found", "failed": True}, {"content": "e30="}], ""),
    "nobody serves": ([], ""),
}


@pytest.mark.parametrize(("results", "expected"), READ.values(), ids=READ)
def test_what_was_tried_is_read_beside_what_serves(results, expected):
    text = CANARY["Note what the canary has to do"]["ansible.builtin.set_fact"]["litellm_serving_tried"]
    assert evaluated(text, VARIABLES, litellm_serving_read={"results": results}) == expected


def test_the_canarys_configuration_goes_whatever_the_canary_says():
    (removed,) = SECOND_PROXY["always"]
    assert removed["ansible.builtin.file"]["state"] == "absent"


# Folder by the router's own word, where the link leads; the folder that root reads.
FOLDERS = {
    "it serves": (f"{PLACE}/{FORMER}", f"{PLACE}/{REVISION}", f"{PLACE}/{FORMER}"),
    "its real path is another": (f"/private{PLACE}/{FORMER}", f"{PLACE}/{REVISION}", f"{PLACE}/{FORMER}"),
    "nobody serves": (None, f"{PLACE}/{REVISION}", f"{PLACE}/{REVISION}"),
    "nobody ever did": (None, "", ""),
    "a folder of the service's user": (f"/tmp/{FORMER}", f"{PLACE}/{REVISION}", f"{PLACE}/{FORMER}"),
    "no generation": ("/root", f"{PLACE}/{REVISION}", f"{PLACE}/{REVISION}"),
    "out of them": (f"{PLACE}/..", f"{PLACE}/{REVISION}", f"{PLACE}/{REVISION}"),
    "no text": (["/root"], f"{PLACE}/{REVISION}", f"{PLACE}/{REVISION}"),
}


@pytest.mark.parametrize(("said", "link", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_root_reads_where_only_root_puts_anything(said, link, expected):
    word = {"serving": {"folder": said} if said else None}
    assert evaluated("{{ litellm_serving_folder }}", VARIABLES, litellm_before=word, litellm_current_folder=link) == expected


def test_the_key_of_what_serves_is_read_beside_its_configuration():
    """Not where a file says that the service's user writes."""
    asked = SECOND_PROXY["block"][1]["homelab.llm.litellm_canary"]["serving"]
    known = {"litellm_listen_address": "127.0.0.1", "litellm_port": 4000, "litellm_current_folder": f"{PLACE}/{FORMER}"}
    said = {"secrets": "/etc/shadow", "folder": f"{PLACE}/{FORMER}"}
    found = evaluated(
        asked, {**VARIABLES, **known}, litellm_before={**before(FORMER), "address": None}, litellm_serving_said=said
    )
    assert found["key_file"] == f"{PLACE}/{FORMER}/router.env"


# What is another one; whether a canary has something new to try.
TRIED = {
    "nothing": ({}, False),
    "a key that an engine asks for": ({"litellm_secrets_seen": {"edition": "b-f", "engines": "f"}}, True),
    "the master key or a client": ({"litellm_secrets_seen": {"edition": "b-e", "engines": "e"}}, False),
    "a variable": ({"litellm_environment": {"A": "1"}}, True),
    "a program": ({"litellm_served_digest": "2"}, True),
    "the packages": ({"litellm_lock": "3"}, True),
}


@pytest.mark.parametrize(("change", "expected"), TRIED.values(), ids=TRIED)
def test_what_a_canary_tries_anew(change, expected):
    same = {"litellm_lock": "l", "litellm_served_digest": "1", "litellm_drain_s": "60", "litellm_environment": {}}
    same["litellm_secrets_seen"] = {"edition": "a-e", "engines": "e"}
    parts = [part for part in VARIABLES["litellm_tried_parts"] if "litellm_canary_work" not in part]

    def tried(given):
        return evaluated("\n".join(parts), {name: value for name, value in VARIABLES.items() if name not in given}, **given)

    assert len(parts) == len(VARIABLES["litellm_tried_parts"]) - 1
    assert (tried({**same, **change}) != tried(same)) == expected


# What the router says of its address (an earlier version says nothing); where it is asked. Another one is deployed.
ADDRESSES = [
    ({"host": "10.0.0.1", "port": 4000}, "http://10.0.0.1:4000"),
    ({"host": "0.0.0.0", "port": 4000}, "http://127.0.0.1:4000"),
    ({"host": "::", "port": 4000}, "http://[::1]:4000"),
    ({"host": "fd00::7", "port": 4000}, "http://[fd00::7]:4000"),
    (None, "http://192.168.0.7:5000"),
]


@pytest.mark.parametrize(("said", "url"), ADDRESSES, ids=[url for _said, url in ADDRESSES])
def test_what_serves_is_asked_where_it_listens(said, url):
    asked = SECOND_PROXY["block"][1]["homelab.llm.litellm_canary"]["serving"]
    known = {"litellm_listen_address": "192.168.0.7", "litellm_port": 5000, "litellm_current_folder": ""}
    found = evaluated(asked, {**VARIABLES, **known}, litellm_before={**before(FORMER), "address": said})
    assert found["url"] == url
