"""Addresses that are never dialled (reference: what the API server refuses in EndpointSlices)."""

import pytest

from fairlead import resources as k8s
from fairlead.translate import TranslateSettings
from tests.translate.harness import NS, Lab, backend_ref, basics, endpoint, route, rule, service, slice_


def used(address: str, *, family: str = "IPv4", loopback: bool = False) -> tuple[list[str], list[str]]:
    """The addresses used, and the messages of findings."""
    lab = Lab(*basics(), route(), settings=TranslateSettings(loopback_endpoints_allowed=loopback))
    lab.put(slice_("web-1", endpoint(address), family=family))
    return [item.address for item in lab.endpoints()], [item.message for item in lab.proxy.findings.values()]


@pytest.mark.parametrize(
    ("address", "family"),
    [
        ("0.0.0.0", "IPv4"),
        ("127.0.0.1", "IPv4"),
        ("169.254.169.254", "IPv4"),
        ("224.0.0.1", "IPv4"),
        ("239.1.1.1", "IPv4"),
        ("010.0.0.1", "IPv4"),
        ("fd00::1", "IPv4"),
        ("pod.example.com", "IPv4"),
        ("::", "IPv6"),
        ("::1", "IPv6"),
        ("fe80::1", "IPv6"),
        ("fd00::1%eth0", "IPv6"),
        ("ff02::1", "IPv6"),
        ("::ffff:10.0.0.1", "IPv6"),
        ("10.0.0.1", "IPv6"),
    ],
)
def test_special_and_unreadable_addresses_are_refused_and_reported(address: str, family: str) -> None:
    addresses, messages = used(address, family=family)
    assert addresses == []
    assert len(messages) == 1
    assert address in messages[0]


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.0.2.1", "100.64.0.1", "198.18.0.1", "169.1.1.1", "240.0.0.1"]
)
def test_private_test_and_shared_networks_are_used(address: str) -> None:
    assert used(address) == ([address], [])


def test_ipv6_addresses_are_brought_into_one_form() -> None:
    assert used("FD00:0:0:0::1", family="IPv6") == (["fd00::1"], [])


@pytest.mark.parametrize(("address", "family"), [("127.0.0.3", "IPv4"), ("::1", "IPv6")])
def test_loopback_is_used_where_the_source_is_a_directory(address: str, family: str) -> None:
    assert used(address, family=family, loopback=True) == ([address], [])


@pytest.mark.parametrize("address", ["0.0.0.0", "169.254.1.1", "224.0.0.1"])
def test_the_directory_source_allows_loopback_only(address: str) -> None:
    assert used(address, loopback=True)[0] == []


def test_a_refused_address_leaves_the_others_of_its_slice() -> None:
    lab = Lab(*basics(), route())
    lab.put(slice_("web-1", endpoint("127.0.0.1", pod="bad"), endpoint("10.0.0.2", pod="good")))
    assert lab.addresses() == ["10.0.0.2:8080"]
    assert list(lab.proxy.findings) == [("EndpointAddressRefused", f"EndpointSlice {NS}/web-1")]


def test_the_finding_is_taken_back_when_the_address_is_mended_or_its_slice_goes() -> None:
    lab = Lab(*basics(), route()).put(slice_("web-1", endpoint("127.0.0.1")))
    assert lab.proxy.findings
    lab.put(slice_("web-1", endpoint("10.0.0.1")))
    assert not lab.proxy.findings
    lab.put(slice_("web-1", endpoint("127.0.0.1")))
    lab.remove(slice_("web-1"))
    assert not lab.proxy.findings


def test_a_finding_stands_as_long_as_one_of_several_backends_meets_it() -> None:
    svc = service("web", k8s.ServicePort(port=80, name="http"), k8s.ServicePort(port=81, name="admin"))
    ports = [k8s.EndpointPort(name="http", port=8080), k8s.EndpointPort(name="admin", port=8081)]
    lab = Lab(*basics(), svc, slice_("web-1", endpoint("127.0.0.1"), ports=ports))
    lab.put(route("one"), route("two", rule(backend_ref(port=81))))
    assert len(lab.proxy.findings) == 1
    lab.remove(route("one"))
    assert len(lab.proxy.findings) == 1
    lab.remove(route("two"))
    assert not lab.proxy.findings
