"""Which instance a command speaks to, and what it says when that is not clear."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Instance


def test_the_only_live_socket_is_taken_and_dead_ones_are_passed_over(cli: Cli, instance: Instance) -> None:
    for dead in ("old.sock", "default.stream.sock"):
        instance.path.with_name(dead).touch()
    code, out, _ = cli("get", "gateways", "-o", "name")
    assert (code, out.strip()) == (0, "gateway.gateway.networking.k8s.io/edge")


def test_without_an_instance_it_says_how_to_start_one(cli: Cli) -> None:
    code, _, err = cli("get", "gateways")
    assert code == 1
    assert err.splitlines() == [
        "error: no instance of Fairlead is running here (NoInstance)",
        "hint: start one with: fairlead run DIR",
    ]


def test_several_instances_are_listed_and_one_must_be_chosen(
    cli: Cli, instance: Instance, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Instance(runtime_dir, "other")
    try:
        code, _, err = cli("get", "gateways")
        assert code == 2
        assert "(SeveralInstances)" in err
        assert str(instance.path) in err
        assert str(other.path) in err
        assert cli("get", "gateways", "--address", str(instance.path))[0] == 0
        monkeypatch.setenv("FAIRLEAD_ADDRESS", str(other.path))
        code, out, err = cli("get", "gateways", "-o", "name")
        assert (code, out) == (0, "")
        code, out, _ = cli("get", "gateways", "-o", "name", "--address", f"unix:{instance.path}")
        assert out != "", "--address goes before the environment"
    finally:
        other.stop()


def test_an_address_where_nobody_answers_is_named(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("get", "gateways", "--address", str(tmp_path / "no.sock"))
    assert code == 1
    assert str(tmp_path / "no.sock") in err


def test_version_shows_program_and_instances(cli: Cli, instance: Instance) -> None:
    code, out, _ = cli("version")
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith("fairlead ")
    assert second.startswith("instance default: ")
