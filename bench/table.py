"""The figures as CSV, for programs: what rows add up to, and every slice."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from bench.figures import Spread
from bench.results import Measured

_ROWS = (
    "case,proxy,rounds,cpu_us,cpu_us_q1,cpu_us_q3,ratio,ratio_q1,ratio_q3,p99_ratio,p99_ratio_q1,p99_ratio_q3,"
    "core,rate,p50_us,p99_us,p99_us_q1,p99_us_q3,p99_9_us,wait_p99_us,errors,foreign"
)
_SLICES = "case,round,proxy,cpu_us,core,rate,p50_us,p99_us,p99_9_us,wait_p99_us,errors,foreign"


def rows_table(cases: Iterable[Measured]) -> str:
    """A line per case and proxy; ratios are Fairlead's figure over this proxy's."""
    return _text(_ROWS, (record for each in cases for record in _rows(each)))


def slices_table(cases: Iterable[Measured]) -> str:
    """A line per slice; those of one case and round were taken within seconds."""
    return _text(_SLICES, (record for each in cases for record in _slices(each)))


def _rows(measured: Measured) -> Iterator[list[object]]:
    for row in measured.rows:
        yield [
            measured.case.name,
            row.proxy,
            row.rounds,
            *_three(row.cpu_us, 2),
            *_three(row.ratio, 3),
            *_three(row.p99_ratio, 3),
            f"{row.busy:.3f}",
            f"{row.rate:.0f}",
            f"{row.p50_us:.0f}",
            *_three(row.p99_us, 0),
            f"{row.p99_9_us:.0f}",
            f"{row.wait_p99_us:.0f}",
            row.errors,
            f"{row.foreign:.3f}",
        ]


def _slices(measured: Measured) -> Iterator[list[object]]:
    for number, found in enumerate(measured.rounds, 1):
        for proxy, each in sorted(found.items()):
            latencies = (each.p50_us, each.p99_us, each.p99_9_us, each.wait_p99_us)
            yield [
                measured.case.name,
                number,
                proxy,
                f"{each.cpu_us:.2f}",
                f"{each.busy:.3f}",
                f"{each.rate:.0f}",
                *(f"{value:.0f}" for value in latencies),
                each.errors,
                f"{each.foreign:.3f}",
            ]


def _three(spread: Spread | None, digits: int) -> list[str]:
    if spread is None:
        return ["", "", ""]
    return [f"{value:.{digits}f}" for value in (spread.median, spread.low, spread.high)]


def _text(head: str, records: Iterable[list[object]]) -> str:
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(head.split(","))
    table.writerows(records)
    return file.getvalue()
