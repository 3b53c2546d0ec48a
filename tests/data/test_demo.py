"""The demo corpus is deterministic and well-formed, and its sounds have the stated properties."""

import csv

import numpy as np
import pytest
import soundfile

from a2v_tf.data import demo, demo_sounds
from a2v_tf.errors import A2vError


@pytest.fixture(scope="module")
def corpus():
    """The whole corpus, in the user's cache. It is built once per machine, in about 20 s."""
    return demo.ensure()


@pytest.mark.parametrize("kind", demo_sounds.SOUNDS)
def test_sounds_are_deterministic_and_normalised(kind):
    make = demo_sounds.SOUNDS[kind]
    first, again, other = (make(np.random.default_rng(seed), 16_000) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.shape == (16_000,)
    assert np.isfinite(first).all()
    assert 0.5 < np.abs(first).max() < 1.5


@pytest.mark.parametrize("instrument", demo_sounds.INSTRUMENTS)
@pytest.mark.parametrize("pitch", [0, 5])
def test_notes_have_their_pitch(instrument, pitch):
    """The spectrum of a note has its peaks at multiples of the pitch."""
    hz = demo.PITCHES[pitch]
    rng = np.random.default_rng(3)
    note = demo_sounds.INSTRUMENTS[instrument](rng)(16_000, hz)
    spectrum = np.abs(np.fft.rfft(note * np.hanning(len(note))))
    peak = np.argmax(spectrum) / hz  # bins are 1 Hz
    assert round(peak) >= 1
    assert peak / round(peak) == pytest.approx(1, abs=0.02)


def test_reverberation_time_of_rooms():
    """Energy after a click lasts longer in a room with a longer reverberation time."""
    click = np.zeros(32_000)
    click[0] = 1.0
    tails = {}
    for room in demo_sounds.ROOMS:
        wet = demo_sounds.reverberate(np.random.default_rng(0), click, room)
        tails[room] = np.sum(wet[8_000:] ** 2)
    assert tails["dry"] == 0.0
    assert tails["bedroom"] < tails["bathroom"] < tails["tunnel"]


def test_corpus_on_disk(corpus):
    scenes = sorted((corpus / "train").glob("*.wav"))
    assert len(scenes) == demo.SCENES
    for path in scenes[::20]:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert info.frames == 160_000
        pcm, _ = soundfile.read(path, dtype="int16")
        assert 300 < np.abs(pcm.astype(int)).max() < 32_767  # neither silent nor clipped


@pytest.mark.parametrize("task", demo.TASKS)
def test_tasks(corpus, task):
    with (corpus / f"{task}.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = {row["label"] for row in rows}
    assert len(labels) >= 5
    for split in ("train", "val", "test"):
        assert {row["label"] for row in rows if row["split"] == split} == labels
    assert len({row["path"] for row in rows}) == len(rows)  # so no clip is in two splits
    assert all((corpus / row["path"]).is_file() for row in rows)


def test_a_clip_is_reproducible(corpus):
    clip = demo.labelled_plan()[17]
    pcm, _ = soundfile.read(corpus / clip.path, dtype="int16")
    again = np.round(demo.labelled(clip) * 32_767).astype(np.int16)
    np.testing.assert_array_equal(pcm, again)


def test_a_folder_with_other_files_is_an_error(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(A2vError, match="neither empty nor a demo corpus"):
        demo.ensure(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep me"
