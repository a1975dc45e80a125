"""The audit without Ansible, for hooks and pipelines.

python -m ansible_collections.homelab.llm.plugins.plugin_utils.audit config.yaml --litellm-version 1.106.2
Ends with 1 if a finding reaches the threshold, with 2 if a file cannot be audited.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from ..yaml_document import YamlError
from .check import Audit, AuditError, audit
from .files import encoded, environment_names, relative, write_whole
from .finding import SEVERITIES
from .fixed import fixed
from .mend import mend_diff
from .said import said
from .sarif import sarif_of


def main(arguments: list[str] | None = None) -> int:
    """The command; the exit code."""
    options = _parser().parse_args(arguments)
    worst, done = 0, []
    for file in options.files:
        try:
            found = _one(Path(file), options)
        except (AuditError, YamlError, OSError) as error:
            print(f"{getattr(error, 'filename', None) or file}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
            worst = 2
        else:
            done.append((file, found))
            if options.format == "json" and not options.fix:
                # The list of findings has no place for it.
                print(f"{file}: held against {found.held_against}", file=sys.stderr)
            worst = max(worst, int(found.reaches(options.threshold)))
    shown = "" if options.fix else _shown(done, options)
    try:
        print(shown, end="\n" if shown else "", flush=True)
    except BrokenPipeError:
        # Whoever reads has seen enough; what Python writes at its end would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return worst


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="homelab-llm-audit", description="What is wrong in a LiteLLM configuration.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="config.yaml of a LiteLLM proxy")
    parser.add_argument(
        "--litellm-version", metavar="X.Y.Z", help="the release that runs it; default: the stack's image, or 1.106.2"
    )
    parser.add_argument("--stack", metavar="FILE", help="the compose or stack file in which the proxy runs")
    parser.add_argument(
        "--environment-file", metavar="FILE", help="NAME=value lines of the proxy's environment; only the names are read"
    )
    parser.add_argument(
        "--threshold", choices=[*SEVERITIES, "none"], default="error", help="the severity from which on the exit code is 1"
    )
    parser.add_argument("--format", choices=["text", "json", "sarif"], default="text")
    parser.add_argument("--fix", choices=["diff", "write"], help="show, or write, the mends that need no decision")
    return parser


def _one(file: Path, options: argparse.Namespace) -> Audit:
    content = file.read_bytes()
    stack = Path(options.stack).read_bytes() if options.stack else None
    found = audit(content, options.litellm_version, _names(options.environment_file), stack)
    if options.fix:
        _fix(file, content, found, write=options.fix == "write")
    return found


def _names(file: str | None) -> list[str]:
    return environment_names(Path(file).read_bytes()) if file else []


def _shown(done: list[tuple[str, Audit]], options: argparse.Namespace) -> str:
    """All files as one document."""
    if options.format == "json":
        plain = [
            {"file": options.stack if item.file else file, **item.plain()} for file, found in done for item in found.findings
        ]
        return json.dumps(plain, indent=2, ensure_ascii=False)
    if options.format == "sarif":
        stack = relative(options.stack) if options.stack else None
        each = [(found.findings, relative(file), stack, found.held_against) for file, found in done]
        return json.dumps(sarif_of(each), indent=2, ensure_ascii=False)
    return "\n\n".join("\n".join(said(found, file, options.stack)) for file, found in done)


def _fix(file: Path, content: bytes, found: Audit, write: bool) -> None:
    text, done = fixed(content, found)
    print(mend_diff(content, text, file.name), end="")
    if write and done:
        write_whole(file, encoded(text, content))
    # A mend may make what needs another one: those are not among the findings.
    places = {(item.rule, item.path) for item in found.findings}
    own = sum((item.rule, item.path) in places for item in done)
    more = f" and {len(done) - own} that these made" if own < len(done) else ""
    where = "" if write else " in the diff"
    print(f"{file}: {own} of {len(found.findings)} findings{more} mended{where}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
