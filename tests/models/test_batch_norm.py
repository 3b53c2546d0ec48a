"""Fused batch normalisation: it computes what Keras' layer does, and is saved as that layer."""

import json
import zipfile

import keras
import numpy as np
import pytest

from a2v_tf.models.batch_norm import BatchNormalization, as_keras_layers
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import ENCODERS, InputStats
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.task import find_tasks
from tests.tiny_models import SETUP

MAPS = np.random.default_rng(0).normal(1.0, 2.0, (4, 5, 6, 3)).astype(np.float32)
ON_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has the fused operation"
)


def trained(layer, x):
    """Output, gradients and moving statistics after a step of a layer with random weights."""
    import tensorflow as tf

    layer.build(x.shape)
    rng = np.random.default_rng(1)
    layer.gamma.assign(rng.normal(1.0, 0.3, x.shape[-1]))
    layer.beta.assign(rng.normal(0.0, 0.3, x.shape[-1]))
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(tf.sin(y))
    gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
    return [np.asarray(v) for v in (y, *gradients, layer.moving_mean, layer.moving_variance)]


@ON_TENSORFLOW
def test_it_agrees_with_keras():
    ours, theirs = (
        trained(BatchNormalization(), MAPS),
        trained(keras.layers.BatchNormalization(), MAPS),
    )
    count = MAPS[..., 0].size
    kept, new = 0.99, 0.01
    batch_variance = (theirs[-1] - kept) / new
    theirs[-1] = kept + new * batch_variance * count / (count - 1)  # of the sample, not the batch
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@ON_TENSORFLOW
def test_it_is_fused_in_training_on_maps_only():
    layer = BatchNormalization()
    layer.build(MAPS.shape)
    assert layer._can_fuse(MAPS)
    assert not layer._can_fuse(MAPS[:, 0, 0])
    layer.synchronized = True
    assert not layer._can_fuse(MAPS)
    before = layer.get_weights()
    layer(MAPS)
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_name_keras_layer(tmp_path):
    encoder = build_encoder(ENCODERS["small"], 32, 64, InputStats())
    with as_keras_layers(encoder):
        encoder.save(tmp_path / "encoder.keras")
    assert type(encoder.get_layer("conv1_bn")) is BatchNormalization
    with zipfile.ZipFile(tmp_path / "encoder.keras") as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    modules = {x["module"] for x in layers if x["class_name"] == "BatchNormalization"}
    assert modules == {"keras.layers"}
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    x = np.random.default_rng(2).normal(size=(2, 32, 64)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), encoder(x))


@ON_TENSORFLOW
def test_loss_curves_agree_within_rounding(monkeypatch):
    tasks = find_tasks(["cbow"])
    rng = np.random.default_rng(3)
    shape = (24, 2, SETUP.slicing.frames, SETUP.bins)
    slices = rng.normal(-2, 2, shape).astype(np.float32)

    def losses():
        keras.utils.set_random_seed(0)
        model = multi_head.build(tasks, SETUP)
        # Adam divides gradients by their size: it makes rounding errors as large as steps.
        model.compile(keras.optimizers.SGD(1e-4), **multi_head.losses(tasks))
        targets = {"cbow": slices.mean(axis=1, keepdims=True)}
        fitted = model.fit(slices, targets, batch_size=8, epochs=4, shuffle=False, verbose=0)
        return fitted.history["loss"]

    fused = losses()
    monkeypatch.setattr(BatchNormalization, "_can_fuse", lambda self, inputs: False)
    np.testing.assert_allclose(losses(), fused, rtol=1e-3)
    assert fused[-1] < fused[0]
