"""A network namespace of its own: no netfilter rule, no foreign traffic, nothing outside that could be met."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


class NoNamespaceError(Exception):
    """This machine or user may not have one."""


@contextmanager
def namespace(name: str) -> Iterator[list[str]]:
    """The words before a command that make it run inside. It is deleted on every way out."""
    try:
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoNamespaceError("the program ip is missing (package iproute2)") from error
    if done.returncode != 0:
        raise NoNamespaceError(done.stderr.strip())
    prefix = ["ip", "netns", "exec", name]
    try:
        subprocess.run([*prefix, "ip", "link", "set", "lo", "up"], check=True)
        yield prefix
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
