"""The proxy's own verdict on a resource, before anything is sent."""

from fairlead.base import FairleadError
from fairlead.snapshot import Key, Rejection
from fairlead.stream import Validate


class CoreMissingError(FairleadError):
    """The compiled part of the package is not there."""

    code = "CoreMissing"


def core_validate() -> Validate:
    """The verdict of `fairlead._core`. Raises CoreMissingError."""
    try:
        from fairlead import _core
    except ImportError as error:
        raise CoreMissingError(f"fairlead._core cannot be loaded: {error}", hint="run make build") from error

    def validate(key: Key, body: bytes) -> Rejection | None:
        refusal = _core.validate_resource(key.kind.value, body)
        if refusal is None:
            return None
        reason, message = refusal
        return Rejection(kind=key.kind, name=key.name, reason=reason, message=message)

    return validate
