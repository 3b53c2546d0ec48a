"""How commands start and fail: one line, exit code 1; no heavy import before the flags are read."""

import importlib.metadata
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import a2v_tf.audio
import a2v_tf.runtime
from a2v_tf import errors
from a2v_tf.errors import A2vError, require, run_app
from tests.conftest import forgotten_flags, run_command

HEAVY = ("tensorflow", "keras", "pandas", "sklearn", "matplotlib")
COMMANDS = {
    entry_point.name: entry_point.module
    for entry_point in importlib.metadata.entry_points(group="console_scripts")
    if entry_point.module.startswith("a2v_tf.")
}


def modules_of(package):
    return [
        f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)
    ]


@pytest.mark.parametrize(
    "modules",
    [
        ["a2v_tf", "a2v_tf.errors", "a2v_tf.files", "a2v_tf.frontend", "a2v_tf.pretrained"],
        modules_of(a2v_tf.audio),
        modules_of(a2v_tf.runtime),
        *([module] for module in sorted(COMMANDS.values())),
    ],
    ids=lambda modules: modules[0],
)
def test_importing_needs_nothing_heavy(modules):
    found = f"[x for x in {HEAVY} if x in sys.modules]"
    code = f"import sys, {', '.join(modules)}; print({found})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("[]\n", "")


# Flags -------------------------------------------------------------------------------------------


def error_of(name, *options):
    run = run_command(name, *options, fails=True)
    (line,) = run.stderr.splitlines()
    assert run.returncode == 1
    assert run.stdout == ""
    return line


def test_a_required_flag_is_shown_by_an_example():
    assert error_of("a2v_stream") == (
        "error: --model is required, as in: a2v_stream --model=pretrained --audio=song.flac"
    )
    assert error_of("a2v_evaluate").startswith(
        "error: --model_dir and --downstream are required, as in: a2v_evaluate --model_dir=DIR"
    )
    assert error_of("export_tflite", "--model_dir=x").startswith(
        "error: --output is required, as in: export_tflite --model_dir="
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--outptu=x"], "Unknown command line flag 'outptu'. Did you mean: output ?"),
        (["--seed=x"], "--seed=x: expected a whole number"),
        (["--seed=100000000000000000000"], "--seed=100000000000000000000: expected at most 2147"),
        (["--seed=-1"], "--seed=-1: -1 is not a non-negative integer"),
        (["--output="], "--output= is empty: expected a value"),
        (["--hop_ms=nan"], "--hop_ms=nan: expected a finite number"),
        (["--hop_ms=-inf"], "--hop_ms=-inf: expected a finite number"),
        (["--hop_ms=x"], "--hop_ms=x: expected a number"),
        (["--mode=both"], "--mode=both: value should be one of <streaming|window>"),
        (["stray"], "unexpected argument 'stray': every option is a --flag=value"),
        (
            ["--ranges=mse"],
            "--calibration_data, --calibration_slices, --activations, --ranges need",
        ),
    ],
)
def test_bad_flags_are_one_line(options, line):
    given = error_of("export_tflite", "--model_dir=x", "--output=y", *options)
    assert given.startswith("error: ")
    assert line in given


def test_help_is_no_failure():
    run = run_command("a2v_stream", "--help", here=True)
    assert "Embed audio as it arrives" in run.stdout
    assert "--examples" in run.stdout
    assert run.stderr == ""


# Packages that are not installed -----------------------------------------------------------------


def test_a_missing_optional_package_is_named_with_its_extra(monkeypatch):
    require("pyarrow", "x")
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(
        A2vError, match=r"^--output=x needs pyarrow: pip install 'a2v_tf\[parquet\]'"
    ):
        require("pyarrow", "--output=x")


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Run a script in a process to which some packages are not installed."""

    def run(name, *options, packages):
        hide = f"""
import importlib.util, runpy, sys
real = importlib.util.find_spec
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
importlib.util.find_spec = lambda name: None if name in {packages!r} else real(name)
sys.argv = {[name, *options]!r}
import importlib.metadata
(script,) = importlib.metadata.entry_points(group="console_scripts", name={name!r})
script.load()()
"""
        return subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True)

    return run


@pytest.mark.parametrize(
    ("packages", "line"),
    [
        (HEAVY, "needs TensorFlow: pip install 'a2v_tf[cpu]' (or [gpu], [tf])"),
        (("keras", "tensorflow"), "needs TensorFlow: pip install 'a2v_tf[cpu]' (or [gpu], [tf])"),
    ],
)
def test_a_command_without_its_extra_says_which(without, packages, line, tmp_path):
    options = ["--model_dir=pretrained", f"--output={tmp_path}/x.tflite"]
    run = without("export_tflite", *options, packages=packages)
    assert (run.returncode, run.stderr) == (1, f"error: export_tflite {line}\n")
    assert not list(tmp_path.iterdir())


def test_beside_a_tensorflow_the_smaller_extra_is_named(tmp_path, monkeypatch, capsys):
    def main(argv):
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr(sys, "argv", ["/usr/bin/a2v_tool"])
    with forgotten_flags(), pytest.raises(SystemExit) as stopped:
        run_app(main)
    assert stopped.value.code == 1
    line = "error: a2v_tool needs scikit-learn: pip install 'a2v_tf[train]'\n"
    assert capsys.readouterr().err == line


def test_a_module_that_nobody_knows_is_a_bug_and_shows_where(without, tmp_path):
    options = ["--model_dir=pretrained", f"--output={tmp_path}/x.tflite"]
    run = without("export_tflite", *options, packages=("flatbuffers",))
    assert run.returncode == 1
    assert "Traceback" in run.stderr


def test_files_need_what_writes_them(without, tmp_path):
    sound = pathlib.Path(__file__).parent / "no.wav"
    options = ["--model=pretrained", f"--audio={sound}", f"--output={tmp_path}/x.parquet"]
    run = without("a2v_embed", *options, packages=("pyarrow",))
    assert run.stderr == (
        f"error: --output='{tmp_path}/x.parquet' needs pyarrow: pip install 'a2v_tf[parquet]'\n"
    )
    options = ["--model=pretrained", f"--audio={sound}", f"--plot={tmp_path}/x.png"]
    run = without("a2v_stream", *options, packages=("matplotlib",))
    assert run.stderr == (
        f"error: --plot='{tmp_path}/x.png' needs matplotlib: pip install 'a2v_tf[plot]'\n"
    )


def test_a_damaged_file_that_tensorflow_reads_is_one_line(tmp_path, capsys):
    tensorflow = pytest.importorskip("tensorflow")
    (tmp_path / "clips.tfrecord").write_bytes(bytes(99))
    with pytest.raises(SystemExit), errors._errors_in_one_line():
        list(tensorflow.data.TFRecordDataset(str(tmp_path / "clips.tfrecord")))
    line = capsys.readouterr().err
    assert line.startswith("error: a file of a data set is damaged: corrupted record at 0 ")
    assert line.endswith(": expected it as it was built\n")


def test_a_name_that_is_no_text_in_the_locale_is_one_line(capsys):
    tensorflow = pytest.importorskip("tensorflow")
    escaped = "mod\udcc3\udca8le"  # as Python reads UTF-8 in an ASCII locale
    for use in (tensorflow.constant, tensorflow.io.gfile.GFile(escaped, "w").write, str.encode):
        with pytest.raises(SystemExit), errors._errors_in_one_line():
            use(escaped)
        line = capsys.readouterr().err
        assert line.startswith("error: TensorFlow cannot take a name with letters beyond the loc")
        assert line.count("\n") == 1
