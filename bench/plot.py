"""Grouped bars as SVG, drawn by hand: one picture needs no library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Bar(NamedTuple):
    """A value with its spread."""

    name: str
    value: float
    low: float
    high: float


_COLOURS = ("#0b6e4f", "#8d99ae", "#c8b6a6", "#5f7ea0")
_WIDTH, _LABEL, _BAR, _GAP, _HEAD = 760, 250, 16, 14, 64
_RIGHT = 70


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Horizontal bars, a group per case; every group is to a scale of its own, and each bar tells its value."""
    names = list(dict.fromkeys(bar.name for _, group in groups for bar in group))
    colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
    height = _HEAD + sum(len(group) * _BAR + _GAP for _, group in groups)
    box, font = f"0 0 {_WIDTH} {height}", "system-ui, sans-serif"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="{font}" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for index, name in enumerate(names):
        x = 10 + index * 110
        parts.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colours[name]}"/>')
        parts.append(f'<text x="{x + 18}" y="44">{escape(name)}</text>')
    top = _HEAD
    for label, group in groups:
        middle = top + len(group) * _BAR / 2 + 4
        parts.append(f'<text x="{_LABEL - 10}" y="{middle:.0f}" text-anchor="end">{escape(label)}</text>')
        scale = (_WIDTH - _LABEL - _RIGHT) / max((bar.high for bar in group), default=1.0)
        for bar in group:
            parts += _bar(bar, top, scale, colours[bar.name])
            top += _BAR
        top += _GAP
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(bar: Bar, top: float, scale: float, colour: str) -> list[str]:
    width, middle = bar.value * scale, top + _BAR / 2
    low, high = _LABEL + bar.low * scale, _LABEL + bar.high * scale
    text = f"{bar.value:.1f}" if bar.value < 100 else f"{bar.value:,.0f}"
    parts = [
        f'<rect x="{_LABEL}" y="{top + 1:.0f}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>',
        f'<text x="{max(high, _LABEL + width) + 6:.0f}" y="{middle + 4:.0f}">{text}</text>',
    ]
    if bar.high > bar.low:
        whisker = f'x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"'
        parts.append(f'<line {whisker} stroke="#222"/>')
    return parts
