"""Which address each Gateway has: a pure allocator.

Laws:
1. An address belongs to one Gateway; a Gateway keeps it until it is released or asks for another one.
2. The address of a new Gateway depends on its namespace and name (and on what is taken), not on the order
   in which Gateways come, so that replicas and restarts agree even without a record.
3. What was recorded (status.addresses, or a state file) wins over what would be chosen.
4. `spec.addresses` is honoured or refused with a reason, never replaced in silence.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from fairlead.resources import GatewayAddress, Ref

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class AddressProblem(StrEnum):
    """Why a Gateway did not get what it asked for; the values are reasons of the Gateway API."""

    UNSUPPORTED_ADDRESS = "UnsupportedAddress"
    """The type of an address is not supported (Accepted=False)."""
    ADDRESS_NOT_USABLE = "AddressNotUsable"
    """An address asked for cannot be used here, or is another Gateway's (Programmed=False)."""
    ADDRESS_NOT_ASSIGNED = "AddressNotAssigned"
    """The pool is exhausted, or this instance may not assign (Programmed=False)."""


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """A Gateway's address, or why it has none (or not all that it asked for)."""

    address: str | None
    problem: AddressProblem | None = None
    message: str = ""


class AddressBook:
    """The addresses of all Gateways.

    `pool` is where addresses are taken from; `static` lists further networks that are local to this host,
    from which `spec.addresses` may choose (as it may from the pool). With `assigning=False` (an instance
    without the Lease) only recorded and requested addresses are given.
    """

    def __init__(
        self,
        pool: str = "127.0.0.0/8",
        static: Iterable[str] = (),
        recorded: Mapping[Ref, str] | None = None,
        *,
        assigning: bool = True,
    ) -> None:
        self._pool = ip_network(pool, strict=False)
        self._allowed: tuple[Network, ...] = (self._pool, *(ip_network(net, strict=False) for net in static))
        self._recorded = dict(recorded or {})
        self._by_gateway: dict[Ref, str] = {}
        self._by_address: dict[str, Ref] = {}
        self.assigning = assigning

    def assign(
        self, gateway: Ref, requested: tuple[GatewayAddress, ...] | None, recorded: str | None
    ) -> Assignment:
        """The Gateway's address.

        `requested` is `spec.addresses`, `recorded` the address that the object's status names. A Gateway
        has one address; of several requested ones the first usable one is given and the rest is a problem.
        """
        wanted = requested or ()
        unsupported = next((item for item in wanted if (item.type or "IPAddress") != "IPAddress"), None)
        if unsupported is not None:
            self.release(gateway)
            return Assignment(
                None,
                AddressProblem.UNSUPPORTED_ADDRESS,
                f"address type {unsupported.type!r} is not supported: use IPAddress",
            )
        values = [item.value for item in wanted if item.value]
        if values:
            return self._assign_static(gateway, values, more=len(wanted) > 1)
        return self._assign_dynamic(gateway, recorded)

    def record(self, gateway: Ref, address: str) -> None:
        """Reserves the address that a Gateway is known to have had, unless it is taken."""
        if gateway not in self._by_gateway and address not in self._taken(gateway):
            self._recorded.setdefault(gateway, address)

    def retain(self, gateways: Collection[Ref]) -> None:
        """Forgets records of all other Gateways."""
        self._recorded = {ref: address for ref, address in self._recorded.items() if ref in gateways}

    def copy(self) -> "AddressBook":
        """A book with nothing assigned and all that is assigned or recorded here on record."""
        book = AddressBook(str(self._pool), map(str, self._allowed[1:]), assigning=self.assigning)
        book._recorded = {**self._recorded, **self._by_gateway}
        return book

    def release(self, gateway: Ref) -> None:
        """Gives the Gateway's address back."""
        self._recorded.pop(gateway, None)
        address = self._by_gateway.pop(gateway, None)
        if address is not None:
            del self._by_address[address]

    def holder(self, address: str) -> Ref | None:
        """The Gateway that has `address`."""
        return self._by_address.get(address)

    def address_of(self, gateway: Ref) -> str | None:
        """The address that the Gateway has."""
        return self._by_gateway.get(gateway)

    def assignments(self) -> dict[Ref, str]:
        """All assignments in force, for a state file."""
        return dict(self._by_gateway)

    def _assign_static(self, gateway: Ref, values: list[str], *, more: bool) -> Assignment:
        given: str | None = None
        faults: list[str] = []
        for value in values:
            fault = self._fault_of(gateway, value)
            if fault is None and given is not None:
                fault = f"{value}: a Gateway has one address, and this one has {given}"
            if fault is None:
                given = str(ip_address(value))
            else:
                faults.append(fault)
        if given is None:
            self.release(gateway)
        else:
            self._give(gateway, given)
        if more and len(values) == 1 and not faults:
            faults.append(f"a Gateway has one address, and this one has {given}")
        if faults:
            return Assignment(given, AddressProblem.ADDRESS_NOT_USABLE, "; ".join(faults))
        return Assignment(given)

    def _fault_of(self, gateway: Ref, value: str) -> str | None:
        try:
            address = ip_address(value)
        except ValueError:
            return f"{value}: not an IP address"
        if not any(address in network for network in self._allowed):
            return f"{value}: not local to this host; allowed are {', '.join(map(str, self._allowed))}"
        owner = self._taken(gateway).get(str(address))
        return None if owner is None else f"{value}: in use by Gateway {owner}"

    def _assign_dynamic(self, gateway: Ref, recorded: str | None) -> Assignment:
        held = self._by_gateway.get(gateway)
        if held is not None and ip_address(held) in self._pool:
            return Assignment(held)
        for candidate in (self._recorded.get(gateway), recorded):
            if candidate is not None and self._free_in_pool(gateway, candidate):
                self._give(gateway, str(ip_address(candidate)))
                return Assignment(self._by_gateway[gateway])
        if not self.assigning:
            self.release(gateway)
            return Assignment(
                None, AddressProblem.ADDRESS_NOT_ASSIGNED, "waiting for the leader to assign an address"
            )
        chosen = self._choose(gateway)
        if chosen is None:
            self.release(gateway)
            return Assignment(
                None,
                AddressProblem.ADDRESS_NOT_ASSIGNED,
                f"the pool {self._pool} has no free address: widen it or delete a Gateway",
            )
        self._give(gateway, chosen)
        return Assignment(chosen)

    def _free_in_pool(self, gateway: Ref, value: str) -> bool:
        try:
            address = ip_address(value)
        except ValueError:
            return False
        return address in self._pool and str(address) not in self._taken(gateway)

    def _taken(self, gateway: Ref) -> dict[str, Ref]:
        """The addresses that other Gateways have, or are on record for."""
        taken = {address: ref for ref, address in self._recorded.items() if ref != gateway}
        taken.update((address, ref) for address, ref in self._by_address.items() if ref != gateway)
        return taken

    def _choose(self, gateway: Ref) -> str | None:
        first, count = self._hosts()
        taken = self._taken(gateway)
        start = int.from_bytes(blake2b(str(gateway).encode(), digest_size=8).digest(), "big") % count
        # At most as many probes as addresses are taken, plus one.
        for step in range(min(count, len(taken) + 1)):
            address = str(ip_address(first + (start + step) % count))
            if address not in taken:
                return address
        return None

    def _hosts(self) -> tuple[int, int]:
        """The first assignable address as a number, and how many there are.

        Network and broadcast addresses are left out; of 127.0.0.0/8 also 127.0.0.0/16, where
        127.0.0.1 and the resolvers of the system live.
        """
        first = int(self._pool.network_address)
        count = self._pool.num_addresses
        if self._pool == ip_network("127.0.0.0/8"):
            return first + (1 << 16), count - (1 << 16) - 1
        if count > 2:
            return first + 1, count - (2 if self._pool.version == 4 else 1)
        return first, count

    def _give(self, gateway: Ref, address: str) -> None:
        before = self._by_gateway.get(gateway)
        if before is not None and before != address:
            del self._by_address[before]
        self._by_gateway[gateway] = address
        self._by_address[address] = gateway
        self._recorded.pop(gateway, None)
