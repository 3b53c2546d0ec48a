"""A task, an encoder and a data source from another package, through the commands."""

import json

import pytest

from tests.conftest import run_command

PACKAGE = '''
"""What somebody could write who knows Keras."""

import keras
import numpy as np
import tensorflow as tf

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.frontend import FRONT_END
from a2v_tf.specs import EncoderConfig
from a2v_tf.tasks.crops import MIDDLE, Crops, SliceSet
from a2v_tf.tasks.task import Task

ENCODER = EncoderConfig(channels=(4, 8, 8), embedding_dim=16)


def level(crops):
    """Mean log-mel of the middle slice, `[batch, 1]`."""
    return tf.reduce_mean(crops.middle(), axis=[2, 3])


def quieter(crops):
    """The middle slice at a tenth of its level, `[batch, 1, N, F]`."""
    return crops.middle() - np.log(10.0).astype(np.float32)


TASK = Task(
    name="level",
    learning_rate=1e-3,
    loss="mean_squared_error",
    slices=(MIDDLE, SliceSet(quieter)),
    crop_frames=lambda slicing: slicing.frames,
    targets=level,
    head=lambda z, setup: keras.layers.Dense(1, name="level")(keras.layers.Flatten()(z)),
)


class Tones:
    """Tones of random frequency and level."""

    front_end = FRONT_END

    def __init__(self, bad: BadFiles):
        self.bad = bad

    def check(self, samples):
        pass

    def describe(self):
        return "tones"

    def crops(self, samples, *, seed, round_index, share=None):
        key = tf.stack([tf.cast(seed, tf.int64), tf.cast(round_index, tf.int64)])

        def tone(i):
            drawn = tf.random.stateless_uniform([2], tf.random.split(key, 1)[0] + i)
            hz = 100.0 + 2_000.0 * drawn[0]
            return drawn[1] * tf.sin(hz * tf.range(samples, dtype=tf.float32) / 2_546.5), i

        return tf.data.Dataset.range(tf.int64.max).map(tone)
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "somebody.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_somebody_elses_task_encoder_and_data(package):
    model_dir = package / "model"
    flags = [
        *("--task=somebody:TASK", "--encoder=somebody:ENCODER", "--data=somebody:Tones"),
        *(f"--model_dir={model_dir}", "--frames=32", "--batch_size=4", "--validation_examples=4"),
        *("--steps=60", "--eval_every=30"),
    ]
    run = run_command("a2v_train", *flags, here=True)
    assert "--data: tones" in run.stdout
    rows = (model_dir / "train_log.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    first, last = (float(row.split(",")[column]) for row in rows[1:])
    assert last < first
    config = json.loads((model_dir / "config.json").read_text())
    assert (config["task"], config["encoder"]) == ("somebody:TASK", "somebody:ENCODER")

    output, summary = package / "mine.tflite", package / "mine.json"
    run_command(
        "export_tflite",
        *(f"--model_dir={model_dir}", f"--output={output}", f"--summary={summary}"),
        *("--quantize", "--calibration_slices=8"),
        here=True,
    )
    content = json.loads(summary.read_text())
    assert content["exactness"]["bit_exact"]
    assert content["embedding_dim"] == 16


def test_beside_a_task_of_this_package(package):
    flags = [
        *("--task=multi_head", "--heads=somebody:TASK,autoencoder", "--head_weights=1,2"),
        *("--encoder=somebody:ENCODER", "--data=somebody:Tones", f"--model_dir={package / 'two'}"),
        *("--frames=32", "--batch_size=4", "--validation_examples=4", "--steps=1"),
    ]
    run_command("a2v_train", *flags, here=True)
    header = (package / "two" / "train_log.csv").read_text().splitlines()[0].split(",")
    assert {"level_loss", "autoencoder_loss"} <= set(header)


def test_tasks_of_one_name_get_one_line(package):
    (package / "other.py").write_text("from somebody import TASK as COPY\n")
    flags = ["--task=multi_head", "--heads=somebody:TASK,other:COPY", "--data=somebody:Tones"]
    run = run_command("a2v_train", *flags, f"--model_dir={package / 'm'}", fails=True)
    assert "expected tasks with different names" in run.stderr
