"""Nothing is timed, named or ordered by the clock that users and time servers set."""

import ast

import pytest

from tests.test_layout import MODULES

_WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}


@pytest.mark.parametrize("name", MODULES)
def test_the_clock_may_jump(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not {".".join(word.split(".")[-2:]) for word in used} & _WALL_CLOCK
