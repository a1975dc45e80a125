"""The audit as a command: exit codes, formats, mends that are shown or written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from plugins.plugin_utils.audit.__main__ import main

from .router_configs import changed, right, text
from .test_mend import PROSE

RIGHT = text(right())
WRONG = text(changed(("model_list/0/litellm_params/order", "1")))
WARNED = text(changed(("litellm_settings/cache", True)))
FILES = {"right": RIGHT, "wrong": WRONG, "warned": WARNED, "broken": b"a: [", "list": b"- 1\n", "bytes": b"\xff\xfe\x00"}

# Files, arguments, exit code.
CODES: list[tuple[tuple[str, ...], tuple[str, ...], int]] = [
    (("right",), (), 0),
    (("wrong",), (), 1),
    (("wrong",), ("--threshold", "none"), 0),
    (("warned",), (), 0),
    (("warned",), ("--threshold", "warning"), 1),
    (("right",), ("--threshold", "advice"), 0),
    (("list",), (), 1),
    (("broken",), (), 2),
    (("bytes",), (), 2),
    (("missing",), (), 2),
    (("right", "wrong"), (), 1),
    (("wrong", "broken", "right"), (), 2),
    (("right",), ("--litellm-version", "latest"), 2),
    (("right",), ("--litellm-version", "1.82.7"), 1),
    (("right",), ("--stack", "missing"), 2),
    (("right",), ("--environment-file", "missing"), 2),
]


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("files", "more", "code"), CODES, ids=["-".join((*case[0], *case[1])).replace("--", "") for case in CODES]
)
def test_exit_code(files: tuple[str, ...], more: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, *more]) == code
    said = capsys.readouterr()
    assert bool(said.err) == (code == 2)
    assert "Traceback" not in said.err
    assert all(line.partition(": ")[0] in (*files, *more) for line in said.err.splitlines())


def test_a_folder_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    main(["wrong"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "wrong, held against LiteLLM 1.106.2 (nobody named one: this is the one that our role installs)"
    assert any(line.lstrip().startswith("wrong:") and "model_list[0].litellm_params.order" in line for line in lines)
    assert lines[-1].startswith("1 error, 0 warnings, ")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["wrong", "--format", "json"])
    said = capsys.readouterr()
    assert said.err.startswith("wrong: held against LiteLLM 1.106.2 (nobody named one")
    found = json.loads(said.out)
    assert [set(item) for item in found] == [
        {"file", "rule", "severity", "path", "line", "got", "expected", "why", "mend", "versions"} for _item in found
    ]
    assert found[0]["rule"] == "order-type"


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_several_files_are_one_document(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["wrong", "warned", "--format", form])
    said = json.loads(capsys.readouterr().out)
    if form == "sarif":
        places = {
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            for run in said["runs"]
            for result in run["results"]
        }
    else:
        places = {item["file"] for item in said}
    assert places == {"wrong", "warned"}


def test_sarif_is_one_run_that_says_what_it_was_held_against(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = tmp_path.parent / "elsewhere.yaml"
    elsewhere.write_bytes(WRONG)
    main(["wrong", str(tmp_path / "warned"), str(elsewhere), "--format", "sarif", "--litellm-version", "1.82.0"])
    [run] = json.loads(capsys.readouterr().out)["runs"]
    places = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]}
    assert places == {"wrong", "warned", f"file://{elsewhere}"}
    assert set(run["properties"]["heldAgainst"]) == {"wrong", "warned", str(elsewhere)}
    assert set(run["properties"]["heldAgainst"].values()) == {
        "LiteLLM 1.82.0 (named; the names of settings are those of 1.82.6, the oldest that was asked)"
    }
    rules = run["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [result["ruleId"] for result in run["results"]]


def test_the_environment_s_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "some.env").write_text("# LITELLM_MASTER_KEY=x\nexport OTHER=1\n", encoding="utf-8")
    assert main(["right", "--environment-file", "some.env"]) == 1
    assert "environment-missing" in capsys.readouterr().out
    (tmp_path / "some.env").write_text("  export LITELLM_MASTER_KEY=secret\n", encoding="utf-8")
    assert main(["right", "--environment-file", "some.env"]) == 0
    assert "secret" not in capsys.readouterr().out


def test_mends_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wrong", "--fix", "diff"]) == 1
    said = capsys.readouterr()
    assert "+    order: 1" in said.out.splitlines() or "+      order: 1" in said.out.splitlines()
    assert "1 of " in said.err
    assert (tmp_path / "wrong").read_bytes() == WRONG


def test_mends_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prose.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + PROSE.replace(b"\n", b"\r\n"))
    file.chmod(0o640)
    assert main(["prose.yaml", "--fix", "write"]) == 1
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf# The lab's router.\r\n")
    assert b"order: 1          # first\r\n" in content
    assert content.count(b"\n") == content.count(b"\r\n")
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == sorted([*FILES, "prose.yaml"])
    assert main(["prose.yaml"]) == 0
    before = file.stat().st_ino
    assert main(["prose.yaml", "--fix", "write"]) == 0
    assert file.stat().st_ino == before
    assert "0 of " in capsys.readouterr().err


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to("wrong")
    main(["link.yaml", "--fix", "write"])
    assert (tmp_path / "link.yaml").is_symlink()
    assert main(["wrong"]) == 0


def test_nothing_is_left_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(["wrong", "--fix", "write"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert (tmp_path / "wrong").read_bytes() == WRONG
    assert sorted(os.listdir(tmp_path)) == sorted(FILES)


@pytest.mark.parametrize("file", ["broken", "missing"])
def test_nothing_is_printed_of_a_file_that_is_refused(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([file]) == 2
    assert capsys.readouterr().out == ""


def test_what_a_mend_made_is_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    misplaced = changed(
        ("litellm_settings/enable_background_health_checks", True), ("general_settings/health_check_interval", 900)
    )
    (tmp_path / "probing").write_bytes(text(misplaced))
    main(["probing", "--fix", "diff"])
    assert capsys.readouterr().err == "probing: 1 of 1 findings and 2 that these made mended in the diff\n"
