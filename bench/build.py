"""The programs that take part: the load generator, Fairlead as users install it, and the peers of Debian.

Everything built lies under bench/out and in cargo's target folder; only the peers' packages are installed, and
only where apt-get may do so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out"
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


def load_generator() -> Path:
    """The load generator, built if need be."""
    return _cargo("fairlead-load", "fairlead-load")


def bare_proxy() -> Path:
    """The proxy alone with the optimisations of a release, built if need be: about a minute the first time."""
    return _cargo("fairlead-proxy", "proxy", "--example", "proxy")


def _cargo(package: str, target: str, *words: str) -> Path:
    command = ["cargo", "build", "--locked", "--quiet", "--release", "--message-format=json", "-p", package]
    done = subprocess.run([*command, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == target:
            return Path(message["executable"])
    raise RuntimeError(f"cargo has built no {target}")


def fairlead() -> Path:
    """An interpreter with Fairlead in it, from a wheel with all optimisations."""
    tools = Path(sys.executable).parent
    wheels, environment = OUT / "wheels", OUT / "venv"
    shutil.rmtree(wheels, ignore_errors=True)
    maturin = [str(tools / "maturin"), "build", "--quiet", "--profile", "dist", "--out", str(wheels)]
    subprocess.run(maturin, cwd=ROOT, check=True)
    (wheel,) = wheels.glob("*.whl")
    python = environment / "bin" / "python"
    uv = str(tools / "uv")
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    # The proxy's side of the package needs none of its dependencies.
    install = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--reinstall",
        "--python",
        str(python),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    return python


def peer(program: str, package: str) -> Path | None:
    """The machine's program; installed from Debian's package where that is possible. None where it is not."""
    if found := shutil.which(program, path=_SYSTEM_PATH):
        return Path(found)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        install, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"{package}: {done.stderr.strip()[-300:]}", file=sys.stderr)
    found = shutil.which(program, path=_SYSTEM_PATH)
    return Path(found) if found else None


def version(*command: str) -> str:
    """The first line that a program prints about itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().partition("\n")[0]
