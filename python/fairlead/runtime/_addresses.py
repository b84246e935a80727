"""The record of the Gateways' addresses where no API keeps it: a file of the instance.

Law: a record that cannot be written (a full disk, a read-only one) ends nothing. It is said when the reason changes
and tried again for as long as the record is behind; only the next start of the controller would miss it.
"""

import asyncio
from pathlib import Path

import msgspec

from fairlead.base import UNDECODABLE, RecordTrouble, get_logger, replace_record
from fairlead.resources import Ref


class _Record(msgspec.Struct, frozen=True):
    gateways: dict[str, str]
    """`NAMESPACE/NAME` to address."""


def load(path: Path) -> dict[Ref, str]:
    """What was recorded; nothing where there is no usable record: addresses are then chosen by name."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=_Record)
    except FileNotFoundError:
        return {}
    except (OSError, *UNDECODABLE) as error:
        get_logger("addresses").warning("record not used", path=str(path), error=str(error))
        return {}
    return {Ref(*name.split("/", 1)): address for name, address in record.gateways.items() if "/" in name}


def save(path: Path, addresses: dict[Ref, str]) -> None:
    """Replaces the record. Raises OSError."""
    record = _Record(gateways={str(ref): address for ref, address in sorted(addresses.items())})
    replace_record(path, [msgspec.json.format(msgspec.json.encode(record))])


class AddressRecord:
    """Keeps the record as the assignments are."""

    def __init__(self, path: Path, written: dict[Ref, str]) -> None:
        """`written`: what the record says."""
        self._path = path
        self._written = written
        self._trouble = RecordTrouble("addresses", path)

    async def keep(self, addresses: dict[Ref, str]) -> None:
        """Writes what is not written yet; to be called again and again."""
        if addresses == self._written:
            return
        try:
            await asyncio.to_thread(save, self._path, addresses)
        except OSError as error:
            self._trouble.failed(error)
            return
        self._written = addresses
        self._trouble.written()
