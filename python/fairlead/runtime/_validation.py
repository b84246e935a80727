"""The proxy's own verdict on a resource, before anything is sent."""

from fairlead.base import FairleadError
from fairlead.snapshot import Key, Rejection
from fairlead.stream import Validate


class Verdicts:
    """Verdicts for two who ask; what the first was told is remembered for the second.

    Translation keeps the Backends of a Route's last good version if the new one is refused; the Store lets nothing
    in that is refused.
    """

    def __init__(self, validate: Validate) -> None:
        self._validate = validate
        self._told: dict[Key, tuple[bytes, Rejection | None]] = {}

    def for_translation(self, key: Key, body: bytes) -> Rejection | None:
        """The verdict; remembered until the Store asks for the same bytes object, or `forget`."""
        verdict = self._validate(key, body)
        self._told[key] = (body, verdict)
        return verdict

    def for_store(self, key: Key, body: bytes) -> Rejection | None:
        """The verdict."""
        told = self._told.pop(key, None)
        return told[1] if told is not None and told[0] is body else self._validate(key, body)

    def forget(self) -> None:
        """Nothing that was judged is still on its way."""
        self._told.clear()


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
