"""The loop is not held while a directory is read."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fairlead.sources import Change
from fairlead.sources.directory import DirectorySource, _files, _state


async def test_files_are_listed_read_and_understood_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what they change is told on the loop."""
    threads: dict[str, set[int]] = {}

    def watch(module: Any, name: str) -> None:
        real = getattr(module, name)

        def noted(*arguments: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return real(*arguments)

        monkeypatch.setattr(module, name, noted)

    watch(_files, "_walk")
    watch(_files, "_read")
    watch(_state, "read")
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n")
    told = asyncio.Event()

    def sink(changes: Sequence[Change]) -> None:
        assert changes
        threads.setdefault("sink", set()).add(threading.get_ident())
        told.set()

    task = asyncio.create_task(DirectorySource(tmp_path).run(sink))
    try:
        async with asyncio.timeout(10):
            await told.wait()
            told.clear()
            (tmp_path / "b.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: b}\n")
            await told.wait()
    finally:
        task.cancel()
    here = {threading.get_ident()}
    assert threads.pop("sink") == here
    assert set(threads) == {"_walk", "_read", "read"}
    assert not any(seen & here for seen in threads.values())
