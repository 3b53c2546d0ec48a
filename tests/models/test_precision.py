"""Training in bfloat16 and saving in float32."""

import keras
import numpy as np

from a2v_tf.frontend import FRONT_END
from a2v_tf.models.precision import as_float32, precision
from a2v_tf.specs import EncoderConfig
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.task import Setup, find_tasks
from a2v_tf.training.checkpoints import save_model
from tests.tiny_models import SLICING, STATS

TINY = EncoderConfig(channels=(2, 4), embedding_dim=8)


def build(name):
    keras.utils.set_random_seed(1)
    with precision(name):
        return multi_head.build(
            find_tasks(["cbow", "temporal_gap", "triplet"]),
            Setup(TINY, SLICING, FRONT_END.mel_bins, STATS),
        )


def test_only_convolutions_and_matrix_products_compute_in_bfloat16():
    model = build("bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    encoder, decoder = model.get_layer("encoder"), model.get_layer("cbow_decoder")
    assert encoder.get_layer("conv1_time").compute_dtype == "bfloat16"
    assert decoder.get_layer("deconv1_time").compute_dtype == "bfloat16"
    assert encoder.get_layer("standardise").compute_dtype == "float32"
    assert decoder.get_layer("restore_scale").compute_dtype == "float32"
    assert model.get_layer("temporal_gap_output").compute_dtype == "float32"
    assert {x.dtype for x in model.weights} == {"float32"}
    assert {x.dtype for x in model.output.values()} == {"float32"}


def test_saved_models_are_float32(tmp_path):
    mixed, exact = build("bfloat16"), build("float32")
    x = np.random.default_rng(0).normal(-1, 2, (2, *exact.input.shape[1:])).astype(np.float32)
    save_model(mixed, tmp_path / "model.keras")
    assert mixed.get_layer("encoder").get_layer("conv1_time").compute_dtype == "bfloat16"
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    for a, b in zip(loaded.get_weights(), exact.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, want in exact.predict_on_batch(x).items():
        np.testing.assert_array_equal(loaded.predict_on_batch(x)[name], want)
    near, want = (model.predict_on_batch(x)["cbow"] for model in (mixed, exact))
    assert 0 < np.abs(near - want).max() <= 0.05 * np.abs(want).max()


def test_a_float32_model_does_not_change():
    model = build("float32")
    before = model.get_config()
    with as_float32(model):
        assert model.get_config() == before
