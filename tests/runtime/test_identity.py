"""The controllers of one supervisor have one identity; nobody else has it."""

import json
import os
from pathlib import Path

import pytest

from fairlead.runtime._identity import new_identity
from fairlead.runtime._settings import from_json
from fairlead.runtime.instance import Settings, run_instance


def handed(instance: str) -> str:
    """The identity that a supervisor of that instance hands to its controllers."""
    told: list[str] = []
    run_instance(Settings(instance=instance), lambda _program, arguments: told.append(arguments[-1]))
    supervised = json.loads(told[0])
    os.close(supervised["proxy_lock"])
    return from_json(supervised["controller"][-1]).identity


def test_every_supervisor_hands_on_an_identity_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    identities = {handed("one"), handed("two"), handed("one")}
    assert len(identities) == 3
    assert "" not in identities


def test_an_identity_names_the_host() -> None:
    assert new_identity().startswith(f"{os.uname().nodename}_")
    assert new_identity() != new_identity()
