"""Several devices and processes train what one would: `a2v_train --strategy`."""

import csv
import importlib.util
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.data.labelled import open_labelled
from a2v_tf.data.sampling import Share
from a2v_tf.data.sources import open_source
from a2v_tf.errors import A2vError
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import EncoderConfig, InputStats, Slicing
from a2v_tf.tasks.task import find_tasks
from a2v_tf.training import strategy
from a2v_tf.training.batches import labelled_batches, task_batches
from a2v_tf.training.checkpoints import checkpoint_at, save_model
from a2v_tf.training.settings import TrainSettings
from tests.conftest import command, run_command

pytestmark = pytest.mark.usefixtures("quick_jax")
jax_only = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is missing")

SLICING = Slicing(frames=8, context=1, gap=2, max_frames=20)
END = -1
PATIENCE = 1800  # seconds, on a machine that has other things to do

# Noise is drawn in the model, pairs of slices in the pipeline; an example is about a second.
QUICK = [
    "--task=multi_head",
    "--heads=autoencoder,temporal_gap",
    "--variant=variational",
    "--frames=32",
    "--context=1",
    "--batch_size=8",
    "--learning_rate=1e-4",  # less, so that rounding grows less from step to step
    "--eval_every=2",
    "--validation_examples=4",
    "--seed=3",
]
# Runs `a2v_train` where TensorFlow sees two devices.
TWO_TF_DEVICES = """
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from a2v_tf.commands import train
train.run()
"""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for i in range(4):
        pcm = 0.1 * (i + 1) * rng.standard_normal(16_000 * (3 + i))
        soundfile.write(folder / f"{i}.wav", pcm, 16_000)
    return folder


@pytest.fixture(scope="module")
def labels(recordings):
    clips = [(0, "low", "train"), (1, "high", "train"), (2, "low", "test"), (3, "high", "test")]
    lines = [f"{recordings}/{i}.wav,{label},{split}\n" for i, label, split in clips]
    path = recordings / "labels.csv"
    path.write_text("path,label,split\n" + "".join(lines))
    return path


# ---- Shares of the data


