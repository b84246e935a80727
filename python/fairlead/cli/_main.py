"""The table of commands, and what becomes of their errors.

Laws:
1. A command's module is imported when the command is called: `fairlead version` loads no controller.
2. Every error is one line with a stable code; exit code 2 means that the command line was wrong, 1 that something
   else was.
3. A reader that has seen enough (`| head`) is not an error.
"""

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from cyclopts import App, CycloptsError
from cyclopts.config import Env

from fairlead import __version__
from fairlead.base import FairleadError
from fairlead.cli._errors import USAGE, UsageError, exit_code, show


class Command(NamedTuple):
    """One line of the table."""

    where: str
    """`MODULE:FUNCTION`, imported when called."""
    help: str
    from_env: bool = False
    """Whether FAIRLEAD_OPTION in the environment stands for --option."""


COMMANDS = {
    "run": Command("fairlead.cli._run:run", "Run a gateway for a directory or a cluster.", from_env=True),
    "demo": Command("fairlead.cli._demo:demo", "Watch the main job: local Pods, a gateway, a client."),
    "get": Command("fairlead.cli._get:get", "Show gateways, routes, backends or endpoints."),
    "version": Command("fairlead.cli._version:version", "Show versions."),
    "controller": Command("fairlead.cli._run:controller", "Run the controller alone.", from_env=True),
    "proxy": Command("fairlead.cli._run:proxy", "Run the proxy alone.", from_env=True),
}
"""Shown in this order."""

INTERRUPTED = 130


def app() -> App:
    """The command line, with nothing behind it loaded."""
    made = App(
        name="fairlead",
        help="A Kubernetes gateway and load balancer that sends every request straight to the right Pod.",
        version=f"fairlead {__version__}",
        help_format="plaintext",
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
    )
    for number, (name, command) in enumerate(COMMANDS.items()):
        config = (Env("FAIRLEAD_", command=False),) if command.from_env else ()
        made.command(command.where, name=name, help=command.help, sort_key=number, config=config)
    return made


def call(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    try:
        result = app()(list(arguments))
        sys.stdout.flush()
    except CycloptsError as error:
        show(UsageError(" ".join(str(error).split()), hint="see fairlead --help"))
        return USAGE
    except FairleadError as error:
        show(error)
        return exit_code(error)
    except BrokenPipeError:
        # Nobody reads any more. What Python still holds back must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def main() -> None:
    """The `fairlead` command."""
    sys.exit(call(sys.argv[1:]))
