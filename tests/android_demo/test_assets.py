"""The app's assets, written by `android_demo/export_assets.py`."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from a2v_tf.errors import A2vError
from a2v_tf.export.forms import MODES
from tests.conftest import load_script

DEMO = pathlib.Path(__file__).parents[2] / "android_demo"
SCRIPT = DEMO / "export_assets.py"
GOLDEN = DEMO / "runtime" / "src" / "test" / "resources" / "golden"
DIM = 128


@pytest.fixture(scope="module")
def script():
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> pathlib.Path:
    """The assets for a golden model and the golden sound."""
    folder = tmp_path_factory.mktemp("assets")
    pcm = np.fromfile(GOLDEN / "pcm.s16", "<i2")
    soundfile.write(folder / "sound.wav", pcm, 16_000, subtype="PCM_16")
    (folder / "summary.json").write_text(json.dumps({"output": "/home/me/x", "hop_ms": 80.0}))
    command = [sys.executable, SCRIPT, f"--model={GOLDEN / 'internal.tflite'}"]
    command += [f"--summary={folder / 'summary.json'}", f"--audio={folder / 'sound.wav'}"]
    command += [f"--output={folder / 'assets'}"]
    command += [f"--parts={GOLDEN / 'reconstruct_window.tflite'}"]
    if tf.__version__.startswith("2.21."):
        command += [f"--check={folder / 'check'}"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_the_model_is_a_copy(written):
    model = (written / "assets" / "model.tflite").read_bytes()
    assert model == (GOLDEN / "internal.tflite").read_bytes()


def test_the_summary_names_no_folder(written):
    content = json.loads((written / "assets" / "model.json").read_text())
    assert content["summary"] == {"hop_ms": 80.0}


def test_parts_are_named_by_what_they_compute(script, written):
    streaming, window = (str(GOLDEN / f"reconstruct_{mode}.tflite") for mode in MODES)
    assert script.named_parts([]) == {}
    assert script.named_parts([streaming]) == {"reconstruct": streaming}
    with pytest.raises(A2vError, match="are both of part reconstruct"):
        script.named_parts([streaming, window])
    with pytest.raises(A2vError, match=r"internal.tflite: is of part encoder and takes pcm"):
        script.named_parts([str(GOLDEN / "internal.tflite")])
    copy = written / "assets" / "reconstruct.tflite"
    assert copy.read_bytes() == (GOLDEN / "reconstruct_window.tflite").read_bytes()
    assert not (written / "assets" / "gap.tflite").exists()


def test_the_map_fits_the_model(written):
    projection = json.loads((written / "assets" / "model.json").read_text())["projection"]
    assert np.shape(projection["matrix"]) == (2, DIM)
    assert np.shape(projection["mean"]) == (DIM,)


@pytest.mark.skipif(not tf.__version__.startswith("2.21."), reason="the app has TFLite 2.21")
def test_the_check_is_of_the_same_stream(written):
    assert np.array_equal(
        np.fromfile(written / "check" / "pcm.s16", "<i2"), np.fromfile(GOLDEN / "pcm.s16", "<i2")
    )
    embeddings = np.fromfile(written / "check" / "embeddings.f32", "<f4")
    golden = np.fromfile(GOLDEN / "embeddings_xnnpack.f32", "<f4")
    # Another version's front end may round otherwise, which decides about few integers.
    assert embeddings.shape == golden.shape
    assert np.mean(embeddings != golden) < 0.05


def test_the_map_is_the_plane_of_most_variance(script):
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    deviations = np.array([5.0, 3.0, 0.1, 0.1, 0.1, 0.1])
    embeddings = (rng.standard_normal((4_000, 6)) * deviations) @ axes.T + 7.0
    projection = script.projection(embeddings)
    points = (embeddings - projection["mean"]) @ np.array(projection["matrix"]).T
    np.testing.assert_allclose(points.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(points.std(axis=0), [1.0, 0.6], rtol=0.05)
    backwards = script.projection(embeddings[::-1])  # of the same sign and order
    np.testing.assert_allclose(backwards["matrix"], projection["matrix"], atol=1e-5)


def test_the_runtimes_version_is_read(script):
    assert script.runtime_version().count(".") == 2
