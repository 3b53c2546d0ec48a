"""Every format, container and codec: length, position, and crops that equal parts of the whole."""

import functools
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.audio import by_av, decode
from tests.audio.formats import KINDS, SECONDS, sound

_ROUNDING = 1e-6  # of the resampler; the decoders are exact

# The others hold `sound` twice, or a part of it.
ALONE = sorted(set(KINDS) - {"two.mp3", "two.flac", "two_vorbis.ogg", "cut.mp3"})

# Encoders delay the sound, and some containers do not say by how much: the most samples.
DELAYS = {
    **dict.fromkeys(("mp3_in.wav", "no_xing.mp3", "abr_no_xing.mp3"), 1_105),
    **{"aac.aac": 1_024, "layer2.mp2": 481, "ac3.ac3": 256, "wma.wma": -2_048, "amr.amr": 40},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Callable[[str], pathlib.Path]:
    """A file of a kind, made once; blocks are short, so that there are several."""
    folder = tmp_path_factory.mktemp("formats")

    @functools.cache
    def path(name: str) -> pathlib.Path:
        KINDS[name][0](folder / name)
        return folder / name

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(by_av, "_BLOCK_SECONDS", 2)
        patch.setattr(by_av, "_MP3_STRIDE", 8)
        yield path


@functools.cache
def opened(path: pathlib.Path) -> tuple[decode.Header, np.ndarray]:
    return decode.probe(path), decode.whole(path)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_crop_is_that_part_of_the_whole(made, name, data):
    path = made(name)
    header, whole = opened(path)
    assert header.samples == len(whole)
    start = data.draw(st.integers(0, len(whole) - 1))
    samples = data.draw(st.integers(1, len(whole) - start))
    crop = decode.read(path, header, start, samples)
    np.testing.assert_allclose(crop, whole[start : start + samples], rtol=0, atol=_ROUNDING)


@pytest.mark.parametrize("name", ["two.mp3", "two.flac", "two_vorbis.ogg"])
def test_joined_files_are_read_to_their_end(made, name):
    header, _ = opened(made(name))
    assert header.length == pytest.approx(2 * SECONDS * header.rate, rel=0.01)


def test_a_title_that_is_no_utf8_does_not_matter(made, tmp_path):
    mp3 = made("cbr.mp3").read_bytes()
    frame = b"TIT2\0\0\0\4\0\0\3\xff\xfe\xe9"
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(b"ID3\4\0\0\0\0\0" + bytes([len(frame)]) + frame + mp3)
    assert by_av.Recording(tagged).is_mp3
    np.testing.assert_array_equal(decode.whole(tagged), decode.whole(made("cbr.mp3")))


@pytest.mark.parametrize("name", ALONE)
def test_sound_is_where_it_was(made, name):
    rate = KINDS[name][1]
    header, whole = opened(made(name))
    assert header.rate == rate
    delay = DELAYS.get(name, 0)
    assert abs(header.length - rate * SECONDS) <= 3_600  # whole frames
    clip = sound(rate).mean(axis=1)
    original = np.interp(np.arange(16_000 * SECONDS) / 16_000, np.arange(len(clip)) / rate, clip)
    late = _lag(whole, original)
    assert late == pytest.approx(delay * 16_000 / rate, abs=1.0 if delay else 0.5)


def _lag(late: np.ndarray, early: np.ndarray) -> int:
    """By how many samples `late` is later, by the maximum of the cross-correlation."""
    size = 2 ** int(np.ceil(np.log2(len(late) + len(early))))
    product = np.fft.rfft(late, size) * np.fft.rfft(early, size).conj()
    shift = int(np.fft.irfft(product, size).argmax())
    return shift if shift < size // 2 else shift - size
