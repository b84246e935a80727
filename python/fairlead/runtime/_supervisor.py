"""`fairlead run`: starts controller and proxy and keeps them running.

Laws:
1. It knows neither Kubernetes nor HTTP: what it imports cannot fail at the wrong time.
2. Children live in process groups of their own: a Ctrl-C of the terminal reaches them through the supervisor, in
   the right order.
3. If the supervisor itself is killed, nobody would start a dead half again, so the kernel sends both SIGTERM: the
   proxy drains gracefully and exits, the controller exits. The proxy's lock is inherited, so that a new `run` is
   refused until the last request is served. (A controller's death does not touch the proxy.)
4. As process 1 of a container it also reaps what others left.
5. SIGHUP is the end of the terminal where there is one, and else, as for other daemons, no reason to stop.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from fairlead.runtime._supervision import Effect, Exit, GiveUp, Half, Signal, Start, Supervision

_WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1
_FOREVER_S = 3600.0


class Supervisor:
    """The processes and signals around a Supervision."""

    def __init__(self, commands: dict[Half, list[str]], *, proxy_lock: int, drain_s: float) -> None:
        """`proxy_lock`: the descriptor of the held lock, which the proxy inherits."""
        self._commands = commands
        self._proxy_lock = proxy_lock
        self._supervision = Supervision(drain_s=drain_s)
        self._running: dict[Half, subprocess.Popen[bytes]] = {}
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def run(self) -> int:
        """Runs until both halves have ended for good; returns the exit code. Needs the main thread."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            code = self._do(self._supervision.begin(time.monotonic()))
            while code is None:
                code = self._do(self._wait())
            return code
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _wait(self) -> list[Effect]:
        """The next signal or the next time, as effects."""
        next_at = self._supervision.next_at()
        pause = _FOREVER_S if next_at is None else max(0.0, next_at - time.monotonic())
        received = signal.sigtimedwait(_WATCHED, pause)
        if received is None:
            return self._supervision.tick(time.monotonic())
        match received.si_signo:
            case signal.SIGCHLD:
                return self._reap()
            case signal.SIGINT:
                return self._supervision.interrupt(time.monotonic())
            case signal.SIGHUP if not sys.stderr.isatty():
                _note("nothing to reload: manifests are followed as they change")
                return []
            case _:
                _note("stopping: the proxy drains")
                return self._supervision.terminate(time.monotonic())

    def _reap(self) -> list[Effect]:
        effects: list[Effect] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return effects
            if pid == 0:
                return effects
            for half, process in list(self._running.items()):
                if process.pid == pid:
                    process.returncode = code = os.waitstatus_to_exitcode(status)
                    del self._running[half]
                    now = time.monotonic()
                    effects += self._supervision.exited(half, code, now)
                    again = self._supervision.starts_at(half)
                    told = {} if again is None else {"again_in_s": round(again - now, 2)}
                    _note(
                        "ended",
                        "info" if code == 0 else "warning",
                        half=half.value,
                        pid=pid,
                        code=code,
                        **told,
                    )

    def _do(self, effects: list[Effect]) -> int | None:
        for effect in effects:
            match effect:
                case Start():
                    self._start(effect.half)
                case Signal():
                    process = self._running.get(effect.half)
                    if process is not None:
                        os.kill(process.pid, effect.number)
                case GiveUp():
                    _note(
                        "cannot be started, see what it says above; stopping",
                        "error",
                        half=effect.half.value,
                        code=effect.code,
                    )
                case Exit():
                    return effect.code
        return None

    def _start(self, half: Half) -> None:
        process = subprocess.Popen(
            self._commands[half],
            stdin=subprocess.DEVNULL,
            process_group=0,
            pass_fds=(self._proxy_lock,) if half is Half.PROXY else (),
            preexec_fn=self._in_child(os.getpid()),  # noqa: PLW1509 - there is one thread
        )
        self._running[half] = process
        _note("started", half=half.value, pid=process.pid)

    def _in_child(self, parent: int) -> Callable[[], None]:
        """What the child does before it becomes its program."""

        def prepare() -> None:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # it died before we asked to be told
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, set())

        return prepare


def run_told(told: str) -> int:
    """Runs the supervisor that the command line has prepared (see `Supervised`); returns the exit code."""
    supervised = json.loads(told)
    commands = {half: supervised[half.value] for half in Half}
    return Supervisor(commands, proxy_lock=supervised["proxy_lock"], drain_s=supervised["drain_s"]).run()


def _note(event: str, level: str = "info", /, **fields: object) -> None:
    """A line of the log, in the form that `fairlead.base` gives the others."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if sys.stderr.isatty():
        told = " ".join(f"{name}={value}" for name, value in fields.items())
        line = f"{stamp} [{level:9}] {event:30} component=supervisor {told}"
    else:
        line = json.dumps(
            {"component": "supervisor", **fields, "event": event, "level": level, "timestamp": stamp}
        )
    # A full disk, or a reader that is gone, is no reason to stop.
    with contextlib.suppress(OSError):
        sys.stderr.write(line.rstrip() + "\n")
        sys.stderr.flush()
