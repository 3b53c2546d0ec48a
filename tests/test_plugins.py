"""Objects named on the command line."""

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.plugins import load_object


def test_an_object_is_imported():
    assert load_object("a2v_tf.errors:A2vError", flag="--task") is A2vError


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a2v_tf.errors", "--task=a2v_tf.errors: expected package.module:NAME"),
        ("a2v_tf/errors.py:X", "--task=a2v_tf/errors.py:X: expected package.module:NAME"),
        ("a2v_tf.errors:", "--task=a2v_tf.errors:: expected package.module:NAME"),
        ("a2v_tf.errors:X", "--task=a2v_tf.errors:X: a2v_tf.errors has no 'X'"),
        (
            "a2v_tf.none:X",
            "--task=a2v_tf.none:X: cannot import a2v_tf.none: No module named 'a2v_tf.none'; "
            "expected an importable package.module:NAME (is it installed, or on PYTHONPATH?)",
        ),
    ],
)
def test_what_cannot_be_imported_is_an_error_of_one_line(value, message):
    with pytest.raises(A2vError) as error:
        load_object(value, flag="--task")
    assert str(error.value) == message


def test_a_module_that_lacks_another_says_which(tmp_path, monkeypatch):
    (tmp_path / "my_task.py").write_text("import there_is_no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(A2vError, match=r"cannot import my_task: .*'there_is_no_such_module'"):
        load_object("my_task:TASK", flag="--task")
