"""Columns as kubectl prints them: padded to the widest cell, three spaces apart, nothing after the last."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

GAP = 3
NONE = "<none>"


def lines(rows: Sequence[Sequence[str]], widths: Sequence[int] = ()) -> Iterable[str]:
    """The rows, each column at least as wide as `widths` says."""
    if not rows:
        return
    least = [*widths, *([0] * (len(rows[0]) - len(widths)))]
    wide = [max(least[column], *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    for row in rows:
        padded = (cell.ljust(width + GAP) for cell, width in zip(row[:-1], wide[:-1], strict=True))
        yield "".join(padded) + row[-1]


def age(created: str | None, now: datetime) -> str:
    """How long ago, in kubectl's two-unit form."""
    try:
        then = datetime.fromisoformat(created or "")
    except ValueError:
        return "<unknown>"
    if then.timestamp() <= 0:
        return "<unknown>"  # a directory's object without a creationTimestamp
    seconds = max(0, int((now - then.astimezone(UTC)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y{days % 365}d"


def percent(part: float | None) -> str:
    """A part of one as a percentage."""
    return "-" if part is None else f"{part * 100:.1f}%"


def milliseconds(value: float | None) -> str:
    """A latency."""
    if value is None:
        return "-"
    return f"{value:.2f}ms" if value < 10 else f"{value:.0f}ms"
