"""Log-mel and slicing in the training step give the same result as on the host, for every task."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from a2v_tf import frontend
from a2v_tf.frontend import FRONT_END, float_to_pcm, pcm_to_float
from a2v_tf.models.in_stream import trained_part
from a2v_tf.models.on_device import OnDevice, log_mel
from a2v_tf.specs import EncoderConfig
from a2v_tf.tasks import TASKS, multi_head
from a2v_tf.tasks.task import Setup, find_tasks
from a2v_tf.training.batches import task_batches
from tests.conftest import GOLDEN
from tests.front_ends import OTHERS
from tests.test_frontend import sweep_and_noise
from tests.tiny_models import SLICING, STATS
from tests.training.test_batches import Noise

ALL = list(TASKS)
TINY = EncoderConfig(channels=(2, 4), embedding_dim=8)


class Pcm(Noise):
    """Noise rounded to 16 bits, as sent to the device."""

    def crops(self, samples, **options):
        noise = super().crops(samples, **options)
        return noise.map(lambda pcm, clip: (pcm_to_float(float_to_pcm(pcm)), clip))


def batch(names, **options):
    one_round = task_batches(
        Pcm(), find_tasks(names), SLICING, **{"batch_size": 3, "seed": 5, **options}
    )
    return next(iter(one_round(tf.constant(2, tf.int64)).as_numpy_iterator()))


def golden_errors() -> list[float]:
    """Largest absolute difference from each golden vector."""
    with np.load(GOLDEN / "frontend.npz") as golden:
        names = [key.removesuffix(".pcm") for key in golden if key.endswith(".pcm")]
        pcm = np.stack([golden[f"{name}.pcm"] for name in names]) / np.float32(32_768)
        ours = keras.ops.convert_to_numpy(log_mel(keras.ops.convert_to_tensor(pcm)))
        return [
            float(np.abs(x - golden[f"{name}.log_mel"]).max())
            for x, name in zip(ours, names, strict=True)
        ]


def test_golden_vectors():
    errors = golden_errors()
    assert len(errors) == 6
    assert max(errors) < 2e-4  # as for tests/test_frontend.py


@pytest.mark.slow
@pytest.mark.usefixtures("quick_jax")
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_golden_vectors_and_a_step_under_jax():
    code = (
        "from tests.models import test_on_device as t; import keras; "
        "assert keras.backend.backend() == 'jax'; assert max(t.golden_errors()) < 2e-4; "
        "t.check_losses(['cbow', 'triplet'])"
    )
    env = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.mark.parametrize("name", OTHERS)
def test_other_front_ends(name):
    spec = OTHERS[name]
    pcm = pcm_to_float(sweep_and_noise(spec))[np.newaxis]
    want = frontend.log_mel(pcm, spec)
    np.testing.assert_allclose(log_mel(pcm, spec), want, atol=2e-4)


@pytest.mark.parametrize("gain_db", [0.0, 6.0])
def test_the_same_slices_targets_and_weights(gain_db):
    slices, targets, weights = batch(ALL, gain_db=gain_db)
    inputs, others, same_weights = batch(ALL, gain_db=gain_db, raw=True)
    assert inputs["pcm"].dtype == np.int16
    assert inputs["slices"].shape == slices.shape[:3]

    class Identity(keras.Model):
        """Returns its input."""

        def call(self, x):
            return x

    cut = OnDevice(Identity(), across=True)(inputs)
    np.testing.assert_allclose(cut["outputs"], slices, atol=1e-4)
    assert set(cut["targets"]) == {"cbow", "skip_gram", "autoencoder"}
    for name, target in targets.items():
        if name in others:
            np.testing.assert_array_equal(others[name], target)
        else:
            np.testing.assert_allclose(cut["targets"][name], target, atol=1e-4)
        np.testing.assert_array_equal(same_weights[name], weights[name])


def test_frame_indices_count_within_a_crop_unless_slices_come_from_other_crops():
    inputs, _, _ = batch(["cbow", "temporal_gap"], raw=True)
    frames = FRONT_END.frames(inputs["pcm"].shape[1])
    assert 0 <= inputs["slices"].min() < inputs["slices"].max() < frames
    inputs, _, _ = batch(["triplet"], raw=True)
    assert inputs["slices"].max() >= frames


def models(names):
    """A model for slices and one for PCM, compiled and with equal weights."""
    pair, tasks = [], find_tasks(names)
    for on_device in (False, True):
        keras.utils.set_random_seed(1)
        model = multi_head.build(tasks, Setup(TINY, SLICING, FRONT_END.mel_bins, STATS))
        model.compile("sgd", **multi_head.losses(tasks))
        model.optimizer.build(model.trainable_variables)
        if on_device:
            fed = OnDevice(model, across=multi_head.cuts_across(tasks))
            fed.compile(model.optimizer, **multi_head.losses(tasks))
            model = fed
        pair.append(model)
    return pair


def check_losses(names):
    host, device = models(names)
    for _ in range(2):
        ours = host.train_on_batch(*batch(names))
        theirs = device.train_on_batch(*batch(names, raw=True))
        np.testing.assert_allclose(theirs, ours, rtol=2e-4)
    for a, b in zip(host.get_weights(), trained_part(device).get_weights(), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4)
    assert device.test_on_batch(*batch(names, raw=True)) == pytest.approx(
        host.test_on_batch(*batch(names)), rel=2e-4
    )
    return device


def test_training_is_the_same_and_so_are_checkpoints(tmp_path):
    device = check_losses(ALL)
    assert device.get_layer("encoder") is trained_part(device).get_layer("encoder")
    trained_part(device).save_weights(tmp_path / "x.weights.h5")
    host, _ = models(ALL)
    host.load_weights(tmp_path / "x.weights.h5")
    for a, b in zip(host.get_weights(), device.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
