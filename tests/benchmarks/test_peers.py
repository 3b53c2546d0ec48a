"""The peers of `a2v_benchmark` compute what their own packages do."""

import numpy as np
import pytest

from a2v_tf.export.benchmark.models import Case, open_case
from a2v_tf.export.check import probe_signal
from a2v_tf.runtime.embedder import make_interpreter


def test_open_wake_word_as_its_package_computes_it():
    """The package's stream is behind ours: by 800 samples, and by 4 of the mel frames it has."""
    package = pytest.importorskip("pyopen_wakeword")
    pcm = (3e4 * probe_signal(24 * 1_280)).astype(np.int16)
    late = np.concatenate([np.zeros(800), pcm[:-800]]).astype(np.float32)
    stepper = open_case(Case("x", "openwakeword"))
    features = package.OpenWakeWordFeatures.from_builtin()
    embedding = make_interpreter(stepper.parts[1].path)
    embedding.allocate_tensors()

    def embed(mels):
        embedding.set_tensor(embedding.get_input_details()[0]["index"], mels[None, ..., None])
        embedding.invoke()
        return embedding.get_tensor(embedding.get_output_details()[0]["index"]).ravel()

    for theirs, ours in zip(np.split(pcm, 24), np.split(late, 24), strict=True):
        embeddings = [x.ravel() for x in features.process_streaming(theirs.tobytes())]
        embedded = stepper.step(ours[None]).ravel()
    assert stepper.seconds() == 0.08
    (last,) = embeddings
    assert np.ptp(last) > 10
    close = {"rtol": 0, "atol": 1e-3 * np.ptp(last)}
    np.testing.assert_allclose(embed(features.mels[-80:-4]), last, **close)
    np.testing.assert_allclose(embedded, embed(features.mels[-76:]), **close)


def test_open_wake_word_at_320_ms_gives_every_fourth_embedding():
    pytest.importorskip("pyopen_wakeword")
    pcm = (3e4 * probe_signal(24 * 1_280)).astype(np.float32)
    often, seldom = (open_case(Case("x", name)) for name in ("openwakeword", "openwakeword_320"))
    all_of_them = [often.step(chunk[None]) for chunk in np.split(pcm, 24)]
    fourth = [seldom.step(chunk[None]) for chunk in np.split(pcm, 6)]
    np.testing.assert_allclose(fourth[-1], all_of_them[-1], atol=1e-2 * np.ptp(fourth[-1]))
    assert seldom.seconds() == 0.32


def test_micro_wake_word_as_its_package_computes_it():
    package = pytest.importorskip("pymicro_wakeword")
    model = package.MicroWakeWord.from_builtin(package.Model.OKAY_NABU)
    stepper = open_case(Case("x", "microwakeword_model", "builtin"))
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    for i in range(100):
        loudness = 8 * (1 + np.sin(i / 5))
        features = np.clip(np.abs(rng.normal(0, loudness, (1, 3, 40))), 0, 25).astype(np.float32)
        ours.append(stepper.step(features).item() / 256)
        theirs.append([model.process_streaming_prob(row[None, None]) for row in features[0]][-1])
    n = model.sliding_window_size
    means = [np.mean(ours[i - n + 1 : i + 1]) for i in range(n, 100)]
    np.testing.assert_allclose(means, theirs[n:], atol=1e-6)
    assert max(means) > 0


def test_micro_wake_word_from_pcm():
    pytest.importorskip("pymicro_wakeword")
    stepper = open_case(Case("x", "microwakeword"))
    assert stepper.seconds() == 0.03
    outputs = [stepper.step(pcm) for pcm in stepper.inputs]
    assert outputs[0] is None  # the front end waits for a whole window
    assert all(output.shape == (1, 1) for output in outputs[1:])
