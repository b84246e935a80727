"""`python -m fairlead.runtime {run|controller} JSON`: the long-lived processes, without the command line's modules."""

import sys


def main(half: str, told: str) -> int:
    """Runs the supervisor or the controller."""
    if half == "run":
        from fairlead.runtime._supervisor import run_told

        return run_told(told)
    # structlog would load rich, which is for terminals and bigger than all of the log.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from fairlead.runtime._controller import main as run_controller
    from fairlead.runtime._settings import from_json

    return run_controller(from_json(told))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
