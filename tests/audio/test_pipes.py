"""What is piped instead of raw samples."""

import gzip
import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.audio import containers
from a2v_tf.audio.live import raw_blocks
from a2v_tf.errors import A2vError
from tests.audio.formats import KINDS, SECONDS, by_ffmpeg, sound


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("piped")

    def content(name):
        path = folder / name
        if not path.exists():
            KINDS[name][0](path)
        return path.read_bytes()

    return content


def piped(content: bytes) -> np.ndarray:
    return np.concatenate(list(raw_blocks(io.BufferedReader(io.BytesIO(content)))))


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"cut.mp3"}))  # it begins within a frame
def test_files_of_sound_are_no_raw_samples(content, name):
    with pytest.raises(A2vError, match=r"begins like a file \(.+\): expected raw .*--audio=FILE"):
        piped(content(name))


FRAMES = {
    **{"no_xing.mp3": "MP3", "cbr.mp3": "MP3", "layer2.mp2": "MP2", "aac.aac": "AAC"},
    "ac3.ac3": "AC-3",
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_recognised_without_pyav(content, name, monkeypatch):
    head = content(name)[: containers.ENOUGH_FRAMES]
    monkeypatch.setitem(sys.modules, "av", None)
    assert containers.kind(head) == FRAMES[name]


@pytest.mark.parametrize(
    ("codec", "container", "rate", "settings", "expected"),
    [
        ("libmp3lame", "mp3", 22_050, {"b": 64_000}, "MP3"),
        ("libmp3lame", "mp3", 8_000, {"b": 8_000}, "MP3"),
        ("libmp3lame", "mp3", 48_000, {"b": 320_000}, "MP3"),
        ("mp2", "mp2", 24_000, {"b": 160_000}, "MP2"),
        ("mp2", "mp2", 32_000, {"b": 384_000}, "MP2"),
        ("aac", "adts", 8_000, {}, "AAC"),
        ("ac3", "ac3", 44_100, {"b": 640_000}, "AC-3"),
        ("ac3", "ac3", 32_000, {"b": 96_000}, "AC-3"),
        ("eac3", "eac3", 48_000, {}, "E-AC-3"),
    ],
)
def test_frames_of_every_size(tmp_path, codec, container, rate, settings, expected):
    path = tmp_path / "sound"
    by_ffmpeg(codec, container, rate, **settings)[0](path)
    content = path.read_bytes()
    start = 10 + int.from_bytes(content[6:10], "big") if content[:3] == b"ID3" else 0
    assert containers.kind(content[start:][: containers.ENOUGH_FRAMES]) == expected


def test_frames_of_dts():
    """No encoder is at hand: a header with the size 1,007, in the 14 bits from bit 46 on."""
    header = 0x7FFE8001 << 32 | 1_006 << 4 | 0xF
    frames = (header.to_bytes(8, "big") + bytes(999)) * 3
    assert containers.kind(frames) == "DTS"
    assert containers.kind(frames[1:]) is None
    assert containers.kind(frames[:1_010] + frames[1_011:]) is None


@pytest.mark.parametrize("name", ["no_xing.mp3", "cbr.mp3", "aac.aac", "ac3.ac3"])
def test_a_file_that_comes_in_small_pieces(content, name):
    class Slow(io.BytesIO):
        def read1(self, size=-1):
            return super().read1(min(size, 7))

    with pytest.raises(A2vError, match="begins like a file"):
        list(raw_blocks(Slow(content(name))))


@pytest.mark.parametrize(
    "content",
    [
        b"path,label,split\n" + b"a.wav,x,train\n" * 9,
        b'{"end_s": 0.08, "embedding": [' + b"0.25, " * 30,
        gzip.compress(b"samples" * 99),
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        b"PK\x03\x04" + bytes(99),
        bytes(4) + b"ftypM4A " + bytes(99),
    ],
    ids=["csv", "json", "gzip", "png", "zip", "m4a"],  # the same in all test processes
)
def test_other_files_are_no_raw_samples(content):
    with pytest.raises(A2vError, match="begins like a file"):
        piped(content)


def test_reads_of_all_lengths_lie_in_memory_of_one_length():
    """Otherwise the heap fragments, and grows by 2 MB in an hour."""

    class Pipe(io.RawIOBase):
        lengths = iter([1, 9_000, 3, 40_000, 31_999, 2, 7, 0])

        def readable(self):
            return True

        def readinto(self, buffer):
            return min(len(buffer), next(self.lengths))

    blocks = list(raw_blocks(io.BufferedReader(Pipe())))
    assert sum(map(len, blocks)) == 36_506
    assert len({len(pcm) for pcm in blocks}) > 3
    assert {pcm.base.nbytes for pcm in blocks} == {64_000}


def test_raw_samples_of_sound_pass():
    clip = (sound(16_000, 1)[:, 0] * 32_768).astype("<i2")
    for start in range(0, 16_000 * SECONDS - 20_000, 1_777):
        part = clip[start : start + 20_000]
        np.testing.assert_array_equal(piped(part.tobytes()) * 32_768, part)


@given(
    start=st.sampled_from([0xFBFF, 0xF1FF, 0xFFFF, 0x770B, 0xE0FF]),
    scale=st.sampled_from([0, 1, 10, 1_000, 9_000]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_samples_that_begin_like_a_frame_of_mp3_pass(start, scale, seed):
    noise = np.random.default_rng(seed).normal(0, scale, 20_000).astype("<i2").tobytes()
    head = start.to_bytes(2, "little") + noise
    assert containers.may_be_frames(head)
    assert containers.kind(head[: containers.ENOUGH_FRAMES]) is None
