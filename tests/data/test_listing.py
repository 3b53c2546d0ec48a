"""Listing and reading the clips of folders and TFDS data sets."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data.folder import FolderSource
from a2v_tf.data.listing import ListedClip, ListsClips, Span, slice_frames
from a2v_tf.data.sources import open_source
from a2v_tf.errors import A2vError


@pytest.mark.parametrize(
    ("seconds", "count"),
    [(0, 0), (0.02, 0), (0.5, 1), (0.975, 1), (1.3, 1), (10, 10), (60, 62), (3_600, 3_692)],
)
def test_slices_lie_side_by_side_from_start_to_end(seconds, count):
    samples = int(seconds * 16_000)
    starts = slice_frames(samples) * 160
    assert len(starts) == count
    assert not starts[:1].any()
    if count > 1:
        assert samples - 160 < starts[-1] + 15_600 <= samples
        steps = np.diff(starts)
        assert steps.max() - steps.min() <= 160
        assert abs(steps - 15_600).max() < 7_800


def test_a_folder_lists_its_readable_files(tmp_path, write, noise, caplog):
    first, second = noise(16_000, 1), noise(48_000, 2)
    write("b/first", first)
    write("a", second, rate=48_000)
    (tmp_path / "damaged.wav").write_bytes(b"RIFF and nothing else")
    source = open_source(str(tmp_path), max_bad_fraction=0.5)
    assert isinstance(source, ListsClips)
    sizes = [(tmp_path / name).stat().st_size for name in ("a.wav", "b/first.wav")]
    assert source.clips() == [
        ListedClip("a.wav", 16_000, sizes[0]),
        ListedClip("b/first.wav", 16_000, sizes[1]),
    ]
    resampled, pcm = source.read_spans([Span(0, 0, 16_000), Span(1, 160, 1_000)])
    assert resampled.shape == (16_000,)
    np.testing.assert_array_equal(pcm, first[160:1_160].astype(np.float32) / 32_768)


def test_another_channel_is_another_corpus(tmp_path, write, noise):
    write("stereo", np.stack([noise(16_000, 1), noise(16_000, 2)], axis=1))
    mix = FolderSource(tmp_path, BadFiles(0.0))
    left_only = FolderSource(tmp_path, BadFiles(0.0), channels="left")
    assert mix.clips()[0].channel is None
    assert left_only.clips()[0].channel == 0
    (left,) = left_only.read_spans([Span(0, 0, 16_000)])
    np.testing.assert_array_equal(left, noise(16_000, 1).astype(np.float32) / 32_768)


def test_a_file_that_cannot_be_decoded_gives_the_reason(tmp_path, write, noise, caplog):
    path = write("bad", noise(48_000, 1), kind="flac")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    write("good", noise(16_000, 2))
    source = open_source(str(tmp_path), max_bad_fraction=0.5)
    reason, pcm = source.read_spans([Span(0, 0, 48_000), Span(1, 0, 16_000)])
    assert isinstance(reason, str)
    assert pcm.shape == (16_000,)
    source.skip(0, reason)
    assert f"skipped {path}: {reason}" in caplog.text
    with pytest.raises(A2vError, match="2 of 2 files cannot be used"):
        source.skip(1, "of no use")


def test_nan_is_a_reason_and_silence_is_not(tmp_path, write):
    write("nan", np.full(16_000, np.nan, np.float32), kind="wavfloat")
    write("silent", np.zeros(16_000, np.int16))
    source = open_source(str(tmp_path))
    reason, silence = source.read_spans([Span(0, 0, 16_000), Span(1, 0, 16_000)])
    assert reason == "has NaN or infinite samples"
    assert not silence.any()


@pytest.mark.parametrize("with_id", [False, True])
def test_a_tfds_data_set_lists_its_clips(tmp_path, monkeypatch, noise, with_id):
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=tmp_path))
    clips = [noise(16_000 + 1_000 * i, i) for i in range(7)]
    names = {"id": tfds.features.Text()} if with_id else {}
    audio = tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes")
    tfds.dataset_builders.store_as_tfds_dataset(
        name="clips",
        version="1.0.0",
        features=tfds.features.FeaturesDict({"audio": audio, **names}),
        split_datasets={
            "train": [
                (i, {"audio": clip, **({"id": f"clip {len(clip)}"} if with_id else {})})
                for i, clip in enumerate(clips)
            ]
        },
        data_dir=tmp_path,
        download_config=tfds.download.DownloadConfig(num_shards=3),
    )
    for split, count in (("train", 7), ("train[2:6]", 4)):
        source = open_source(f"tfds:clips:{split}")
        assert isinstance(source, ListsClips)
        listed = source.clips()
        assert len({clip.name for clip in listed}) == len(listed) == count
        if with_id:
            assert [clip.name for clip in listed] == [f"clip {clip.samples}" for clip in listed]
        wanted = [Span(i, 320, clip.samples - 320) for i, clip in enumerate(listed) if i != 1]
        for span, pcm in zip(wanted, source.read_spans(wanted), strict=True):
            (original,) = [clip for clip in clips if len(clip) == listed[span.clip].samples]
            np.testing.assert_array_equal(pcm, original[320:].astype(np.float32) / 32_768)
