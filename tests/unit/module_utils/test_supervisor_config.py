"""supervisord's configuration: what reaches the program is what was asked for, and what cannot is refused."""

from __future__ import annotations

import shlex

import pytest

from plugins.module_utils import supervisor_config as config

PLACE = config.layout("/srv/services", 1000)


def program(**changes):
    values = {
        "name": "files",
        "command": ["/bin/serve"],
        "working_directory": "/srv",
        "environment": {},
        "environment_file": "",
        "revision": "r1",
        "stop_timeout_s": 30,
    }
    return config.Program(**{**values, **changes})


def read_back(value):
    """A value as supervisord hands it on: cut at a comment sign after a space, percent signs halved, split as by a shell."""
    cut = min((value.find(sign) for sign in (" ;", " #") if sign in value), default=len(value))
    return shlex.split(value[:cut].replace("%%", "%"))


COMMANDS = [
    ["/bin/serve", "--port", "80"],
    ["/bin/a b", "it's", 'a "quoted" one'],
    ["/bin/serve", "100%", "%(here)s"],
    ["/bin/serve", "a ;b", "a #b", ";", "#", " ; # "],
    ["/bin/serve", "$HOME", "`id`", "a\\b", ""],
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_survives_the_parser(command):
    assert read_back(config.words(command)) == command


def test_secrets_are_read_by_a_shell_and_written_nowhere():
    text = config.program_text(program(environment_file="/srv/router.env"), PLACE)
    line = next(line for line in text.splitlines() if line.startswith("command="))
    assert read_back(line[len("command=") :]) == ["/bin/sh", "-c", config.WITH_SECRETS, "/srv/router.env", "/bin/serve"]


REFUSED = [
    ({"name": "a:b"}, "is no program name"),
    ({"name": "../up"}, "is no program name"),
    ({"command": ["/bin/serve", "a\nb"]}, "line break"),
    ({"environment": {"A": 'say "x"'}}, "environment: A"),
    ({"environment": {"A": "x;y"}}, "environment: A"),
    ({"environment": {"A B": "x"}}, "environment: A B"),
    ({"working_directory": "/srv ;x"}, "path '/srv ;x'"),
    ({"working_directory": "/srv/100%"}, "path '/srv/100%'"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_supervisord_cannot_carry_is_refused(changes, message):
    with pytest.raises(config.ConfigurationError, match=message):
        config.program_text(program(**changes), PLACE)


CHANGES = [{"revision": "r2"}, {"environment": {"A": "1"}}, {"command": ["/bin/other"]}, {"autostart": False}]


@pytest.mark.parametrize("changes", CHANGES)
def test_whatever_matters_to_a_program_changes_its_description(changes):
    assert config.program_text(program(), PLACE) != config.program_text(program(**changes), PLACE)


DIRECTORIES = [
    ("/srv/services", "/srv/services/supervisor.sock"),
    ("/" + "d" * 78, "/" + "d" * 78 + "/supervisor.sock"),
    ("/" + "d" * 79, None),
    ("/" + "é" * 60, None),
]


@pytest.mark.parametrize(("directory", "socket"), DIRECTORIES)
def test_a_socket_of_a_deep_directory_is_short(directory, socket):
    place = config.layout(directory, 1000)
    assert len((place.socket + ".1234567").encode()) <= config.SOCKET_PATH_BYTES
    assert place.socket == socket or (socket is None and place.short_directory.startswith("/tmp/homelab-llm-1000-"))
    assert bool(place.short_directory) is (socket is None)


def test_two_deep_directories_have_two_sockets():
    assert config.layout("/" + "d" * 90, 0).socket != config.layout("/" + "d" * 91, 0).socket
    assert config.layout("/" + "d" * 90, 0).socket != config.layout("/" + "d" * 90, 1).socket
