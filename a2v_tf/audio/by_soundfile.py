"""Decode by libsndfile: PCM of every kind, FLAC, Vorbis and the old telephone codecs.

It seeks to the sample in all but the telephone codecs, which are read from the start.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import soundfile

from a2v_tf.audio.errors import DecodeError


class NotForLibsndfileError(DecodeError):
    """It is not for libsndfile, which may still have recognised it."""


# The first bytes of the files that libsndfile gets to see: it takes much else for MP3.
_MAGIC = frozenset(
    {b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"dns.", b"caff", b"fLaC", b"OggS"}
    | {b"NIST", b"Crea"}
)

# What libsndfile does not do, or not exactly: MP3 without a length, Opus after a seek.
_LEFT_TO_OTHERS = frozenset(
    {"OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "OGG_SPEEX"}
)

# libsndfile's "unknown length" is 2**63 - 1; no real file has a year of samples at 192 kHz.
_UNKNOWN_LENGTH = 2**43

_SAMPLE_BYTES = {
    **{"PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4},
    **{"FLOAT": 4, "DOUBLE": 8},
}
# Compressed audio of more samples per byte than this is silence or a lie: its end is looked at.
_DENSE = 16

HEAD_BYTES = 4_096
_BLOCK_HEADER = 4  # bytes before each block of a FLAC file's metadata

_VALUES_AT_ONCE = 2**21  # samples times channels


def reads(head: bytes) -> bool:
    """Whether a file that begins with `head` is for libsndfile to try."""
    return head[:4] in _MAGIC


def probe(path: pathlib.Path, head: bytes, size: int) -> tuple[int, int, str]:
    """Read the header: sample rate, samples per channel, and sample format such as "PCM_16".

    Args:
      path: the file.
      head: its first `HEAD_BYTES`.
      size: in bytes.

    Raises:
      NotForLibsndfileError: it should be given to another library.
      DecodeError: its header promises more than it holds, or another file follows.
    """
    if head[:4] == b"fLaC" and _is_longer_than_it_says(head, size):
        raise NotForLibsndfileError("holds more than its header says")
    if place := _next_file(path, head, size):
        raise DecodeError(f"is two files in one: the second begins at byte {place}")
    with _open(path) as file:
        if file.subtype in _LEFT_TO_OTHERS or (file.format == "OGG" and _is_chained(path)):
            raise NotForLibsndfileError(f"{file.subtype} is not for libsndfile")
        if not 0 < file.frames < _UNKNOWN_LENGTH:
            raise NotForLibsndfileError(
                "holds no samples" if file.frames <= 0 else "does not say how long it is"
            )
        if not _may_hold(file, size):
            raise DecodeError(
                f"its header promises {file.frames} samples, more than its {size} bytes hold"
            )
        return file.samplerate, file.frames, file.subtype


def _next_file(path: pathlib.Path, head: bytes, size: int) -> int | None:
    """The place of a second WAV or AIFF file after the first, of which libsndfile sees nothing."""
    if head[:4] not in (b"RIFF", b"RIFX", b"FORM"):
        return None
    length = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
    place = 8 + length + length % 2
    if length and place + len(b"RIFF....WAVE") < size:
        with path.open("rb") as file:
            file.seek(place)
            if file.read(4) == head[:4]:
                return place
    return None


def _is_longer_than_it_says(head: bytes, size: int) -> bool:
    """Whether a FLAC file holds more bytes than its samples can take, as joined files do."""
    place, last = 4, False
    while not last:
        if place + _BLOCK_HEADER > len(head):
            return False  # a picture: not worth to be read
        last = bool(head[place] & 0x80)
        place += _BLOCK_HEADER + int.from_bytes(head[place + 1 : place + _BLOCK_HEADER], "big")
    block, largest_block = (int.from_bytes(head[i : i + 2], "big") for i in (8, 10))
    largest_frame = int.from_bytes(head[15:18], "big")
    total = int.from_bytes(head[21:26], "big") & (1 << 36) - 1
    if not total or not largest_frame or not block or block != largest_block:
        return False
    return size - place > -(-total // block) * largest_frame + HEAD_BYTES  # tags may follow


def _may_hold(file: soundfile.SoundFile, size: int) -> bool:
    """Whether a file of `size` bytes may have as many samples as its header promises."""
    values = file.frames * file.channels
    sample_bytes = 0 if file.format == "FLAC" else _SAMPLE_BYTES.get(file.subtype, 0)
    if sample_bytes:
        return values * sample_bytes <= size
    return values <= _DENSE * size or _has_end(file)


def read(path: pathlib.Path, start: int, length: int) -> Iterator[np.ndarray]:
    """Decode `length` samples from sample `start` on, float32 `[channels, n]` in few blocks."""
    with _open(path) as file:
        if start:
            _go_to(file, start)
        yield from _blocks(file, length, length)


def blocks(path: pathlib.Path) -> Iterator[np.ndarray]:
    """Decode the whole file second by second, float32 `[channels, n]`.

    Raises:
      DecodeError: it cannot be decoded, or ends before its header says.
    """
    with _open(path) as file:
        read = 0
        for pcm in _blocks(file, file.frames, file.samplerate):
            read += pcm.shape[1]
            yield pcm
        if read < file.frames:
            raise cut_short(read, file.frames)


def cut_short(end: int, promised: int) -> DecodeError:
    """The error of a file that ends at sample `end`, not at sample `promised`."""
    return DecodeError(f"is cut short: ends at sample {end}, its header says {promised}")


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[soundfile.SoundFile]:
    try:
        # As bytes: the name need not be UTF-8.
        with soundfile.SoundFile(os.fsencode(path)) as file:
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        raise NotForLibsndfileError(reason(error, path)) from error


def _blocks(file: soundfile.SoundFile, length: int, at_once: int) -> Iterator[np.ndarray]:
    at_once = max(1, min(at_once, _VALUES_AT_ONCE // file.channels))
    while length > 0:
        pcm = file.read(min(length, at_once), dtype="float32", always_2d=True)
        if not len(pcm):
            return
        length -= len(pcm)
        yield pcm.T


def _go_to(file: soundfile.SoundFile, start: int) -> None:
    if file.seekable():
        file.seek(start)
        return
    for _ in _blocks(file, start, file.samplerate):
        pass


def _has_end(file: soundfile.SoundFile) -> bool:
    with contextlib.suppress(soundfile.SoundFileError):
        _go_to(file, file.frames - 1)
        return len(file.read(1, dtype="float32")) == 1
    return False


def _is_chained(path: pathlib.Path) -> bool:
    """Whether an Ogg file is several, one after the other: libsndfile ends with the first."""
    first_page = b"OggS\x00\x02"  # of a logical stream
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(first_page, 1) >= 0


def reason(error: Exception, path: pathlib.Path) -> str:
    """A library's message on one line, without the path, which the log line has already."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    text = text.replace(str(path), "").replace(str(os.fsencode(path)), "")
    return " ".join(text.split())
