"""The cache of teachers' outputs: what it holds, and that it survives kills, damage and moves."""

import pathlib
import shutil

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.data.listing import slice_frames
from a2v_tf.data.sources import open_source
from a2v_tf.frontend import log_mel
from a2v_tf.teachers import Teacher, cache
from a2v_tf.teachers.base import fingerprint
from a2v_tf.teachers.cache import TeacherCache, fill


class Counting:
    """A teacher that gives peak and mean of a slice, and counts the slices it was given."""

    def __init__(self, name: str = "peak", version: int = 1) -> None:
        self.slices = 0
        self.teacher = Teacher(name, 2, self, "MIT", "here", fingerprint(name, version))

    def __call__(self, pcm: np.ndarray) -> np.ndarray:
        self.slices += len(pcm)
        return np.stack([pcm.max(1), pcm.mean(1)], 1)


@pytest.fixture
def corpus(tmp_path: pathlib.Path, sounds: np.ndarray) -> pathlib.Path:
    """Six recordings of several formats and lengths: 1.3 to 5 s, and one of 0.5 s."""
    folder = tmp_path / "corpus"
    (folder / "below").mkdir(parents=True)
    for i, seconds in enumerate((1.3, 5.0, 3.2, 2.0, 4.1)):
        soundfile.write(folder / f"below/sound_{i}.wav", sounds[i, : int(seconds * 16_000)], 16_000)
    soundfile.write(folder / "short.flac", sounds[5, :8_000], 16_000)
    return folder


@pytest.fixture
def sounds() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (6, 80_000)).astype(np.float32)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD", 4)


def filled(corpus: pathlib.Path, directory: pathlib.Path, *teachers: Counting) -> TeacherCache:
    return fill(open_source(str(corpus)), [each.teacher for each in teachers], directory)


@pytest.mark.parametrize(("seconds", "count"), [(0.5, 1), (0.975, 1), (1.3, 1), (10, 10), (60, 62)])
def test_slices_lie_side_by_side_and_cover_the_clip(seconds, count):
    samples = int(seconds * 16_000)
    starts = slice_frames(samples) * 160
    assert len(starts) == count
    assert starts[0] == 0
    steps = np.diff(starts)
    assert len(steps) == 0 or steps.max() - steps.min() <= 160
    assert starts[-1] == 0 or samples - 160 < starts[-1] + SLICE_SAMPLES <= samples


def test_holds_each_slice_with_its_log_mel_and_outputs(corpus, tmp_path, small_shards):
    peak = Counting()
    found = filled(corpus, tmp_path / "cache", peak)
    assert found.clips == (*(f"below/sound_{i}.wav" for i in range(5)), "short.flac")
    assert list(found.clip) == [0] + [1] * 5 + [2] * 3 + [3] * 2 + [4] * 4 + [5]
    assert found.clip.dtype == found.start.dtype == np.int32
    assert peak.slices == len(found) == 16
    source = open_source(str(corpus))
    for i, (clip, start) in enumerate(zip(found.clip, found.start, strict=True)):
        (pcm,) = source.read_spans([(clip, 0, source.clips()[clip].samples)])
        pcm = pcm[start * 160 : start * 160 + SLICE_SAMPLES]
        pcm = np.pad(pcm, (0, SLICE_SAMPLES - len(pcm)))
        np.testing.assert_allclose(found.outputs("peak")[i], [pcm.max(), pcm.mean()], rtol=1e-3)
        expected = log_mel(tf.constant(pcm)).numpy().astype(np.float16)
        np.testing.assert_array_equal(found.log_mel()[i], expected)


def test_rows_are_read_by_index_slice_mask_or_all(corpus, tmp_path, small_shards):
    rows = filled(corpus, tmp_path / "cache", Counting()).outputs("peak")
    everything = np.asarray(rows)
    assert rows.shape == everything.shape == (16, 2)
    assert everything.dtype == np.float16
    assert np.asarray(rows, np.float32).dtype == np.float32
    for index in (3, -1, slice(2, 11, 3), [15, 0, 7, 7], everything[:, 0] > 0.499):
        np.testing.assert_array_equal(rows[index], everything[index])
    with pytest.raises(IndexError):
        rows[16]


def test_what_is_there_is_not_computed_again(corpus, tmp_path, small_shards):
    first, again, other = Counting(), Counting(), Counting("other")
    before = filled(corpus, tmp_path / "cache", first)
    moved = shutil.move(corpus, tmp_path / "elsewhere")
    after = filled(moved, tmp_path / "cache", again, other)
    assert first.slices == other.slices == 16
    assert again.slices == 0
    np.testing.assert_array_equal(before.outputs("peak")[:], after.outputs("peak")[:])
    newer = Counting(version=2)
    filled(moved, tmp_path / "cache", newer)
    assert newer.slices == 16


def test_another_corpus_has_a_cache_of_its_own(corpus, tmp_path, sounds, caplog):
    filled(corpus, tmp_path / "cache", Counting())
    soundfile.write(corpus / "new.wav", sounds[0], 16_000)
    peak = Counting()
    assert len(filled(corpus, tmp_path / "cache", peak)) == peak.slices == 21
    assert "caches of 1 other corpora, not of these clips" in caplog.text
