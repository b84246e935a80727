"""Which address each Gateway has."""

from hypothesis import given
from hypothesis import strategies as st

from fairlead.resources import Ref
from fairlead.translate import AddressBook, AddressProblem, ConditionType
from tests.translate.harness import NS, Lab, basics, condition, gateway, listener, route

A, B = Ref(NS, "a"), Ref(NS, "b")


def addresses(lab: Lab, name: str = "gw") -> list[str]:
    return [item.value for item in lab.gateway_status(name).addresses]


def programmed(lab: Lab, name: str = "gw") -> tuple[str, str]:
    return condition(lab.gateway_status(name).conditions, ConditionType.PROGRAMMED)


def accepted(lab: Lab, name: str = "gw") -> tuple[str, str]:
    return condition(lab.gateway_status(name).conditions, ConditionType.ACCEPTED)


def test_every_gateway_has_an_address_of_its_own_from_the_loopback_pool() -> None:
    lab = Lab(*basics(), gateway("other"))
    first, second = addresses(lab), addresses(lab, "other")
    assert first != second
    assert first[0].startswith("127.")
    assert not first[0].startswith("127.0.")


def test_two_gateways_may_use_one_port() -> None:
    lab = Lab(*basics(), gateway("other"))
    assert programmed(lab) == programmed(lab, "other") == ("True", "Programmed")


@given(order=st.permutations([Ref("ns", f"g{number}") for number in range(20)]))
def test_addresses_do_not_depend_on_the_order_of_gateways(order: list[Ref]) -> None:
    book, sorted_book = AddressBook(), AddressBook()
    for ref in order:
        book.assign(ref, None, None)
    for ref in sorted(order):
        sorted_book.assign(ref, None, None)
    assert book.assignments() == sorted_book.assignments()


@given(refs=st.sets(st.sampled_from([Ref("ns", f"g{number}") for number in range(300)]), max_size=254))
def test_a_small_pool_is_used_up_to_its_last_address_without_doubles(refs: set[Ref]) -> None:
    book = AddressBook("10.9.8.0/24")
    given_out = [book.assign(ref, None, None).address for ref in refs]
    assert None not in given_out
    assert len(set(given_out)) == len(refs)
    assert not {"10.9.8.0", "10.9.8.255"} & set(given_out)


def test_an_exhausted_pool_is_said_and_a_freed_address_is_given_on() -> None:
    lab = Lab(*basics(), book=AddressBook("10.9.8.7/32"))
    lab.put(gateway("late"))
    assert programmed(lab, "late") == ("False", "AddressNotAssigned")
    assert addresses(lab, "late") == []
    lab.remove(gateway())
    assert addresses(lab, "late") == ["10.9.8.7"]
    assert programmed(lab, "late") == ("True", "Programmed")
    lab.assert_full_agrees()


def test_an_address_read_back_from_status_is_kept() -> None:
    lab = Lab(*basics()[:2], gateway(recorded="127.44.55.66"))
    assert addresses(lab) == ["127.44.55.66"]


def test_what_a_gateway_had_before_is_not_given_to_an_earlier_one() -> None:
    book = AddressBook("10.9.8.0/30")
    wanted = AddressBook("10.9.8.0/30").assign(Ref(NS, "gw"), None, None).address
    lab = Lab(*basics()[:2], gateway("gw"), gateway("z", recorded=wanted), book=book)
    assert addresses(lab, "z") == [wanted]
    assert addresses(lab, "gw") != [wanted]


def test_a_record_from_a_state_file_wins() -> None:
    lab = Lab(*basics(), book=AddressBook(recorded={Ref(NS, "gw"): "127.7.7.7"}))
    assert addresses(lab) == ["127.7.7.7"]
    assert lab.book.assignments() == {Ref(NS, "gw"): "127.7.7.7"}


def test_a_recorded_address_outside_the_pool_is_replaced() -> None:
    lab = Lab(*basics()[:2], gateway(recorded="203.0.113.7"))
    assert addresses(lab)[0].startswith("127.")


def test_records_of_gateways_that_are_gone_hold_no_address() -> None:
    book = AddressBook("10.9.8.7/32", recorded={Ref(NS, "gone"): "10.9.8.7"})
    assert addresses(Lab(*basics(), book=book)) == ["10.9.8.7"]


def test_a_changed_gateway_keeps_its_address() -> None:
    lab = Lab(*basics())
    before = addresses(lab)
    lab.put(gateway("gw", listener(), listener("more", 8081), generation=2))
    assert addresses(lab) == before


def test_an_instance_that_may_not_assign_waits_for_the_one_that_may() -> None:
    lab = Lab(*basics(), book=AddressBook(assigning=False))
    assert programmed(lab) == ("False", "AddressNotAssigned")
    lab.put(gateway(recorded="127.1.2.3"))
    assert addresses(lab) == ["127.1.2.3"]


