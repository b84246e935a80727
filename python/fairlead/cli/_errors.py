"""Errors as people see them: one line, with the code and, where there is one, a hint."""

import sys

from fairlead.base import ErrorSource, FairleadError

FAILED = 1
USAGE = 2


class UsageError(FairleadError):
    """The command line cannot be understood."""

    code = "Usage"
    source = ErrorSource.USER


class NotFoundError(FairleadError):
    """What was asked for is not there."""

    code = "NotFound"
    source = ErrorSource.USER


_USAGE_CODES = {"Usage", "SeveralInstances", "InvalidInstanceName", "InvalidSetting", "DirectoryNotFound"}


def show(error: FairleadError) -> None:
    """Prints an error to standard error."""
    print(f"error: {error.message} ({error.code})", file=sys.stderr)  # noqa: T201
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)  # noqa: T201


def exit_code(error: FairleadError) -> int:
    """2 for what the command line got wrong, 1 for everything else."""
    return USAGE if error.code in _USAGE_CODES else FAILED
