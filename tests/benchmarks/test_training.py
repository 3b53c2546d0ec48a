"""`benchmarks/training.py`: what it counts, compares and prints."""

import importlib.util
import json
import pathlib
import sys

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import flags

from a2v_tf.errors import run_app
from a2v_tf.frontend import FRONT_END
from a2v_tf.models.layer_table import layer_table
from a2v_tf.specs import ENCODERS, EncoderConfig, InputStats, Slicing
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.task import Setup, find_tasks

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/training.py"
TINY = EncoderConfig(channels=(2, 4), embedding_dim=8)
QUICK = ["--batch_size=2", "--steps=1", "--rounds=1", "--seconds=0", "--clips=16", "--cores=1"]


@pytest.fixture
def training(monkeypatch):
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("training_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "training_benchmark", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(training, monkeypatch):
    """Run the script, its parts too, in this process; returns its exit code."""

    def run_part(part, environment, cores=None):
        directory = environment.get("TFDS_DATA_DIR")
        builder = tfds.builder
        with monkeypatch.context() as context:
            # What the variable does, which TFDS reads only when it is imported.
            context.setattr(tfds, "builder", lambda name: builder(name, data_dir=directory))
            return json.loads(json.dumps(training.PARTS[part]()))

    def start(*options):
        known = set(flags.FLAGS)
        monkeypatch.setattr(training, "run_part", run_part)
        monkeypatch.setattr(sys, "argv", ["training", *options])
        try:
            with pytest.raises(SystemExit) as exit:
                run_app(training.main, training.define_flags)
        finally:
            flags.FLAGS.remove_flag_values(set(flags.FLAGS) - known)
            flags.FLAGS.unparse_flags()
        return exit.value.code or 0

    return start


@pytest.mark.slow
def test_tables_and_json(run, training, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(training, "ENCODERS", {"small": TINY})
    monkeypatch.setattr(training, "_PEAK_SIZE", {"cpu": 8, "gpu": 8})
    monkeypatch.setattr(training, "_COPIED", {"cpu": 8, "gpu": 8})
    options = [*QUICK, "--tasks=cbow,distill", "--encoders=small", "--frontends=host,device"]
    assert run(*options, f"--output={tmp_path}/out.json") == 0
    out = capsys.readouterr().out
    assert "| naive pipeline |" in out
    assert out.count("| tensorflow | small | cbow |") == 2
    assert out.count("| tensorflow | small | distill |") == 1
    assert "tensorflow on CPU: a matrix product of float32" in out
    content = json.loads((tmp_path / "out.json").read_text())
    stages = [row["stage"].partition(":")[0] for row in content["input"]]
    assert stages == ["read", "crop", "log-mel", "slices", "raw crops", "naive pipeline"]
    for row in content["input"]:
        assert row["cores"]["1"]["efficiency"] == 1
        assert row["cores"]["1"]["per_s"] > 0
    for row in content["training"]:
        assert row["of_floor"] == pytest.approx(row["step"] / row["floor"])
        found = {name for name in ("whole", "cached") if len(row.get(f"{name}_per_s", ())) == 1}
        if row["task"] == "distill":
            assert found == {"cached"}
        else:
            assert found == {"whole"} | ({"cached"} if row["frontend"] == "host" else set())
    assert content["command"].endswith(" ".join([*options, f"--output={tmp_path}/out.json"]))


def test_efficiency_is_against_the_fewest_cores(training):
    def found(rate):
        return {"slices": {"per_s": [1.0, rate, 1e9], "cpu_us": [3.0]}}

    (row,) = training.input_table({1: found(100.0), 4: found(320.0)})
    assert row["cores"][4] == {"per_s": 320.0, "efficiency": 0.8, "cpu_us": 3.0}


def test_operations_are_those_of_the_summary(training):
    """Of the encoder, four times for CBoW; but for the two a value that Table 1 adds."""
    model = multi_head.build(
        find_tasks(["temporal_gap"]),
        Setup(ENCODERS["small"], Slicing(), FRONT_END.mel_bins, InputStats()),
    )
    rows = layer_table("small")
    outputs = sum(
        2 * 4 * row.output[0] * row.output[1] * row.output[2] for row in rows if "Conv" in row.name
    )  # before pooling, which quarters them
    encoder = sum(row.flops for row in rows) - outputs
    head = 2 * (2 * 128 * 64 + 64)
    work = training.work_of(model, batch_size=10, bytes_per_number=4)
    assert work.operations == 10 * 3 * (2 * encoder + head)
    half = training.work_of(model, batch_size=10, bytes_per_number=2)
    assert half.operations == work.operations
    assert work.bytes / 2 < half.bytes < work.bytes  # Adam's numbers keep four bytes


def test_naive_pipeline_gives_the_same_shapes(training, tmp_path, monkeypatch):
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=tmp_path))
    source = training.open_source(training.write_noise(tmp_path, 16))
    slicing = Slicing(frames=8, context=1)
    datasets = training.stages(source, slicing, 2, 3)
    context, middle = next(iter(datasets["naive pipeline"]))
    ours = next(iter(datasets["slices: all, for --frontend=host"]))
    assert context.shape == ours[0].shape == (2, 2, 8, 64)
    assert middle.shape == tf.squeeze(ours[1]["cbow"], 1).shape


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--tasks=sudoku", "expected some of cbow"),
        ("--backends=torch", "expected some of tensorflow, jax"),
        ("--cores=4096", "expected whole numbers from 0 to "),
        ("--data=tfds:no_such_data", "no_such_data"),
    ],
)
def test_bad_input_gets_one_line(run, capsys, option, message):
    assert run(*QUICK, option) == 1
    text = capsys.readouterr()
    assert message in text.err + text.out
    assert "Traceback" not in text.err


@pytest.mark.slow
def test_for_real(training, monkeypatch, capsys):
    """With its processes, under both backends if there are two."""
    backends = "tensorflow,jax" if importlib.util.find_spec("jax") else "tensorflow"
    known = set(flags.FLAGS)
    options = [*QUICK, "--tasks=cbow", "--encoders=small", f"--backends={backends}"]
    monkeypatch.setattr(sys, "argv", ["training", *options])
    try:
        with pytest.raises(SystemExit) as exit:
            run_app(training.main, training.define_flags)
    finally:
        flags.FLAGS.remove_flag_values(set(flags.FLAGS) - known)
        flags.FLAGS.unparse_flags()
    assert not exit.value.code
    out = capsys.readouterr().out
    for backend in backends.split(","):
        assert f"| {backend} | small | cbow | host | float32 |" in out
