"""Errors of talking to a Kubernetes API server, mapped once, at the border.

Laws:
1. Nothing above this package sees an exception of the HTTP library, of TLS or of the operating system.
2. What an API server says in a `Status` object decides over the bare HTTP status.
"""
# ruff: noqa: N818 - the classes bear the API's own reasons, which are also their codes

import msgspec

from fairlead.base import UNDECODABLE, ErrorSource, FairleadError


class KubeError(FairleadError):
    """The API server could not be asked, or answered with an error."""

    code = "KubernetesError"
    source = ErrorSource.KUBERNETES

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        """The HTTP status, where there was one."""
        self.retry_after = retry_after
        """Seconds that the server asks to wait before another try."""


class CredentialsError(FairleadError):
    """The credentials cannot be read, are contradictory, or a plugin did not deliver them."""

    code = "CredentialsInvalid"
    source = ErrorSource.USER


class Unreachable(KubeError):
    """No connection: refused, timed out, no such host, or a proxy in between that fails."""

    code = "Unreachable"
    retryable = True


class TLSFailed(KubeError):
    """The server's certificate was not accepted, or the server did not accept ours."""

    code = "TLSFailed"


class Disconnected(KubeError):
    """The connection ended, or was silent for too long, in the middle of an exchange."""

    code = "Disconnected"
    retryable = True


class Unauthorized(KubeError):
    """401: the API server does not know who we are."""

    code = "Unauthorized"


class Forbidden(KubeError):
    """403: known, but not allowed."""

    code = "Forbidden"


class NotFound(KubeError):
    """404: no such object, or no such resource (its CRD is not installed)."""

    code = "NotFound"


class Conflict(KubeError):
    """409: the object has changed since it was read, or a field belongs to another manager."""

    code = "Conflict"
    retryable = True


class AlreadyExists(KubeError):
    """409 with reason AlreadyExists: somebody else created it first."""

    code = "AlreadyExists"


class Gone(KubeError):
    """410: the resource version or continue token asked for is no longer kept."""

    code = "Gone"


class VersionTooLarge(KubeError):
    """The resource version asked for is newer than all that the server has.

    The server lags, or its data was restored from a backup and its versions went backwards.
    """

    code = "ResourceVersionTooLarge"


class Invalid(KubeError):
    """422: the object breaks its schema."""

    code = "Invalid"


class TooManyRequests(KubeError):
    """429: the server asks to come back later."""

    code = "TooManyRequests"
    retryable = True


class ServerError(KubeError):
    """5xx: the server or something in front of it is in trouble."""

    code = "ServerError"
    retryable = True


class Rejected(KubeError):
    """Any other 4xx."""

    code = "Rejected"


class ProtocolError(KubeError):
    """An answer that is not what the API promises: no JSON, too long, a redirect."""

    code = "ProtocolError"
    retryable = True


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float = 0
    causes: tuple[_Cause, ...] | None = None


class _Status(msgspec.Struct):
    """metav1.Status."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


_BY_REASON: dict[str, type[KubeError]] = {
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "NotFound": NotFound,
    "AlreadyExists": AlreadyExists,
    "Conflict": Conflict,
    "Expired": Gone,
    "Gone": Gone,
    "Invalid": Invalid,
    "TooManyRequests": TooManyRequests,
    "InternalError": ServerError,
    "ServiceUnavailable": ServerError,
}

_BY_CODE: dict[int, type[KubeError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}

_TOO_LARGE = "ResourceVersionTooLarge"
"""Reason of the cause in `details` (metav1.CauseTypeResourceVersionTooLarge)."""

_status_decoder = msgspec.json.Decoder(_Status)


def error_from_answer(
    status: int | None, body: bytes | msgspec.Raw, *, retry_after: float | None = None
) -> KubeError:
    """The error that an HTTP status of 300 or more, or a watch's ERROR object, stands for.

    `status` is None for an ERROR object inside a stream: then its own code counts. A `retry_after` (seconds)
    from the header goes before the one in the body.
    """
    try:
        said = _status_decoder.decode(body)
    except UNDECODABLE:
        text = bytes(body)[:200].decode("utf-8", "replace").strip()
        said = _Status(message=text)
    code = said.code or status or 500
    details = said.details or _Details()
    if retry_after is None and details.retry_after_seconds > 0:
        retry_after = details.retry_after_seconds
    message = said.message or f"the API server answered {code}"
    if any(cause.reason == _TOO_LARGE for cause in details.causes or ()) or (
        code == 504 and "Too large resource version" in message
    ):
        return VersionTooLarge(message, status=code, retry_after=retry_after)
    kind = _BY_REASON.get(said.reason or "") or _BY_CODE.get(code)
    if kind is None:
        if code < 400:
            return ProtocolError(f"the API server answered {code}, which is not followed", status=code)
        kind = ServerError if code >= 500 else Rejected
    return kind(message, status=code, retry_after=retry_after)
