"""What cannot be listed is not taken for empty: one test for each way in which a folder hides its files."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fairlead.resources import Kind
from fairlead.sources import Change, Finding, Removed, Synced, Upserted
from fairlead.sources.directory import DirectoryState, scan

Closed = Callable[[Path], AbstractContextManager[None]]


def service(name: str, port: int = 80) -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Closed:
    """A folder that the system does not list: permissions do not hold for whoever runs tests as root."""
    listed = os.scandir

    @contextmanager
    def close(folder: Path) -> Iterator[None]:
        def scandir(path: Any = ".") -> Any:
            if Path(path) == folder:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return listed(path)

        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", scandir)
            yield

    return close


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "manifests"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.yaml").write_text(service("a"))
    (root / "sub" / "b.yaml").write_text(service("b"))
    (root / "sub" / "deep" / "c.yaml").write_text(service("c"))
    return root


class Looks:
    """A state and what one look at the directory changes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.state = DirectoryState()

    def look(self) -> list[Change]:
        return self.state.update(scan(self._root, self.state.paths), at=1.0)


def services(changes: list[Change], kind: type[Upserted | Removed]) -> list[str]:
    return [c.object.metadata.name for c in changes if isinstance(c, kind) and c.kind is Kind.SERVICE]


def findings(changes: list[Change]) -> list[tuple[str, str, bool]]:
    return [(c.code, c.where, c.resolved) for c in changes if isinstance(c, Finding)]


def test_all_that_a_folder_held_stays_while_it_cannot_be_listed_and_others_are_followed(
    root: Path, closed: Closed
) -> None:
    looks = Looks(root)
    assert services(looks.look(), Upserted) == ["a", "b", "c"]
    with closed(root / "sub"):
        (root / "sub" / "b.yaml").unlink()
        (root / "a.yaml").unlink()
        changes = looks.look()
        assert services(changes, Removed) == ["a"]
        assert findings(changes) == [("Unreadable", "sub", False)]
        assert looks.look() == []
    changes = looks.look()
    assert services(changes, Removed) == ["b"]
    assert findings(changes) == [("Unreadable", "sub", True)]


def test_a_directory_that_cannot_be_listed_is_one_finding_and_no_change(root: Path, closed: Closed) -> None:
    looks = Looks(root)
    looks.look()
    with closed(root):
        changes = looks.look()
        assert findings(changes) == [("Unreadable", ".", False)]
        assert len(changes) == 1
    assert findings(looks.look()) == [("Unreadable", ".", True)]


def test_a_directory_that_was_renamed_keeps_what_it_held_until_it_is_back(root: Path) -> None:
    looks = Looks(root)
    looks.look()
    away = root.rename(root.with_name("away"))
    assert findings(looks.look()) == [("Unreadable", ".", False)]
    away.rename(root)
    (root / "a.yaml").write_text(service("a", 81))
    changes = looks.look()
    assert (services(changes, Upserted), services(changes, Removed)) == (["a"], [])


@pytest.mark.parametrize("target", ["nowhere", "link"], ids=["a link that leads nowhere", "a link to itself"])
def test_a_folder_behind_a_link_that_breaks_keeps_what_it_held(root: Path, target: str) -> None:
    outside = (root / "sub").rename(root.with_name("outside"))
    (root / "link").symlink_to(outside)
    looks = Looks(root)
    assert services(looks.look(), Upserted) == ["a", "b", "c"]
    (root / "link").unlink()
    (root / "link").symlink_to(target)
    changes = looks.look()
    assert services(changes, Removed) == []
    assert findings(changes) == [("Unreadable", "link", False)]
    (root / "link").unlink()
    assert services(looks.look(), Removed) == ["b", "c"], "a link that is gone takes its files along"


def test_a_directory_that_was_never_listed_is_not_known_to_be_empty(root: Path, closed: Closed) -> None:
    looks = Looks(root)
    with closed(root):
        changes = looks.look()
        assert findings(changes) == [("Unreadable", ".", False)]
        assert not [c for c in changes if isinstance(c, Synced)]
    assert {c.kind for c in looks.look() if isinstance(c, Synced)} == set(Kind)
