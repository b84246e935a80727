"""Fixtures of the end-to-end tests: one cluster for all, a namespace and an instance for each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import manifests
from tests.e2e.harness.cluster import SCRIPTS, Cluster, Namespace, NotRunError, script
from tests.e2e.harness.fairlead import Fairlead
from tests.e2e.harness.fault_api import FaultAPI

_numbers = itertools.count(1)


def _not_run(reason: str) -> None:
    """Skips with a reason, or fails where the caller requires the cluster's part."""
    if "cluster" in os.environ.get("FAIRLEAD_REQUIRE", "").split(","):
        pytest.fail(f"the cluster is required and cannot be run: {reason}", pytrace=False)
    pytest.skip(f"not run: {reason}")


def _end_orphans() -> None:
    """Ends clusters of test runs that were killed: their names carry the process id of the run."""
    if os.geteuid() != 0:
        return
    for folder in (SCRIPTS / "run").glob("e2e-*"):
        pid = folder.name.removeprefix("e2e-")
        if not Path(f"/proc/{pid}").exists() and (folder / "init.pid").exists():
            script("down", folder.name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster with the CRDs and the GatewayClass.

    FAIRLEAD_E2E_CLUSTER=NAME takes one that is up already and leaves it running.
    """
    kept = os.environ.get("FAIRLEAD_E2E_CLUSTER")
    try:
        _end_orphans()
        running = Cluster(kept) if kept else Cluster.start(f"e2e-{os.getpid()}")
    except NotRunError as lacking:
        _not_run(str(lacking))
        raise
    running.install(manifests.gateway_class())
    yield running
    if kept:
        running.leave()
    else:
        running.stop()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    made = Namespace(cluster, f"test-{os.getpid()}-{next(_numbers)}")
    yield made
    made.delete()


@pytest.fixture
def fairlead(cluster: Cluster, tmp_path: Path) -> Iterator[Fairlead]:
    """A running, ready instance; it ends with nothing in flight."""
    instance = Fairlead(cluster, tmp_path)
    instance.start()
    yield instance
    try:
        instance.assert_nothing_in_flight()
    finally:
        instance.stop()
        print(instance.tail())  # pytest shows it with a failure


@pytest.fixture
def fault_api(cluster: Cluster, tmp_path: Path) -> Iterator[FaultAPI]:
    """A way to the API server that can be refused or let hang, and that notes what is written."""
    proxy = FaultAPI(cluster, tmp_path)
    yield proxy
    proxy.stop()


@pytest.fixture
def gateway(namespace: Namespace, fairlead: Fairlead) -> str:
    """The address of a Gateway `web` in the namespace, with one HTTP listener on port 8080."""
    namespace.apply(manifests.gateway())
    return namespace.programmed_address()
