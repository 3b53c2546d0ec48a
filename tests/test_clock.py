"""Nothing is timed, named or ordered by the clock that users and time servers set."""

import ast
import os

import pytest

from a2v_tf.training.checkpoints import DIRECTORY, latest_checkpoint
from tests.test_layout import MODULES

_FUTURE = 4_000_000_000  # the year 2096
_WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}


@pytest.mark.parametrize("name", MODULES)
def test_the_clock_may_jump(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not {".".join(word.split(".")[-2:]) for word in used} & _WALL_CLOCK


@pytest.mark.parametrize("newest", [2, 10, 9])
def test_a_run_goes_on_after_its_last_step_whatever_its_files_are_dated(tmp_path, newest):
    (tmp_path / DIRECTORY).mkdir()
    for step in (2, 10, 9):
        path = tmp_path / DIRECTORY / f"step_{step:08d}.weights.h5"
        path.touch()
        os.utime(path, (_FUTURE, _FUTURE) if step == newest else (0, 0))
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 10
