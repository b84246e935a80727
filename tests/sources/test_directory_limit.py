"""How many files are read: those that are in use stay, and what finds no place is told."""

from pathlib import Path

import pytest

from fairlead.resources import Kind
from fairlead.sources import Change, Finding, Removed, Upserted
from fairlead.sources.directory import DirectoryState, _files, scan

pytestmark = pytest.mark.usefixtures("limits")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "MAX_FILES", 3)
    monkeypatch.setattr(_files, "MAX_NAMES", 6)


def write(root: Path, *names: str) -> None:
    for name in names:
        text = f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n"
        (root / f"{name}.yaml").write_text(text)


class Looks:
    """A state and what one look at the directory changes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._state = DirectoryState()

    def look(self) -> tuple[list[str], list[str], list[tuple[str, bool]]]:
        """Services that came, services that went, findings."""
        changes: list[Change] = self._state.update(scan(self._root, self._state.paths), at=1.0)

        def services(kind: type[Upserted | Removed]) -> list[str]:
            return [c.object.metadata.name for c in changes if isinstance(c, kind) and c.kind is Kind.SERVICE]

        found = [(c.code, c.resolved) for c in changes if isinstance(c, Finding)]
        return services(Upserted), services(Removed), found


def test_as_many_as_are_allowed_are_read(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c")
    assert Looks(tmp_path).look() == (["a", "b", "c"], [], [])


def test_of_too_many_the_first_are_read_and_it_is_told(tmp_path: Path) -> None:
    write(tmp_path, "d", "c", "b", "a")
    assert Looks(tmp_path).look() == (["a", "b", "c"], [], [("TooManyFiles", False)])


def test_a_new_file_takes_nobodys_place(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    write(tmp_path, "b", "c", "d")
    looks.look()
    write(tmp_path, "a")
    assert looks.look() == ([], [], [("TooManyFiles", False)])
    (tmp_path / "c.yaml").unlink()
    assert looks.look() == (["a"], ["c"], [("TooManyFiles", True)])


def test_what_a_listing_that_was_cut_does_not_show_stays(tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", "x")
    write(tmp_path, "b", "c")
    assert looks.look() == (["b", "c", "x"], [], [])
    write(tmp_path, *(f"a{n}" for n in range(7)))
    assert looks.look() == ([], [], [("TooManyFiles", False)])
    for n in range(7):
        (tmp_path / f"a{n}.yaml").unlink()
    assert looks.look() == ([], [], [("TooManyFiles", True)])


def test_what_lies_too_deep_is_told_once(tmp_path: Path) -> None:
    write(tmp_path, "a")
    deep = tmp_path.joinpath(*["x"] * 17)
    deep.mkdir(parents=True)
    (deep.parent / "y").mkdir()
    write(deep, "b")
    looks = Looks(tmp_path)
    assert looks.look() == (["a"], [], [("TooDeep", False)])
    deep.joinpath("b.yaml").unlink()
    deep.rmdir()
    (deep.parent / "y").rmdir()
    assert looks.look() == ([], [], [("TooDeep", True)])