def test_an_instance_that_becomes_the_leader_assigns() -> None:
    lab = Lab(*basics(), route(), book=AddressBook(assigning=False))
    assert lab.route() is None
    lab.translator.reassign_addresses(assigning=True)
    lab.settle()
    assert programmed(lab) == ("True", "Programmed")
    assert lab.route() is not None


def test_an_address_asked_for_is_honoured_inside_the_pool_and_inside_local_networks() -> None:
    book = AddressBook("127.0.0.0/8", static=["172.30.1.0/24"])
    lab = Lab(*basics()[:2], gateway(addresses=[("IPAddress", "172.30.1.250")]), book=book)
    assert addresses(lab) == ["172.30.1.250"]
    assert programmed(lab) == ("True", "Programmed")
    lab.put(gateway(addresses=[("IPAddress", "127.3.2.1")], generation=2))
    assert addresses(lab) == ["127.3.2.1"]


def test_an_address_that_is_not_local_is_refused_and_not_replaced() -> None:
    lab = Lab(*basics()[:2], gateway(addresses=[("IPAddress", "203.0.113.1")]), route())
    assert addresses(lab) == []
    assert accepted(lab) == ("True", "Accepted")
    assert programmed(lab) == ("False", "AddressNotUsable")
    assert not lab.proxy.resources


def test_an_address_that_is_no_address_is_refused() -> None:
    lab = Lab(*basics()[:2], gateway(addresses=[("IPAddress", "tuesday")]))
    assert programmed(lab) == ("False", "AddressNotUsable")


def test_an_unsupported_type_of_address_refuses_the_gateway() -> None:
    both = [("test/fake", "x"), ("IPAddress", "127.3.2.1")]
    lab = Lab(*basics()[:2], gateway(addresses=both))
    assert accepted(lab) == ("False", "UnsupportedAddress")
    assert programmed(lab)[0] == "False"
    assert not lab.proxy.resources


def test_the_conformance_sequence_of_static_addresses() -> None:
    """GatewayStaticAddresses: an unsupported, an unusable and a usable address, taken away in turn."""
    every = [("test/fake", "x"), ("IPAddress", "203.0.113.1"), ("IPAddress", "127.3.2.1")]
    lab = Lab(*basics()[:2], gateway(addresses=every))
    assert accepted(lab) == ("False", "UnsupportedAddress")
    lab.put(gateway(addresses=every[1:], generation=2))
    assert accepted(lab) == ("True", "Accepted")
    assert programmed(lab) == ("False", "AddressNotUsable")
    lab.put(gateway(addresses=every[2:], generation=3))
    assert programmed(lab) == ("True", "Programmed")
    assert addresses(lab) == ["127.3.2.1"]


def test_an_empty_value_asks_for_any_address() -> None:
    lab = Lab(*basics()[:2], gateway(addresses=[("IPAddress", "")]))
    assert addresses(lab)[0].startswith("127.")
    assert programmed(lab) == ("True", "Programmed")


def test_an_address_of_another_gateway_is_refused_until_it_is_free() -> None:
    asked = [("IPAddress", "127.3.2.1")]
    lab = Lab(*basics()[:2], gateway("a", addresses=asked))
    lab.put(gateway("b", addresses=asked))
    assert programmed(lab, "b") == ("False", "AddressNotUsable")
    lab.put(gateway("a", generation=2, addresses=[("IPAddress", "127.3.2.9")]))
    assert addresses(lab, "b") == ["127.3.2.1"]
    assert programmed(lab, "b") == ("True", "Programmed")
    lab.assert_full_agrees()


def test_a_second_usable_address_is_a_problem_that_is_said() -> None:
    two = [("IPAddress", "127.3.2.1"), ("IPAddress", "127.3.2.2")]
    lab = Lab(*basics()[:2], gateway(addresses=two))
    assert addresses(lab) == ["127.3.2.1"]
    assert programmed(lab) == ("False", "AddressNotUsable")


def test_an_ipv6_pool_works() -> None:
    book = AddressBook("fd00:1::/64")
    lab = Lab(*basics(), book=book)
    assert addresses(lab)[0].startswith("fd00:1:")
    (bind,) = (key.name for key in lab.proxy.resources if key.kind == "bind")
    assert bind.startswith("[fd00:1:")


def test_release_and_holder() -> None:
    book = AddressBook()
    address = book.assign(A, None, None).address
    assert address is not None
    assert book.holder(address) == A
    book.release(A)
    assert book.holder(address) is None
    assert book.assign(B, None, address).address == address
    assert book.assign(A, None, None).address != address


def test_problems_are_reasons_of_the_gateway_api() -> None:
    assert {item.value for item in AddressProblem} == {
        "UnsupportedAddress",
        "AddressNotUsable",
        "AddressNotAssigned",
    }
