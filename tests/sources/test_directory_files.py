"""How a directory is read and watched, with real files."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from fairlead.resources import Kind
from fairlead.sources import Change, Removed, Upserted
from fairlead.sources.directory import DirectorySource, scan

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: PORT}]}\n"


def service(name: str, port: int = 80) -> str:
    return SERVICE.replace("NAME", name).replace("PORT", str(port))


class Ports:
    """A sink that knows each Service's port."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self._changed = asyncio.Event()

    def __call__(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Upserted) and change.kind is Kind.SERVICE:
                self.now[change.object.metadata.name] = change.object.spec.ports[0].port  # type: ignore[union-attr,index]
            elif isinstance(change, Removed) and change.kind is Kind.SERVICE:
                del self.now[change.object.metadata.name]
        self._changed.set()

    async def become(self, wanted: dict[str, int]) -> None:
        async with asyncio.timeout(10):
            while self.now != wanted:
                self._changed.clear()
                await self._changed.wait()


def test_files_are_found_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "sub/c.json", ".hidden.yaml", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    assert [file.path for file in scan(tmp_path)] == ["a.yml", "b.yaml", "sub/c.json"]


def test_a_file_that_is_not_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    assert scan(tmp_path)[0].error == "not UTF-8 at byte 0"


def test_a_named_pipe_is_reported_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    assert scan(tmp_path)[0].error == "not a regular file"


def test_a_link_to_the_parent_does_not_loop(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(scan(tmp_path)) < 100


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "manifests"
    root.mkdir()
    return root


async def test_changes_are_followed(root: Path) -> None:
    (root / "a.yaml").write_text(service("a"))
    ports = Ports()
    task = asyncio.create_task(DirectorySource(root).run(ports))
    try:
        await ports.become({"a": 80})
        (root / "b.yaml").write_text(service("b"))
        await ports.become({"a": 80, "b": 80})
        temporary = root / ".a.yaml.tmp"
        temporary.write_text(service("a", 81))
        temporary.rename(root / "a.yaml")
        await ports.become({"a": 81, "b": 80})
        (root / "b.yaml").unlink()
        await ports.become({"a": 81})
    finally:
        task.cancel()


async def test_a_mounted_config_map_is_followed_through_its_links(root: Path) -> None:
    def publish(version: str, text: str) -> None:
        folder = root / f"..{version}"
        folder.mkdir()
        (folder / "a.yaml").write_text(text)
        (root / "..data_tmp").symlink_to(f"..{version}")
        os.replace(root / "..data_tmp", root / "..data")  # noqa: PTH105 - the link itself is replaced

    publish("1", service("a", 80))
    (root / "a.yaml").symlink_to("..data/a.yaml")
    ports = Ports()
    task = asyncio.create_task(DirectorySource(root).run(ports))
    try:
        await ports.become({"a": 80})
        publish("2", service("a", 82))
        await ports.become({"a": 82})
    finally:
        task.cancel()


async def test_a_file_behind_a_link_out_of_the_directory_is_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(service("a", 80))
    (root / "a.yaml").symlink_to(outside)
    ports = Ports()
    task = asyncio.create_task(DirectorySource(root).run(ports))
    try:
        await ports.become({"a": 80})
        replacement = tmp_path / "new.yaml"
        replacement.write_text(service("a", 83))
        replacement.rename(outside)
        await ports.become({"a": 83})
    finally:
        task.cancel()


async def test_files_are_never_written(root: Path) -> None:
    """Neither to fill in defaults or a status, nor where something is wrong with them."""
    (root / "a.yaml").write_text(service("a"))
    (root / "again.yaml").write_text(service("a", 81))
    (root / "broken.yaml").write_text("kind: [")
    route = (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec: {colour: red}"
    )
    (root / "refused.yaml").write_text(route)

    def folder() -> dict[str, tuple[bytes, int, int]]:
        return {
            path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
            for path in root.iterdir()
        }

    before, ports = folder(), Ports()
    task = asyncio.create_task(DirectorySource(root).run(ports))
    try:
        await ports.become({"a": 80})
        (root / "c.yaml").write_text(service("c"))
        await ports.become({"a": 80, "c": 80})
    finally:
        task.cancel()
    (root / "c.yaml").unlink()
    assert folder() == before


def test_a_directory_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is not a directory") as caught:
        DirectorySource(tmp_path / "nowhere")
    assert getattr(caught.value, "code", "") == "DirectoryNotFound"
