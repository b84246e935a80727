"""Programs of the system that tests need."""

import pytest

from bench.build import debian

__all__ = ["program"]


def program(name: str) -> str:
    """The path of a program that Debian has in a package of the same name.

    It is installed where that may be; where it cannot be had, the test is counted as not run and says why.
    """
    found = debian(name, name)
    if found is None:
        pytest.skip(
            f"{name} is missing and cannot be installed from here: install Debian's package of that name"
        )
    return str(found)
