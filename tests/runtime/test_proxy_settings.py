"""From the settings of a run to the proxy's configuration: what is checked, and what is told."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.runtime._paths import instance_paths
from fairlead.runtime._proxy import proxy_config
from fairlead.runtime._settings import from_json, to_json
from fairlead.runtime.instance import InvalidSettingError, Settings, run_proxy


def told(tmp_path: Path, **given: Any) -> dict[str, Any]:
    """The configuration as the proxy reads it, after the settings' way through a command line."""
    settings = from_json(to_json(Settings(state_dir=tmp_path, **given)))
    config = msgspec.json.encode(proxy_config(settings, instance_paths("test", state_dir=tmp_path)))
    result: dict[str, Any] = msgspec.json.decode(config)
    return result


def refused(**given: Any) -> str:
    with pytest.raises(InvalidSettingError) as error:
        run_proxy(Settings(**given), execute=lambda *_: pytest.fail("it was started"))
    return str(error.value)


def test_the_proxy_is_told_what_to_believe_and_what_to_admit(tmp_path: Path) -> None:
    config = told(
        tmp_path,
        forwarded="append",
        trusted_proxies=("10.0.0.0/8", "fd00::/8", "192.0.2.7"),
        max_connections=100,
        max_connections_per_listener=50,
        max_request_body=1 << 20,
    )
    assert config["forwarded"] == {"policy": "append", "trusted": ["10.0.0.0/8", "fd00::/8", "192.0.2.7"]}
    assert config["limits"] == {
        "connections": 100,
        "connections_per_bind": 50,
        "request_body_bytes": 1 << 20,
    }


def test_by_default_the_proxys_own_limits_hold_and_nobody_is_believed(tmp_path: Path) -> None:
    config = told(tmp_path)
    assert config.get("forwarded", {}) == {}
    assert config.get("limits", {}) == {}


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("10.0.0.1/8", "has host bits set"),
        ("10.0.0.0/33", "10.0.0.0/33"),
        ("10.0.0.0/255.0.0.0", "not in CIDR notation"),
        ("010.0.0.0/8", "010.0.0.0/8"),
        ("fe80::1%eth0", "not in CIDR notation"),
        ("::ffff:10.0.0.0/104", "IPv4 inside IPv6"),
        ("localhost", "localhost"),
        ("10.0.0.0/", "10.0.0.0/"),
    ],
)
def test_a_network_that_may_mean_something_else_is_refused_by_name(network: str, why: str) -> None:
    message = refused(trusted_proxies=("10.0.0.0/8", network))
    assert message.startswith("--trusted-proxies: ")
    assert why in message


def test_too_many_networks_are_refused() -> None:
    assert "at most 256" in refused(trusted_proxies=("10.0.0.0/8",) * 257)


@pytest.mark.parametrize("name", ["max_connections", "max_connections_per_listener", "max_request_body"])
@pytest.mark.parametrize("value", [0, -1, 1 << 63])
def test_a_limit_out_of_range_is_refused_by_the_options_name(name: str, value: int) -> None:
    assert refused(**{name: value}).startswith(f"--{name.replace('_', '-')}: {value} is not within 1 and ")
