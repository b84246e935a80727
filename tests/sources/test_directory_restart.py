"""What a directory's objects are after a restart: as if it had not been, also where the files are broken by now."""

import asyncio
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fairlead.resources import Kind
from fairlead.sources import Change, Finding, Removed, Upserted
from fairlead.sources.directory import DirectorySource, DirectoryState, ManifestFile
from fairlead.sources.directory._record import Recorded, load, save
from tests.e2e.harness.waiting import eventually

SERVICE = "\napiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 80}]}\n"
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: echo}
spec:
  parentRefs: [{name: web}]
  rules: [{backendRefs: [{name: echo, port: 80}]}]
"""
ALL = f"{SERVICE.replace('NAME', 'echo')}---{ROUTE}"


def tell(state: DirectoryState, **files: str) -> list[Change]:
    return state.update([ManifestFile(f"{name}.yaml", text) for name, text in files.items()], at=1.0)


def names(changes: list[Change], kind: type[Upserted | Removed]) -> list[str]:
    found = [c.object.metadata.name for c in changes if isinstance(c, kind) and c.kind in KINDS]
    return sorted(found)


KINDS = (Kind.SERVICE, Kind.HTTP_ROUTE)


def restarted(**files: str) -> DirectoryState:
    before = DirectoryState()
    tell(before, **files)
    return DirectoryState(recorded=before.record())


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(f"{SERVICE.replace('NAME', 'echo')}---\nkind: [", id="a document that cannot be read"),
        pytest.param("kind: [", id="a file of which nothing can be read"),
        pytest.param(
            f"{SERVICE.replace('NAME', 'echo')}---{ROUTE.replace('port: 80', 'port: x')}",
            id="a document that the schema refuses",
        ),
    ],
)
def test_objects_missing_from_a_broken_file_are_there_after_a_restart(broken: str) -> None:
    state = restarted(a=ALL)
    changes = tell(state, a=broken)
    assert names(changes, Upserted) == ["echo", "echo"]
    (route,) = [c.object for c in changes if isinstance(c, Upserted) and c.kind is Kind.HTTP_ROUTE]
    assert route.metadata.name == "echo"
    assert names(tell(state, a=SERVICE.replace("NAME", "echo")), Removed) == ["echo"]


def test_they_are_there_after_the_next_restart_too() -> None:
    again = restarted(a=ALL)
    tell(again, a="kind: [")
    third = DirectoryState(recorded=again.record())
    assert names(tell(third, a="kind: ["), Upserted) == ["echo", "echo"]


def test_a_whole_file_says_what_there_is_whatever_was_recorded() -> None:
    state = restarted(a=ALL, b=SERVICE.replace("NAME", "other"))
    assert names(tell(state, a=SERVICE.replace("NAME", "new")), Upserted) == ["new"]


def test_a_directory_that_cannot_be_listed_holds_what_was_recorded() -> None:
    state = restarted(a=ALL)
    changes = state.update([ManifestFile("", error="gone", partial=True)], at=1.0)
    assert names(changes, Upserted) == ["echo", "echo"]
    assert [c.where for c in changes if isinstance(c, Finding)] == ["."]
    assert names(tell(state, a=ALL), Upserted) == []


def test_what_this_version_refuses_is_left_out_of_what_was_recorded() -> None:
    good = restarted(a=ALL)
    tell(good, a=ALL)
    record = good.record()
    record[0].content["spec"] = {"ports": "none"}
    record[1].content["apiVersion"] = "gateway.networking.k8s.io/v9"
    assert names(tell(DirectoryState(recorded=record), a="kind: ["), Upserted) == []


def test_a_record_is_read_as_it_was_written_for_its_directory_only(tmp_path: Path) -> None:
    record = tmp_path / "objects.jsonl"
    objects = [
        Recorded("a.yaml", {"kind": "A", "n": 1}),
        Recorded("b\udcff.yaml", {}),
        Recorded("c", {"d": 2}),
    ]
    save(record, tmp_path / "one", objects)
    assert load(record, tmp_path / "one") == [objects[0], objects[2]], "what JSON cannot say is left out"
    assert load(record, tmp_path / "two") == []
    assert record.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "{}\n", "\xff"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "objects.jsonl").write_text(text)
    assert load(tmp_path / "objects.jsonl", tmp_path) == []
    assert load(tmp_path / "nothing", tmp_path) == []


def test_a_line_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    record = tmp_path / "objects.jsonl"
    save(record, tmp_path, [Recorded("a", {}), Recorded("b", {})])
    head, _, last = record.read_text().splitlines()
    record.write_text(f"{head}\n{{\n{last}\n")
    assert load(record, tmp_path) == [Recorded("b", {})]


async def test_the_record_follows_what_is_in_force(tmp_path: Path) -> None:
    root, record = tmp_path / "manifests", tmp_path / "objects.jsonl"
    root.mkdir()
    (root / "a.yaml").write_text(ALL)

    def recorded() -> set[str]:
        lines = record.read_text().splitlines()[1:] if record.exists() else []
        return {json.loads(line)["content"]["kind"] for line in lines}

    async def become(wanted: set[str]) -> None:
        await asyncio.to_thread(eventually, f"recorded: {wanted}", lambda: recorded() == wanted)

    task = asyncio.create_task(DirectorySource(root, record=record).run(lambda _: None))
    try:
        await become({"Service", "HTTPRoute"})
        (root / "a.yaml").write_text(SERVICE.replace("NAME", "echo"))
        await become({"Service"})
    finally:
        task.cancel()


async def test_a_record_that_cannot_be_written_is_said_once_and_written_when_it_can_be(
    tmp_path: Path,
) -> None:
    root, record = tmp_path / "manifests", tmp_path / "state" / "objects.jsonl"
    root.mkdir()
    (root / "a.yaml").write_text(ALL)

    def said() -> list[object]:
        return [line["event"] for line in logs if line.get("path") == str(record)]

    with capture_logs() as logs:
        task = asyncio.create_task(DirectorySource(root, record=record).run(lambda _: None))
        try:
            await asyncio.to_thread(eventually, "it is said", said)
            record.parent.mkdir()
            await asyncio.to_thread(eventually, "it is said", lambda: len(said()) > 1)
        finally:
            task.cancel()
        assert said() == ["record not written", "record written"]
    assert len(load(record, root)) == 2
