"""The report: self-contained, deaf to what a model writes, and complete."""

from __future__ import annotations

import base64
import html.parser
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.plugin_utils.report import chart, markdown_cell, ticks, write_report
from plugins.plugin_utils.samples import checked
from plugins.plugin_utils.summary import summarise
from tests.unit.benchmarks import SETTINGS, chosen, failed, plan, sample

HOSTILE = '</pre><script>alert(1)</script><img src="http://evil.example/x" onerror=alert(1)>{{ 7*7 }}{% raw %}&lt;'
FACTS = {
    "started_at": "2026-11-21T11:00:00+00:00",
    "ended_at": "2026-11-21T11:01:00+00:00",
    "elapsed_s": 60.0,
    "selection": {"hosts": [], "workloads": ["coding"], "limit": ["alpha"]},
    "not_measured": ["coding on beta: left out"],
    "incidents": ["host alpha: it was started again"],
    "samples_file": "x.jsonl",
}
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(html.parser.HTMLParser):
    """The elements of a page, with a check that they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def written(tmp_path: Path, samples: Any = None, cases: Any = None, **facts: Any) -> tuple[Page, str, dict[str, Any]]:
    cases = cases or chosen()
    if samples is None:
        samples = [checked(sample(case, number, float(number))) for case in cases for number in (1, 2, 3)]
    summary = json.loads(json.dumps(summarise(SETTINGS, cases, samples, {**FACTS, **facts})))
    page = write_report(tmp_path / "report", summary, samples)
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "report" / "summary.json").read_text(encoding="utf-8")) == summary
    return Page(page.read_text(encoding="utf-8")), markdown, summary


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page, _markdown, _summary = written(tmp_path)
    assert {tag for tag, _attributes in page.tags} & {"script", "img", "link", "iframe", "object", "embed", "form", "a"} == set()
    names = {name for _tag, attributes in page.tags for name in attributes}
    assert names & {"src", "href", "onclick", "onload", "onerror", "srcset"} == set()
    policy = [attributes for tag, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policy[0]["content"])
    style = "".join(page.text)
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("field", ["content", "reasoning"])
def test_a_hostile_answer_is_text(tmp_path: Path, field: str) -> None:
    case = chosen()[0]
    page, markdown, _summary = written(tmp_path, [checked(sample(case, 1, **{field: HOSTILE}))])
    assert HOSTILE in "".join(page.text)
    assert {tag for tag, _attributes in page.tags} & {"script", "img"} == set()
    assert "<script>" not in markdown


def test_hostile_names_are_text_too(tmp_path: Path) -> None:
    document = json.loads(json.dumps(plan()).replace("alpha", "<b onclick=x>|`alpha`"))
    page, markdown, _summary = written(tmp_path, cases=chosen(document), samples=[])
    assert "onclick" not in {name for _tag, attributes in page.tags for name in attributes}
    assert "<b" not in markdown


def test_what_a_reader_needs_is_there(tmp_path: Path) -> None:
    page, markdown, summary = written(tmp_path)
    text = " ".join("".join(page.text).split())
    for row in summary["cases"]:
        assert row["prompt_sha256"] in text
        assert row["prompt_sha256"] in markdown
    sentences = [*summary["never_measured"], *summary["not_measured"], *summary["incidents"]]
    assert [words for words in (*sentences, summary["run"], summary["plan_hash"], "seed 7") if words not in text] == []
    assert "75.0 % for n = 3" in text
    # Cases are rows of the chart and of two tables.
    assert sum(attributes.get("class") == "row" for _tag, attributes in page.tags) == len(summary["cases"])
    assert sum(tag == "tr" for tag, _attributes in page.tags) == 2 * (len(summary["cases"]) + 1)
    assert sum(line.startswith("| coding") for line in markdown.splitlines()) == 4


def test_markdown_tables_keep_their_columns(tmp_path: Path) -> None:
    _page, markdown, _summary = written(tmp_path)
    for block in markdown.split("\n\n"):
        rows = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_a_run_without_a_warm_sample_says_so(tmp_path: Path) -> None:
    case = chosen()[0]
    lost = [checked(sample(case, 1, verdict="failed", error=failed("timeout", "late"), content=None, reasoning=None))]
    page, markdown, _summary = written(tmp_path, lost, [case])
    assert "nothing to draw" in "".join(page.text)
    assert "1 timeout" in markdown


def test_one_run_has_no_interval(tmp_path: Path) -> None:
    case = chosen()[0]
    page, _markdown, summary = written(tmp_path, [checked(sample(case, 1))], [case])
    assert not {"bar", "key bar"} & {attributes.get("class") for _tag, attributes in page.tags}
    assert summary["cases"][0]["metrics"]["e2e_s"]["low"] is None


@given(st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_every_mark_lies_on_the_axis_and_in_order(times: list[float]) -> None:
    case = chosen()[0]
    summary = summarise(SETTINGS, [case], [sample(case, number, time) for number, time in enumerate(times, 1)], FACTS)
    drawn = chart(summary["cases"])
    assert drawn is not None
    marks = drawn["rows"][0]["marks"]
    places = [place for name, place in marks.items() if name != "width" and place is not None]
    assert all(0 <= place <= 100 for place in places)
    if marks["low"] is not None:
        assert marks["low"] - 0.02 <= marks["median"] <= marks["low"] + marks["width"] + 0.02
    assert drawn["ticks"]
    assert all(0 <= tick["left"] <= 100 for tick in drawn["ticks"])


@given(st.floats(1e-4, 1e4), st.floats(1.6, 1e6))
@settings(deadline=None)
def test_ticks_are_inside_and_few(low: float, factor: float) -> None:
    found = ticks(low, low * factor)
    assert all(low <= tick <= low * factor for tick in found)
    assert found == sorted(found)
    assert len(found) <= 9
    assert {f"{tick:.3e}"[0] for tick in found} <= {"1", "2", "5"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("a\nb", "a b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("tools_fast", "tools\\_fast"),
        ("[x](y)", "\\[x\\](y)"),
        ("`", "\\`"),
        ("\\|", "\\\\\\|"),
        (7, "7"),
    ],
)
def test_markdown_cells(text: object, expected: str) -> None:
    assert markdown_cell(text) == expected


def test_the_plans_routing_is_an_image_of_its_own_and_a_flowchart(tmp_path: Path) -> None:
    drawn = "<svg xmlns='http://www.w3.org/2000/svg'><style>text { fill: red }</style></svg>"
    summary = json.loads(json.dumps(summarise(SETTINGS, chosen(), [], FACTS)))
    path = write_report(tmp_path, summary, [], {"svg": drawn, "mermaid": "flowchart LR\n    a0 --> m0\n"})
    page = Page(path.read_text(encoding="utf-8"))
    [image] = [attributes for tag, attributes in page.tags if tag == "img"]
    head, _comma, data = str(image["src"]).partition(",")
    assert (head, base64.b64decode(data).decode()) == ("data:image/svg+xml;base64", drawn)
    assert "fill: red" not in "".join(page.text)
    policy = [attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "```mermaid\nflowchart LR\n    a0 --> m0\n```\n" in (tmp_path / "report.md").read_text(encoding="utf-8")
