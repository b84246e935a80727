"""Calls of the allocator are found in a dump by the numbers that stand for names."""

import pytest

from bench.callgrind import totals

DUMP = """\
events: Ir
fn=(1) serve
10 200
cfn=(2) malloc
calls=3 0
10 90
cfn=(3) memcpy
calls=40 0
10 400
fn=(2)
0 90
fn=(4) grow
cfn=(5) realloc
calls=2 0
1 10
cfn=(2)
calls=1 0
1 30
summary: 1234
"""


def test_every_call_of_an_allocating_function_counts() -> None:
    assert totals(DUMP) == (1234, 6)


def test_a_dump_that_is_not_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="without a total"):
        totals("events: Ir\n")
