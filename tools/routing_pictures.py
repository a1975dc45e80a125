"""Put the routing that a plan has into the documentation: `routing_pictures.py BUILD_FOLDER FILE.md... FILE.svg`.

BUILD_FOLDER holds routing.mmd and routing.svg, as playbooks/plan.yml made them. In a Markdown file what stands between the marks
is replaced; an SVG file is written whole.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

BETWEEN = re.compile(r"(?<=<!-- routing: begin -->\n).*?(?=<!-- routing: end -->)", re.DOTALL)


def main(words: list[str]) -> int:
    """Returns the exit code."""
    build, *files = (Path(word) for word in words)
    flowchart = f"```mermaid\n{(build / 'routing.mmd').read_text(encoding='utf-8')}```\n"
    for file in files:
        if file.suffix == ".svg":
            file.write_bytes((build / "routing.svg").read_bytes())
            continue
        text = file.read_text(encoding="utf-8")
        if not BETWEEN.search(text):
            print(
                f"routing_pictures: {file} has no marks; expected <!-- routing: begin --> and <!-- routing: end -->",
                file=sys.stderr,
            )
            return 2
        file.write_text(BETWEEN.sub(lambda _match: flowchart, text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
