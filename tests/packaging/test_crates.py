"""The crates that we build on are what deny.toml allows. Advisories, which need a network, are cargo-deny's."""

import json
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = tomllib.loads((ROOT / "deny.toml").read_text())
_WORD = re.compile(r"[\w.+-]+(?: WITH [\w.+-]+)?")


@cache
def packages(target: str) -> tuple[dict[str, Any], ...]:
    """All crates that a build for `target` takes, our own included."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout)["packages"])


def allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met by the licences of deny.toml; `/` is an old way to say OR."""

    def judged(word: re.Match[str]) -> str:
        if word[0] in {"AND", "OR"}:
            return word[0].lower()
        return str(word[0] in RULES["licenses"]["allow"])

    return bool(eval(_WORD.sub(judged, expression.replace("/", " OR "))))


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-2.0/MIT", True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("(MIT OR Apache-2.0) AND OpenSSL", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
    ],
)
def test_an_expression_is_judged(expression: str, verdict: bool) -> None:
    assert allowed(expression) is verdict


@pytest.mark.parametrize("target", RULES["graph"]["targets"])
def test_every_crate_has_an_allowed_licence(target: str) -> None:
    found = {package["name"]: package["license"] or "none" for package in packages(target)}
    assert len(found) > 50
    assert {name: licence for name, licence in found.items() if not allowed(licence)} == {}


@pytest.mark.parametrize("target", RULES["graph"]["targets"])
def test_every_crate_is_ours_or_from_the_one_registry(target: str) -> None:
    assert RULES["sources"] == {"unknown-registry": "deny", "unknown-git": "deny"}
    sources = {package["source"] for package in packages(target)} - {None}
    (registry,) = sources
    assert registry.startswith("registry+")


def test_every_dependency_says_which_version_it_needs() -> None:
    assert (RULES["bans"]["wildcards"], RULES["bans"]["allow-wildcard-paths"]) == ("deny", True)
    ours = [package for package in packages(RULES["graph"]["targets"][0]) if package["source"] is None]
    assert len(ours) > 5
    wild = {
        f"{package['name']}: {needed['name']}"
        for package in ours
        for needed in package["dependencies"]
        if needed["req"] == "*" and "path" not in needed
    }
    assert wild == set()
