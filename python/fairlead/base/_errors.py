"""The one base class of Fairlead's errors.

Laws:
1. Every error has a `code`: a stable CamelCase string that the CLI prints and that status conditions
   carry as their reason. Codes are never reused for another meaning.
2. Every error has a `source`, which says whose problem it is, and says whether a retry can help.
"""

from enum import StrEnum

import msgspec

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding JSON or MessagePack can raise on bad input: msgspec maps neither bad text nor deep nesting."""


class ErrorSource(StrEnum):
    """Whose problem an error is."""

    USER = "user"
    KUBERNETES = "kubernetes"
    PROXY = "proxy"
    SYSTEM = "system"
    INTERNAL = "internal"


class FairleadError(Exception):
    """An error with a stable code, a message that says what to do, and its source."""

    code: str = "Internal"
    source: ErrorSource = ErrorSource.INTERNAL
    retryable: bool = False

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
