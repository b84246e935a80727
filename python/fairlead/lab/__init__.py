"""The lab: `fairlead demo`, and later simulate and diagnose. Everything in it runs on loopback."""

from fairlead.lab._demo import play
from fairlead.lab._load import Load, Tally
from fairlead.lab._scenes import Scene

__all__ = ["Load", "Scene", "Tally", "play"]
