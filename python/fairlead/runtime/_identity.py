"""Who an instance is in the election of the one that writes status."""

import os
import socket


def new_identity() -> str:
    """An identity that nobody else has: the host's name, for people, and chance, for two on one host or in one Pod.

    The supervisor makes one for all the controllers that it starts, one after the other: it starts the next when the
    one before is dead, so the next may go on with its Lease at once. A controller on its own makes one for itself.
    """
    return f"{socket.gethostname()}_{os.urandom(6).hex()}"
