"""`examples/song_structure.py`: what it finds in a recording, and the picture that it writes."""

import pathlib
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

import a2v_tf
from a2v_tf.errors import run_app
from tests.conftest import forgotten_flags, load_script

SCRIPT = pathlib.Path(__file__).parents[2] / "examples/song_structure.py"
RATE = 16_000


@pytest.fixture(scope="module")
def example():
    """The script as a module."""
    return load_script(SCRIPT)


@pytest.fixture
def run(example, monkeypatch):
    """Run the script in this process; returns its exit code."""

    def call(*options: str) -> int:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options])
        with forgotten_flags():
            try:
                run_app(example.main, example.define_flags)
            except SystemExit as stop:
                return stop.code or 0
        return 0

    return call


def tone_noise_tone() -> np.ndarray:
    """8 s of a chord, 8 s of noise, and the chord once more."""
    time = np.arange(8 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220, 330, 440)) / 10
    noise = np.random.default_rng(0).normal(0, 0.1, len(time))
    return np.concatenate([chord, noise, chord]).astype(np.float32)


def test_what_comes_again_is_the_same_part(example):
    embeddings = np.stack(a2v_tf.load("pretrained").stream(tone_noise_tone()))
    parts = example.find_parts(embeddings, 25, parts=2)
    assert parts.tolist() == [0] * 4 + [1] * 4 + [0] * 4


def test_picture_is_small_and_transparent(run, tmp_path):
    soundfile.write(tmp_path / "song.wav", tone_noise_tone(), RATE)
    picture = tmp_path / "song.png"
    assert run(f"--audio={tmp_path / 'song.wav'}", f"--output={picture}", "--parts=2") == 0
    with Image.open(picture) as image:
        width, height = image.size
        assert width > 1000
        assert height > 500
        assert image.convert("RGBA").getpixel((width - 1, height - 1))[3] == 0
    assert picture.stat().st_size < 300_000


def test_short_recordings_are_refused(run, capsys, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(RATE), RATE)
    assert run(f"--audio={tmp_path / 'short.wav'}") == 1
    assert "has 1.0 s: expected at least 10 s" in capsys.readouterr().err
