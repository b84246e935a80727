"""The proxy process: `python -m fairlead.proxy --config JSON`.

Imports nothing but the binding and a few small modules of the interpreter: the process is Rust, and this is
its door. `--config @FILE` reads the document from a file; without the option it is in `FAIRLEAD_PROXY_CONFIG`.
"""

import os
import signal
import sys

from fairlead import _core

__all__ = ["main"]

_USAGE = "usage: python -m fairlead.proxy [--config JSON|@FILE]\n"
_EXIT_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the proxy until a signal ends it, and give its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match arguments:
        case ["--config", text] if text.startswith("@"):
            try:
                with open(text[1:], "rb") as file:  # noqa: PTH123  (pathlib would be the largest import here)
                    config = file.read()
            except OSError as error:
                sys.stderr.write(f"fairlead: {error}\n")
                return _EXIT_USAGE
        case ["--config", text]:
            config = text.encode()
        case [] if "FAIRLEAD_PROXY_CONFIG" in os.environ:
            config = os.environ["FAIRLEAD_PROXY_CONFIG"].encode()
        case _:
            sys.stderr.write(_USAGE)
            return _EXIT_USAGE
    # The interpreter's own handler would turn an interrupt into an exception after the proxy has stopped.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.run_proxy(config)


if __name__ == "__main__":
    sys.exit(main())
