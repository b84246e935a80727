"""The demo itself, as a newcomer starts it but without a terminal: no request is lost in any scene."""

import re
import subprocess
import sys

import pytest

pytest.importorskip("fairlead._core", reason="the binding is not built")
pytestmark = pytest.mark.process


def demo(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "fairlead", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def answered(output: str) -> int:
    found = re.search(r"client: (\d+) answered, (\d+) lost", output)
    assert found, output
    assert found[2] == "0", output
    return int(found[1])


@pytest.mark.parametrize("scene", ["steady", "scale", "rolling-update", "slow-pod"])
def test_no_request_is_lost(scene: str) -> None:
    code, output = demo("--scene", scene, "--for", "4s")
    assert code == 0, output
    assert answered(output) > 700


def test_a_pod_that_fails_fast_attracts_little_traffic() -> None:
    code, output = demo("--scene", "failing-pod", "--for", "6s")
    assert code == 0, output
    failed = re.search(r"(\d+) answered 500 by a Pod itself", output)
    assert failed, output
    # A quarter of the requests of the 4 s in which it fails would be 200; fast failures attract even more.
    assert 0 < int(failed[1]) <= 40
    assert answered(output) > 1000


def test_the_output_tells_what_to_try() -> None:
    code, output = demo("--scene", "steady", "--for", "1s")
    assert code == 0, output
    assert re.search(r"curl -H 'Host: echo\.example\.com' http://127\.\d+\.\d+\.\d+:8080/", output)
    assert "fairlead get endpoints" in output
