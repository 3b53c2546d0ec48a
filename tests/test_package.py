"""The names that `a2v_tf` itself has."""

import subprocess
import sys

import numpy as np
import pytest

import a2v_tf
from a2v_tf import pretrained


def test_names_come_from_their_modules():
    assert set(a2v_tf.__all__) <= set(dir(a2v_tf))
    for name in a2v_tf.__all__:
        assert getattr(a2v_tf, name).__module__ == a2v_tf._MODULES[name]
        assert getattr(a2v_tf, name).__doc__
    with pytest.raises(AttributeError, match="module 'a2v_tf' has no attribute 'loda'"):
        _ = a2v_tf.loda


def test_pretrained_streams_or_takes_windows():
    stream, window = a2v_tf.load("pretrained"), a2v_tf.load("pretrained", window=True)
    assert (stream.streaming, stream.hop) == (True, 1_280)
    assert (window.streaming, window.window) == (False, 15_600)
    path = pretrained.resolve("pretrained", pretrained.WINDOW)
    pcm = np.random.default_rng(0).normal(0, 0.1, 15_600).astype(np.float32)
    np.testing.assert_array_equal(a2v_tf.load(path).embed(pcm), window.embed(pcm))


def test_a_model_directory_is_a_keras_model():
    directory = pretrained.resolve("pretrained")
    with pytest.raises(a2v_tf.A2vError, match=r"is a directory: expected a \.tflite file, which"):
        a2v_tf.load(directory)
    assert a2v_tf.load_encoder(directory).output_shape == (None, 256)


def test_loading_imports_no_tensorflow():
    code = (
        "import sys, a2v_tf; a2v_tf.load('pretrained'); a2v_tf.read_audio; a2v_tf.log_mel\n"
        "print({'tensorflow', 'keras', 'pandas', 'sklearn', 'matplotlib'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "set()\n", run.stderr
