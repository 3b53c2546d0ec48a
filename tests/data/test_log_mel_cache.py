"""The cache of log-mel spectrograms: its crops are those of the corpus, and it survives kills."""

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from a2v_tf.data import log_mel_cache
from a2v_tf.data.log_mel_cache import CachedLogMel
from a2v_tf.data.sources import open_source
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.training.batches import log_mel_crops

FRAMES = 40
SAMPLES = FRONT_END.samples(FRAMES)


@pytest.fixture
def corpus(tmp_path):
    """Six recordings of 0.2 to 6 s; the last second of one is digital silence."""
    folder = tmp_path / "corpus"
    (folder / "below").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i, seconds in enumerate((1.3, 6.0, 3.2, 2.0, 4.1)):
        pcm = rng.uniform(-0.3, 0.3, int(seconds * 16_000)) * np.linspace(
            0.01, 1, int(seconds * 16_000)
        )
        if i == 2:
            pcm[-16_000:] = 0
        soundfile.write(folder / f"below/sound_{i}.wav", pcm, 16_000)
    soundfile.write(folder / "short.flac", rng.uniform(-0.3, 0.3, 3_200), 16_000)
    return folder


@pytest.fixture
def small(monkeypatch):
    """Shards of two clips or so, and log-mel in pieces."""
    monkeypatch.setattr(log_mel_cache, "SHARD_FRAMES", 400)
    monkeypatch.setattr(log_mel_cache, "_FRAMES_AT_ONCE", 150)


def opened(corpus, cache, **options):
    return CachedLogMel(open_source(str(corpus), **{"max_bad_fraction": 0.5, **options}), cache)


def crops(source, count=60, **options):
    source.check(SAMPLES)
    batches = log_mel_crops(source, FRAMES, batch_size=count, seed=3, round_index=1, **options)
    return next(batches.as_numpy_iterator())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("gain_db", [0.0, 6.0])
def test_crops_are_those_of_the_folder(corpus, tmp_path, gain_db):
    source = open_source(str(corpus), max_bad_fraction=0.5)
    theirs, their_clips = crops(source, gain_db=gain_db)
    ours, our_clips = crops(opened(corpus, tmp_path / "cache"), gain_db=gain_db)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=0.02 if gain_db else 0.004)
    np.testing.assert_array_equal(our_clips, their_clips)


@pytest.mark.usefixtures("small")
def test_places_are_those_of_the_folder(corpus, tmp_path):
    folder = open_source(str(corpus), max_bad_fraction=0.5)
    *_, theirs = crops(folder, places=True)
    cached = opened(corpus, tmp_path / "cache")
    log_mel, clips, ours = crops(cached, places=True)
    np.testing.assert_array_equal(ours, theirs)
    for frames, clip, (k, n, first) in zip(log_mel, clips, ours, strict=True):
        np.testing.assert_array_equal(cached.read(clip, first + k, FRAMES), frames)
        assert n == cached.clip_frames()[clip] - FRAMES + 1


@pytest.mark.usefixtures("small")
def test_clips_are_stored_whole(corpus, tmp_path):
    cached = opened(corpus, tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*/*.npy"))) > 1
    frames = cached.clip_frames()
    for clip, listed in enumerate(open_source(str(corpus)).clips()):
        pcm, _ = soundfile.read(corpus / listed.name, dtype="float32")
        expected = log_mel(tf.constant(pcm)).numpy()
        assert frames[clip] == len(expected)
        np.testing.assert_allclose(cached.read(clip, 0, len(expected)), expected, atol=0.004)
        np.testing.assert_allclose(cached.read(clip, 5, 3), expected[5:8], atol=0.004)


@pytest.mark.usefixtures("small")
def test_only_what_is_missing_or_damaged_is_computed(corpus, tmp_path, monkeypatch):
    before = crops(opened(corpus, tmp_path / "cache"))[0]
    shards = sorted((tmp_path / "cache").glob("*/*.npy"))
    computed = []
    compute = CachedLogMel._compute
    monkeypatch.setattr(
        CachedLogMel, "_compute", lambda self, shard: computed.append(shard) or compute(self, shard)
    )
    opened(corpus, tmp_path / "cache")
    assert computed == []
    shards[1].write_bytes(shards[1].read_bytes()[:-100])
    shards[0].with_suffix(".json").unlink()
    np.testing.assert_array_equal(crops(opened(corpus, tmp_path / "cache"))[0], before)
    assert sorted(computed) == [0, 1]
    # The same files elsewhere are the same corpus; another file makes another one.
    moved = corpus.rename(tmp_path / "moved")
    opened(moved, tmp_path / "cache")
    assert sorted(computed) == [0, 1]
    soundfile.write(moved / "more.wav", np.full(16_000, 0.1), 16_000)
    opened(moved, tmp_path / "cache")
    assert len(computed) > 2


def test_bad_clips_are_skipped_each_time(corpus, tmp_path):
    damaged = corpus / "below/sound_1.wav"
    soundfile.write(damaged, np.full(32_000, np.nan), 16_000, subtype="FLOAT")
    for _ in range(2):  # the second time it is known from the cache
        source = open_source(str(corpus), max_bad_fraction=0.5)
        cached = CachedLogMel(source, tmp_path / "cache")
        assert cached.clip_frames()[1] == 0
        assert len(source.bad) == 1
        assert 1 not in crops(cached)[1]
        with pytest.raises(A2vError, match=r"1 of 6 files"):
            opened(corpus, tmp_path / "cache", max_bad_fraction=0.1)


def test_what_cannot_be_gets_one_line(corpus, tmp_path):
    class Unlisted:
        def describe(self):
            return "mine"

    with pytest.raises(A2vError, match=r"^--cache: the clips of mine cannot be listed: expected"):
        CachedLogMel(Unlisted(), tmp_path / "cache")
    (tmp_path / "file").write_text("")
    with pytest.raises(A2vError, match=r"^cannot write --cache=.*file"):
        opened(corpus, tmp_path / "file")
    with pytest.raises(A2vError, match=r"no clip is long enough|none of \d+ files can be used"):
        opened(corpus, tmp_path / "cache", max_bad_fraction=1.0).check(FRONT_END.samples(10_000))
