"""What the demo shows: a live table on a terminal, a summary elsewhere."""

import sys
from shlex import quote

from fairlead import api
from fairlead.lab._load import Tally

_HOME = "\x1b[H"
_CLEAR_LINE = "\x1b[K"
_CLEAR_BELOW = "\x1b[J"
_BAR = 30


class Screen:
    """Draws over itself; only for a terminal."""

    def __init__(self) -> None:
        self._started = False

    def draw(self, lines: list[str]) -> None:
        """Shows `lines` in place of what was shown before."""
        start = _HOME if self._started else "\x1b[2J" + _HOME
        self._started = True
        sys.stdout.write(start + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines) + _CLEAR_BELOW)
        sys.stdout.flush()


def endpoint_lines(endpoints: tuple[api.Endpoint, ...]) -> list[str]:
    """The table of endpoints: share, success rate and latency, as the gateway sees them."""
    lines = [f"{'POD':<14}{'ADDRESS':<20}{'STATE':<11}{'SHARE':>7}{'SUCCESS':>9}{'P50':>10}  "]
    for one in endpoints:
        share, traffic = one.status.share, one.status.traffic
        success = traffic.success_rate if traffic else None
        latency = traffic.latency_p50_ms if traffic else None
        pod = (one.spec.pod or "").rpartition("/")[2]
        lines.append(
            f"{pod:<14}{f'{one.spec.address}:{one.spec.port}':<20}{one.status.state:<11}"
            f"{_percent(share):>7}{_percent(success):>9}{f'{latency:.1f} ms' if latency else '-':>10}  "
            f"{'█' * round((share or 0) * _BAR)}"
        )
    return lines


def tally_line(tally: Tally) -> str:
    """The client's view in a line."""
    lost, failed = sum(tally.lost.values()), sum(tally.errors.values())
    return (
        f"client: {tally.answered} answered, {lost} lost, {failed} answered 500 by a Pod itself; "
        f"latency p50 {tally.percentile(0.5):.1f} ms, p99 {tally.percentile(0.99):.1f} ms"
    )


def hints(address: str, port: int, host: str, runtime_dir: str) -> list[str]:
    """What to try in another terminal."""
    return [
        "Try it from another terminal:",
        f"  curl -H 'Host: {host}' http://{address}:{port}/",
        f"  XDG_RUNTIME_DIR={quote(runtime_dir)} {quote(sys.executable)} -m fairlead get endpoints -w",
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f}%"
