"""Probing while training: the numbers, resuming, and that training does not notice."""

import csv

import keras
import numpy as np
import pytest

from a2v_tf.evaluation.compare import HEADS
from a2v_tf.evaluation.embeddings import embed_task, keras_embedder
from a2v_tf.evaluation.probing import ProbeRounds
from a2v_tf.evaluation.settings import HeadSettings, Settings
from tests.evaluation.conftest import Tones, tiny_encoder

STEPS = 3
QUICK = HeadSettings(steps=20)


def model_of(encoder: keras.Model) -> keras.Model:
    """A model with an encoder inside, and dropout, which draws from Keras' random state."""
    inputs = keras.Input(encoder.input_shape[1:])
    outputs = keras.layers.Dense(2)(keras.layers.Dropout(0.5, seed=1)(encoder(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    return model


def fit(model: keras.Model, rounds: int, callbacks, first: int = 0):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * 4, 48, 64)).astype(np.float32)
    y = rng.normal(size=(STEPS * 4, 2)).astype(np.float32)
    return model.fit(
        x, y, 4, epochs=rounds, initial_epoch=first, callbacks=callbacks, verbose=0, shuffle=True
    )


def step_after(round_index):
    return STEPS * (round_index + 1)


def probe_rounds(path, *protocols):
    return ProbeRounds(
        [Tones()], 48, path, protocols or ("linear",), step_after=step_after, settings=QUICK
    )


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_and_logs(tmp_path):
    path = tmp_path / "probes.csv"
    probe = probe_rounds(path, "linear", "knn", "sgd")
    model = model_of(tiny_encoder(frames=48))
    log = tmp_path / "log.csv"
    fit(model, 2, [probe, keras.callbacks.CSVLogger(log)])
    rows = rows_of(path)
    assert [(row["step"], row["task"], row["protocol"]) for row in rows] == [
        (str(step), "tones", protocol)
        for step in (STEPS, 2 * STEPS)
        for protocol in ("linear", "knn", "sgd")
    ]
    embedder = keras_embedder(model.get_layer("encoder"))
    splits, draws = Settings(protocols=("linear", "knn")).cuts("train", "val", "test")
    windows = embed_task(Tones(), {"m": embedder}, 48, splits=splits, draws=draws)["m"]
    for row in rows[3:]:
        want = HEADS[row["protocol"]](windows, 0, QUICK).accuracy
        assert float(row["accuracy"]) == pytest.approx(want, abs=0.26)  # half precision: one clip
    last = rows_of(log)[-1]
    assert float(last["probe_tones"]) == float(rows[3]["accuracy"])
    assert float(last["probe_tones_knn"]) == float(rows[4]["accuracy"])


def test_a_resumed_run_repeats_no_row(tmp_path):
    path = tmp_path / "probes.csv"
    probe = probe_rounds(path)
    model = model_of(tiny_encoder(frames=48))
    fit(model, 3, [probe])
    before = path.read_text()
    assert len(rows_of(path)) == 3
    # Killed in round 3 after its rows were written, before its checkpoint was.
    fit(model, 4, [probe], first=2)
    assert [row["step"] for row in rows_of(path)] == ["3", "6", "9", "12"]
    assert path.read_text().splitlines()[:3] == before.splitlines()[:3]
    fit(model, 1, [probe])  # a new run starts a new file
    assert [row["step"] for row in rows_of(path)] == ["3"]


def test_training_does_not_notice(tmp_path):
    probe = probe_rounds(tmp_path / "probes.csv", "knn", "two_layer")
    weights = []
    for callbacks in ([], [probe]):
        keras.utils.set_random_seed(7)
        model = model_of(tiny_encoder(frames=48))
        fit(model, 2, callbacks)
        weights.append(model.get_weights())
    for without, with_probe in zip(*weights, strict=True):
        np.testing.assert_array_equal(without, with_probe)


def test_several_labels_are_refused(tmp_path):
    from a2v_tf.errors import A2vError

    data = Tones()
    data.multi_label = True
    with pytest.raises(A2vError, match="several labels"):
        ProbeRounds([data], 48, tmp_path / "probes.csv", step_after=step_after)