@settings(deadline=None, max_examples=10)
@given(
    workers=st.integers(2, 3),
    block=st.integers(1, 3),
    epochs=st.lists(st.integers(0, 4), min_size=1, max_size=12),
)
def test_shares_of_a_stream_join_to_the_stream(workers, block, epochs):
    counts = iter(range(1000))
    stream = [draw for size in epochs for draw in [*(next(counts) for _ in range(size)), END]]
    draws = tf.data.Dataset.from_tensor_slices(np.array(stream, np.int64))
    parts = [
        list(Share(worker, workers, block).of(draws, lambda x: x == END).as_numpy_iterator())
        for worker in range(workers)
    ]
    for worker, part in enumerate(parts):
        mine = [draw for draw in range(sum(epochs)) if draw // block % workers == worker]
        assert [draw for draw in part if draw != END] == mine
        assert (END, END) not in list(itertools.pairwise(part))
        assert part[:1] != [END]


@pytest.mark.parametrize("names", [["cbow"], ["temporal_gap", "arrow_of_time"], ["triplet"]])
def test_batches_of_workers_join_to_those_of_one(recordings, names):
    source = open_source(str(recordings))

    def batches(share):
        one_round = task_batches(
            source, find_tasks(names), SLICING, batch_size=6, seed=1, gain_db=3.0, share=share
        )
        return list(one_round(2).take(4).as_numpy_iterator())  # two epochs: 24 of 10 strata

    whole, *parts = map(batches, (Share(), Share(0, 2), Share(1, 2)))
    for batch, first, second in zip(whole, *parts, strict=True):
        joined = tf.nest.map_structure(lambda a, b: np.concatenate([a, b]), first, second)
        tf.nest.map_structure(np.testing.assert_array_equal, joined, batch)


def test_batches_of_labelled_clips_join_too(recordings, labels):
    (data,) = open_labelled(f"csv:{labels}")

    def batches(share):
        one_round = labelled_batches([data], 8, batch_size=4, seed=1, share=share)
        return list(one_round(0).take(3).as_numpy_iterator())

    whole, *parts = map(batches, (Share(), Share(0, 2), Share(1, 2)))
    for batch, first, second in zip(whole, *parts, strict=True):
        joined = tf.nest.map_structure(lambda a, b: np.concatenate([a, b]), first, second)
        tf.nest.map_structure(np.testing.assert_array_equal, joined, batch)


def test_a_worker_reads_its_share_of_the_files_alone(recordings, monkeypatch):
    source = open_source(str(recordings))
    read = []
    monkeypatch.setattr(
        source, "_read", lambda *crop: read.append(crop) or np.ones(crop[-1], np.float32)
    )
    crops = source.crops(1600, seed=0, round_index=0, share=Share(0, 4, 5))
    list(crops.take(20))
    assert 20 <= len(read) < 40  # and what it reads ahead


# ---- What cannot work


def test_reads_tf_config():
    text = '{"cluster": {"chief": ["a:1"], "worker": ["b:2", "c:3"]}, "task": %s}'
    assert strategy.cluster(text % '{"type": "worker", "index": 1}') == (["a:1", "b:2", "c:3"], 2)
    assert strategy.cluster(text % '{"type": "chief", "index": 0}') == (["a:1", "b:2", "c:3"], 0)


@pytest.mark.parametrize(
    "tf_config",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_unusable_tf_config_gets_one_line(tf_config, recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config)
    flags = [f"--data={recordings}", f"--model_dir={tmp_path}", "--strategy=multi_worker"]
    run = run_command("a2v_train", *flags, fails=True)
    assert f"TF_CONFIG={tf_config!r}: expected" in run.stderr
    assert "Traceback" not in run.stderr


def test_what_cannot_be_spread_gets_one_line(recordings, tmp_path):
    flags = [f"--data={recordings}", f"--model_dir={tmp_path}", "--strategy=multi_worker"]
    run = run_command("a2v_train", *flags, fails=True)
    assert "expected KERAS_BACKEND=jax" in run.stderr
    assert "Traceback" not in run.stderr

    three = strategy.Strategy()
    three.devices = 3
    run = TrainSettings(batch_size=4, strategy="mirrored", model_dir="x")
    with pytest.raises(A2vError, match="--batch_size=4: expected a multiple of the 3 devices"):
        strategy.check_settings(three, run)

    second = strategy.Strategy()
    second.from_chief = lambda make: {**make(), "batch_size": 8}
    with pytest.raises(A2vError, match="--batch_size=4: expected 8, as for the first"):
        strategy.check_settings(second, run)

    assert checkpoint_at(tmp_path, 0) is None
    with pytest.raises(A2vError, match="that all workers share"):
        checkpoint_at(tmp_path, 3)


def test_files_hold_batch_norm_that_every_backend_loads(tmp_path):
    encoder = build_encoder(EncoderConfig((2,), 3), 8, 8, InputStats())
    model = keras.Sequential([encoder])
    layer = encoder.get_layer("conv1_bn")
    layer.synchronized = True
    save_model(model, tmp_path / "model.keras")
    assert layer.synchronized
    (loaded,) = keras.models.load_model(tmp_path / "model.keras").layers
    assert not loaded.get_layer("conv1_bn").synchronized


# ---- Runs


def start(recordings, model_dir, *flags, worker=None, port=None, driver=None, env=()):
    environment = {**os.environ, **dict(env)}
    if worker is not None:
        addresses = [f"localhost:{port}", f"localhost:{port + 1}"]
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        environment["KERAS_BACKEND"] = "jax"
        flags = ["--strategy=multi_worker", *flags]
    program = [sys.executable, "-c", driver] if driver else [command("a2v_train")]
    output = (model_dir.parent / f"{model_dir.name}.{worker}.txt").open("w")
    return subprocess.Popen(
        [*program, f"--data={recordings}", f"--model_dir={model_dir}", *QUICK, *flags],
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def start_two(recordings, model_dir, *flags):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [start(recordings, model_dir, *flags, worker=i, port=port) for i in range(2)]


def output(model_dir, worker=None):
    return (model_dir.parent / f"{model_dir.name}.{worker}.txt").read_text()


def finish(processes, model_dir):
    for worker, process in enumerate(processes):
        code = process.wait(timeout=PATIENCE)
        assert code == 0, output(model_dir, worker if len(processes) > 1 else None)[-3000:]


def assert_same_run(model_dir, other, rtol=1e-4):
    ours, theirs = map(log_rows, (model_dir, other))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=rtol)
    weights, expected = map(last_weights, (model_dir, other))
    for a, b in zip(weights, expected, strict=True):
        # Adam turns the rounding of small gradients into steps of up to the learning rate.
        np.testing.assert_allclose(a, b, rtol=rtol, atol=3e-4)
        assert np.abs(a - b).mean() < 1e-5


def log_rows(model_dir):
    with (model_dir / "train_log.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    for row in rows:
        del row["examples_per_s"]
    return rows


def last_weights(model_dir):
    return keras.models.load_model(model_dir / "encoder_last.keras", compile=False).get_weights()


@pytest.fixture(scope="module")
def one_worker(recordings, tmp_path_factory):
    """A run of six rounds by one process on one device, under JAX."""
    model_dir = tmp_path_factory.mktemp("one") / "run"
    process = start(recordings, model_dir, "--steps=12", env={"KERAS_BACKEND": "jax"})
    finish([process], model_dir)
    return model_dir


@jax_only
@pytest.mark.slow
def test_two_workers_train_what_one_does(recordings, one_worker, tmp_path):
    model_dir = tmp_path / "run"
    finish(start_two(recordings, model_dir, "--steps=12"), model_dir)
    assert_same_run(model_dir, one_worker)
    assert "--strategy: 2 devices, process 1 of 2" in output(model_dir, 0)
    assert "loss:" in output(model_dir, 0)
    assert "loss:" not in output(model_dir, 1)
    assert not list(model_dir.glob("worker_*"))
    assert list((model_dir / "tensorboard" / "images").iterdir())


@jax_only
@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_is_killed_and_the_run_goes_on(recordings, one_worker, tmp_path, victim):
    model_dir = tmp_path / "run"
    processes = start_two(recordings, model_dir, "--steps=12")
    deadline = time.monotonic() + PATIENCE
    while not (model_dir / "checkpoints" / "step_00000002.weights.h5").exists():
        assert all(process.poll() is None for process in processes), output(model_dir, victim)
        assert time.monotonic() < deadline
        time.sleep(0.01)
    processes[victim].send_signal(signal.SIGKILL)
    processes[victim].wait()
    survivor = 1 - victim
    assert processes[survivor].wait(timeout=PATIENCE) != 0
    said = output(model_dir, survivor)
    # JAX itself ends a process if it sees that the chief is gone before anyone asks the chief.
    assert "error: lost another worker" in said or "another task died" in said
    assert "Traceback" not in said
    assert len(log_rows(model_dir)) < 6

    finish(start_two(recordings, model_dir, "--steps=12"), model_dir)
    assert "Resuming" in output(model_dir, 0)
    assert_same_run(model_dir, one_worker)


@jax_only
@pytest.mark.slow
def test_two_devices_of_jax_train_what_one_does(recordings, one_worker, tmp_path):
    model_dir = tmp_path / "run"
    env = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    process = start(recordings, model_dir, "--steps=12", "--strategy=mirrored", env=env)
    finish([process], model_dir)
    assert_same_run(model_dir, one_worker)


@pytest.mark.slow
def test_two_devices_of_tensorflow_train_what_one_does(recordings, labels, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    # Two devices draw other noise than one, so no noise here.
    flags = ["--steps=6", "--variant=plain", f"--probe=csv:{labels}"]
    finish([start(recordings, one, *flags)], one)
    finish([start(recordings, two, *flags, "--strategy=mirrored", driver=TWO_TF_DEVICES)], two)
    assert_same_run(two, one, rtol=1e-3)  # it sums the squares of batch norm otherwise
    encoder = keras.models.load_model(two / "encoder.keras", compile=False)
    norms = [x for x in encoder.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert norms
    assert not any(layer.synchronized for layer in norms)
