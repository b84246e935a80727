"""What goes wrong ends in one line with a code, and the right exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.cli import _main
from tests.cli.conftest import Cli, Instance


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["get"],
        ["get", "pods"],
        ["get", "gateways", "--wrong"],
        ["get", "gateways", "-o", "xml"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_exit_code_2(cli: Cli, arguments: list[str]) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "(Usage)" in err.splitlines()[0]


def test_a_missing_directory_is_named_before_anything_starts(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("run", str(tmp_path / "none"))
    assert code == 2
    assert err.startswith(f"error: {tmp_path / 'none'} is not a directory (DirectoryNotFound)")


@pytest.mark.parametrize(
    "option",
    [
        "--address-pool=pool",
        "--address-pool=10.0.0.0/99",
        "--health-address=9100",
        "--health-address=localhost:9100",
        "--health-address=127.0.0.1:99999",
        "--workers=0",
        "--drain-grace=60",
        "--trusted-proxies=10.0.0.0/8,10.0.0.1/8",
        "--max-connections=0",
    ],
)
def test_a_setting_that_cannot_work_is_named_before_anything_starts(
    cli: Cli, tmp_path: Path, option: str
) -> None:
    for command in (["run", str(tmp_path)], ["controller", str(tmp_path)]):
        if command[0] == "controller" and "pool" not in option:
            continue
        code, _, err = cli(*command, option)
        assert code == 2
        assert err.startswith(f"error: {option.partition('=')[0]}")
        assert "(InvalidSetting)" in err


def test_options_come_from_the_environment(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_INSTANCE", "Not A Name")
    code, _, err = cli("run", str(tmp_path))
    assert code == 2
    assert "(InvalidInstanceName)" in err


def test_a_reader_that_has_seen_enough_is_no_error(instance: Instance) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "fairlead", "get", "gateways", "--address", str(instance.path)],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_command_loads_more_than_it_needs(instance: Instance) -> None:
    script = (
        "import sys; from fairlead.cli import call\n"
        f"code = call(['get', 'gateways', '-o', 'name', '--address', {str(instance.path)!r}])\n"
        "heavy = [name for name in ('aiohttp', 'yaml', 'structlog', 'fairlead.kube', 'fairlead.translate')"
        " if name in sys.modules]\n"
        "sys.exit(str(heavy) if heavy else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_can_be_loaded_and_has_help(cli: Cli) -> None:
    for name, command in _main.COMMANDS.items():
        assert command.help
        code, out, _ = cli(name, "--help")
        assert code == 0
        assert f"fairlead {name}" in out
