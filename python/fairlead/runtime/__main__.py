"""`python -m fairlead.runtime controller SETTINGS`: how the supervisor starts the controller.

It passes the command line's own modules by, which the controller has no use for.
"""

import sys

from fairlead.runtime._controller import main
from fairlead.runtime._settings import from_json

if __name__ == "__main__":
    _, half, settings = sys.argv
    if half != "controller":
        sys.exit(f"error: there is no half {half}")
    sys.exit(main(from_json(settings)))
