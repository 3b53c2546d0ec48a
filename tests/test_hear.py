"""`a2v_tf.hear`: the common API of HEAR 2021, with the checks of its public validator."""

import importlib.util
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from a2v_tf import hear, pretrained
from a2v_tf.errors import A2vError
from a2v_tf.export.build import export_file
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import ENCODERS, InputStats
from a2v_tf.training.model_dir import load_encoder, write_config
from tests.export.conftest import randomise_batch_norm
from tests.front_ends import TELEPHONE
from tests.tiny_models import THIRD_OCTAVES

STATS = InputStats(-1.0, 4.0)
KINDS = ("keras", "tflite_pcm", "tflite_log_mel")


def write_model(directory, bins=64, front_end=None):
    keras.utils.set_random_seed(0)
    encoder = build_encoder(ENCODERS["small"], 96, bins, STATS)
    randomise_batch_norm(encoder)
    encoder.save(directory / "encoder.keras")
    settings = {
        **{"encoder": "small", "frames": 96, "bins": bins},
        **{"front_end": front_end or vars(FRONT_END)},
        **{"input_mean": STATS.mean, "input_variance": STATS.variance},
    }
    write_config(directory, settings)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The same encoder in each form that `hear.load_model` accepts."""
    directory = tmp_path_factory.mktemp("model")
    write_model(directory)
    found = {"keras": str(directory)}
    for input_ in ("pcm", "log_mel"):
        found[f"tflite_{input_}"] = str(directory / f"{input_}.tflite")
        export_file(directory, found[f"tflite_{input_}"], mode="window", input=input_)
    return found


@pytest.fixture(scope="module")
def models(paths):
    return {kind: hear.load_model(path) for kind, path in paths.items()}


def noise(sounds, seconds, seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.uniform(-1, 1, (sounds, int(16_000 * seconds))), tf.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_validator_checks(kind, models):
    """The checks of hearvalidator 2021.0.2 and 2021.0.6, repeated here.

    The package itself is not a test dependency: it requires PyTorch (7 GB installed on Linux), and
    releases from 2021.0.3 on require Python below 3.9, which no supported TensorFlow runs on.
    """
    model = models[kind]
    assert isinstance(model, tf.Module)
    assert model.sample_rate in (16_000, 22_050, 32_000, 44_100, 48_000)
    assert type(model.scene_embedding_size) is type(model.timestamp_embedding_size) is int
    for sounds, seconds in ((16, 2.0), (2, 1.07), (2, 1.98), (2, 4.0)):
        embeddings, timestamps = hear.get_timestamp_embeddings(noise(sounds, seconds), model)
        assert embeddings.dtype == tf.float32
        assert embeddings.shape[:2] == timestamps.shape
        assert embeddings.shape[::2] == (sounds, model.timestamp_embedding_size)
        spacing = np.diff(timestamps.numpy())
        np.testing.assert_allclose(spacing, spacing.mean(), atol=1e-3)
        assert spacing.mean() <= 50
        assert timestamps.numpy().min() <= spacing.mean()
        assert 1000 * seconds - 50 <= timestamps.numpy().max() <= 1000 * seconds
    for sounds, seconds in ((8, 3.74), (4, 2.74)):
        embeddings = hear.get_scene_embeddings(noise(sounds, seconds), model)
        assert embeddings.dtype == tf.float32
        assert embeddings.shape == (sounds, model.scene_embedding_size)


def test_the_public_validator(paths, monkeypatch, capsys):
    """hearvalidator itself, where `pip install --no-deps hearvalidator` installed it.

    It does not use PyTorch for TensorFlow models, so an empty module replaces that.
    """
    if importlib.util.find_spec("hearvalidator") is None:
        pytest.skip("no hearvalidator: the test above repeats its checks")
    if importlib.util.find_spec("torch") is None:
        monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    validate = importlib.import_module("hearvalidator.validate")
    for path in paths.values():
        validate.ValidateModel("a2v_tf.hear", path)()
    assert capsys.readouterr().out.count("Checking get_scene_embeddings") == len(paths)


def test_windows_are_centred_at_their_timestamps(paths, models):
    pcm = noise(2, 1.33).numpy() * np.linspace(0.01, 1, int(16_000 * 1.33), dtype=np.float32)
    embeddings, timestamps = hear.get_timestamp_embeddings(pcm, models["keras"])
    encoder = keras.models.load_model(f"{paths['keras']}/encoder.keras", compile=False)
    np.testing.assert_array_equal(timestamps[1], np.arange(0, 1331, 50))
    padded = np.pad(pcm, ((0, 0), (7_800, 7_800)))
    for i, milliseconds in enumerate(timestamps[0].numpy()):
        start = round(16 * milliseconds)
        want = encoder(log_mel(padded[:, start : start + 15_600]), training=False)
        np.testing.assert_allclose(embeddings[:, i], want, rtol=1e-4, atol=1e-4)


def test_all_forms_agree(models):
    audio = noise(2, 1.2) * np.linspace(0.01, 1, 19_200, dtype=np.float32)
    want, _ = hear.get_timestamp_embeddings(audio, models["keras"])
    for kind in KINDS[1:]:
        embeddings, _ = hear.get_timestamp_embeddings(audio, models[kind])
        np.testing.assert_allclose(embeddings, want, atol=1e-3)


def test_a_scene_is_the_mean_of_its_timestamps(models):
    audio = noise(3, 1.5)
    embeddings, _ = hear.get_timestamp_embeddings(audio, models["keras"])
    scenes = hear.get_scene_embeddings(audio, models["keras"])
    np.testing.assert_allclose(scenes, np.mean(embeddings, axis=1), rtol=1e-5)


def test_blocks_and_neighbours_change_nothing(models, monkeypatch):
    """Long sounds are embedded in blocks, and a batch changes nothing but the speed."""
    audio = noise(3, 2.0)
    whole, _ = hear.get_timestamp_embeddings(audio, models["keras"])
    alone, _ = hear.get_timestamp_embeddings(audio[1:2], models["keras"])
    monkeypatch.setattr(hear, "_BATCH", 10)
    in_blocks, _ = hear.get_timestamp_embeddings(audio, models["keras"])
    np.testing.assert_allclose(in_blocks, whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(alone, whole[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("samples", "count"), [(1, 1), (799, 1), (800, 2), (17_120, 22)])
def test_any_length(samples, count, models):
    embeddings, timestamps = hear.get_timestamp_embeddings(np.ones((1, samples)), models["keras"])
    assert embeddings.shape == (1, count, 128)
    np.testing.assert_array_equal(timestamps[0], 50 * np.arange(count))
    assert np.isfinite(embeddings).all()


def test_bad_models(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"TFL3 but not really")
    bands = tmp_path / "bands"
    bands.mkdir()
    write_model(bands, 29, THIRD_OCTAVES)
    export_file(bands, bands / "bands.tflite", mode="window", input="log_mel")
    streaming = pretrained.resolve("pretrained", pretrained.STREAMING)
    for path, message in (
        ("", "model_file_path is empty: expected a model directory"),
        ("/no/such/model", "'/no/such/model': expected a directory made by a2v_train"),
        ("/no/such/model.tflite", "cannot read '/no/such/model.tflite'"),
        (str(tmp_path / "bad.tflite"), "bad.tflite' is not a TFLite model"),
        (str(streaming), "streaming.tflite streams: expected a window model"),
        (str(bands), "spectrograms of 29 bands and takes no audio"),
        (str(bands / "bands.tflite"), "takes spectrograms of 29 bands, not audio"),
    ):
        with pytest.raises(A2vError, match=message) as raised:
            hear.load_model(path)
        assert "\n" not in str(raised.value)
    with pytest.raises(A2vError, match="model_file_path is empty"):
        hear.load_model()


def test_bad_audio(models):
    for audio, message in (
        (np.zeros(16_000, np.float32), r"the shape \(16000,\): expected \(n_sounds, n_samples\)"),
        (np.zeros((2, 0), np.float32), r"the shape \(2, 0\)"),
        (np.zeros((0, 16_000), np.float32), r"the shape \(0, 16000\)"),
        (np.zeros((2, 16_000), np.int16), r"the audio is int16: expected floats"),
    ):
        for embed in (hear.get_timestamp_embeddings, hear.get_scene_embeddings):
            with pytest.raises(A2vError, match=message):
                embed(audio, models["keras"])
    with pytest.raises(A2vError, match="the model is a str"):
        hear.get_scene_embeddings(noise(1, 1.0), "encoder.keras")


def test_another_front_end(tmp_path):
    write_model(tmp_path, front_end=vars(TELEPHONE))
    model = hear.load_model(str(tmp_path))
    assert (model.sample_rate, model.window) == (8_000, 7_800)
    pcm = noise(1, 0.5)  # 8,000 samples: a second
    embeddings, timestamps = hear.get_timestamp_embeddings(pcm, model)
    assert timestamps[0, 10] == 500
    window = log_mel(pcm[:, 4_000 - 3_900 : 4_000 + 3_900], TELEPHONE)
    want = load_encoder(tmp_path)(window, training=False)
    np.testing.assert_allclose(embeddings[0, 10], want[0], rtol=1e-4, atol=1e-4)


def test_frames_that_do_not_fit_between_timestamps(tmp_path):
    write_model(tmp_path, front_end=vars(FrontEnd(hop_length=192)))
    with pytest.raises(A2vError, match="a frame every 12 ms: expected whole frames in 50 ms"):
        hear.load_model(str(tmp_path))
