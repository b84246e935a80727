"""What an instance is attached to by its settings."""

from pathlib import Path

import pytest

from fairlead.base import SystemClock
from fairlead.cli._run import Common, ForController, ForProxy, _settings
from fairlead.runtime._paths import InstancePaths
from fairlead.runtime._sources import attach

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
"""


@pytest.mark.parametrize("status", [True, False], ids=["--status", "--no-status"])
async def test_status_is_written_into_a_cluster_unless_it_is_switched_off(
    tmp_path: Path, *, status: bool
) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(KUBECONFIG)
    given = ForController(status=status, kubeconfig=kubeconfig)
    paths = InstancePaths(name="test", runtime_dir=tmp_path, state_dir=tmp_path)
    async with attach(_settings(None, Common(), given, ForProxy()), paths, SystemClock()) as attached:
        assert (attached.writing is not None) == status
