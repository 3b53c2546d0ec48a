"""Parts beside the encoder: what all of them have in common."""

import pathlib

import keras
import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.export import build, convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.forms import PARTS
from a2v_tf.runtime.embedder import make_interpreter


def test_every_part_can_be_made() -> None:
    assert tuple(build._MAKE) == PARTS


def test_an_unknown_part_is_an_error_of_one_line(
    model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(
        A2vError, match="part is 'all': expected one of encoder, reconstruct, gap, classifier"
    ) as error:
        build.export_file(model_dir, tmp_path / "m.tflite", part="all")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def head() -> keras.Model:
    keras.utils.set_random_seed(0)
    z = keras.Input((256,))
    y = keras.layers.Dense(16, activation="relu")(z)
    return keras.Model(z, keras.layers.Dense(3, bias_initializer="ones")(y))


@pytest.fixture(scope="module")
def pairs(windows: dict[str, fb.Model], calibration: np.ndarray) -> np.ndarray:
    """Two embeddings side by side, `[8, 256]`."""
    return convert.embeddings_of(windows["int8"], calibration).reshape(-1, 256)


def run(model: fb.Model, z: np.ndarray) -> np.ndarray:
    embed = make_interpreter(fb.write(model)).get_signature_runner("embed")
    return np.concatenate([embed(z=row[None])["y"] for row in z])


def test_an_int8_head_starts_from_the_encoders_integers(
    windows: dict[str, fb.Model], head: keras.Model, pairs: np.ndarray
) -> None:
    model = convert.head_model(head, windows["int8"], pairs)
    graph = fb.single_graph(model)
    kinds = [fb.kind(model, op) for op in graph.subgraph.operators]
    assert kinds == ["QUANTIZE", "FULLY_CONNECTED", "FULLY_CONNECTED", "DEQUANTIZE"]
    (scale,), (zero,) = fb.scales(graph.tensor(int(graph.subgraph.operators[0].outputs[0])))
    assert (scale, zero) == convert.embedding_scale(windows["int8"])
    integers = np.rint(pairs / scale) + zero  # the embeddings are whole steps: nothing is rounded
    np.testing.assert_allclose((integers - zero) * scale, pairs, rtol=1e-6)
    got, expected = run(model, pairs), np.asarray(head(pairs))
    assert np.abs(got - expected).max() < 0.02 * np.ptp(expected)


def test_a_float_head_equals_keras(
    windows: dict[str, fb.Model], head: keras.Model, pairs: np.ndarray
) -> None:
    model = convert.head_model(head, windows["float"], None)
    np.testing.assert_allclose(run(model, pairs), head(pairs), rtol=1e-5, atol=1e-5)
