"""The pages lead where they say: every link to a file of this repository, and to a heading in it, is good."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


def pages() -> list[str]:
    """Every Markdown page under version control."""
    done = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def links(text: str) -> list[str]:
    return [one or other for one, other in _LINK.findall(_CODE.sub("", text))]


@cache
def anchors(page: Path) -> frozenset[str]:
    """What `#...` may name in a page: its headings, as GitHub writes them."""
    headings = _HEADING.findall(re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def broken(page: str) -> list[str]:
    found = []
    for link in links((ROOT / page).read_text()):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        inside = target.resolve().is_relative_to(ROOT)
        if not inside or not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    assert broken(page) == []


def test_there_are_pages_and_links() -> None:
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"} <= set(pages())
    assert sum(len(links((ROOT / page).read_text())) for page in pages()) > 15


def test_links_are_found_and_examples_are_not() -> None:
    text = "[a](b.md#c) `[no](x.md)`\n```\n[no](y.md)\n```\n![d](e.svg)"
    assert links(text) == ["b.md#c", "e.svg"]
