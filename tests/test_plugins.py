"""Objects named on the command line."""

import sys

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.plugins import is_reference, load_object
from a2v_tf.specs import ENCODERS, EncoderConfig, Level, MultiscaleConfig, find_encoder

MINE = EncoderConfig(channels=(4, 8), embedding_dim=16)


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = (\n", r"raised SyntaxError: .*\(my_broken\.py, line 1\)$"),
        ("\n\nx = 1 / 0\n", r"raised ZeroDivisionError: .*my_broken\.py, line 3\)$"),
        ("raise ValueError('two\\nlines')\n", r"raised ValueError: two lines \(.*, line 1\)$"),
    ],
)
def test_a_broken_module_is_an_error_of_one_line(content, message, tmp_path, monkeypatch):
    (tmp_path / "my_broken.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_broken", raising=False)
    with pytest.raises(A2vError, match=message) as error:
        load_object("my_broken:TASK", flag="--task")
    assert str(error.value).startswith("--task=my_broken:TASK: importing my_broken raised ")
    assert "\n" not in str(error.value)


def test_a_reference_is_a_module_and_a_name():
    assert is_reference("package.module:NAME")
    assert is_reference("module:name")
    for text in ("", "module", "module:", ":NAME", "tfds:a/b", "csv:labels.csv", "C:\\audio"):
        assert not is_reference(text)


def test_encoders_by_name():
    assert find_encoder("small") is ENCODERS["small"]
    assert find_encoder(f"{__name__}:MINE") is MINE
    with pytest.raises(
        A2vError, match=r"^--encoder=tiny: expected small, large, vgg6, multiscale or package"
    ):
        find_encoder("tiny")
    with pytest.raises(A2vError, match="expected an EncoderConfig or a MultiscaleConfig, not dict"):
        find_encoder("a2v_tf.specs:ENCODERS")


@pytest.mark.parametrize(
    ("channels", "embedding_dim"), [((), 4), ((8, -1), 4), ((8.5,), 4), ((8,), 0)]
)
def test_an_encoder_needs_sizes(channels, embedding_dim, monkeypatch):
    config = EncoderConfig(channels=channels, embedding_dim=embedding_dim)
    monkeypatch.setattr(sys.modules[__name__], "MINE", config)
    with pytest.raises(A2vError, match=rf"^--encoder={__name__}:MINE: .*expected positive whole n"):
        find_encoder(f"{__name__}:MINE")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MultiscaleConfig((), 4), "at least one level"),
        (MultiscaleConfig((Level((), reads=("max",)),), 4), r"level 1: channels=\(\)"),
        (MultiscaleConfig((Level((4,), reads=("max",)),), 0), "embedding_dim=0"),
        (MultiscaleConfig((Level((4,), kernel=(3, 4), reads=("max",)),), 4), "an odd number"),
        (MultiscaleConfig((Level((4,), pool=(0, 2), reads=("max",)),), 4), r"pool=\(0, 2\)"),
        (MultiscaleConfig((Level((4,), reads=("sum",)),), 4), "'sum': expected some of mean, max"),
        (MultiscaleConfig((Level((4,)),), 4), "expected reads of the last level"),
        (MultiscaleConfig((Level((4,), reads=("max",)),), 4, 0), "frequency_stride=0"),
    ],
)
def test_a_multiscale_encoder_needs_sizes_and_readings(config, message, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "MINE", config)
    with pytest.raises(A2vError, match=rf"^--encoder={__name__}:MINE: .*{message}") as error:
        find_encoder(f"{__name__}:MINE")
    assert "\n" not in str(error.value)
