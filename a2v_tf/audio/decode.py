"""Decode audio files to mono at a given rate, whatever their format, rate and channels.

`probe` says how long a recording is, `read` decodes only the requested samples, and `blocks` the
whole recording, block by block. A crop is the same part of the whole, in every format. The rate of
what is decoded is that of the papers' front end, 16 kHz, unless another is asked for.

libsndfile (`by_soundfile`) decodes WAV, FLAC, AIFF and others that it seeks in to the sample; PyAV
(`by_av`) decodes everything else, and what libsndfile cannot read. The first bytes of a file
decide, not its name.
"""

import dataclasses
import functools
import math
import pathlib
import stat
from collections.abc import Iterator

import numpy as np
import soxr

from a2v_tf.audio import by_soundfile, mp3
from a2v_tf.audio.by_av import Point, Points, Recording, as_points, pyav
from a2v_tf.audio.channels import Energies, Mono
from a2v_tf.audio.checks import flaw
from a2v_tf.audio.errors import DecodeError
from a2v_tf.audio.measured import Measured, measured
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END
from a2v_tf.specs import CHANNELS

__all__ = ["SUFFIXES", "DecodeError", "Header", "blocks", "probe", "read", "to_int16", "whole"]

# Names of sound, and of films, whose sound is read.
_NAMES = """
  3g2 3gp aac ac3 aif aifc aiff amr ape au avi awb bwf caf dsf dts eac3 flac m4a m4b m4r mka mkv mov
  mp2 mp3 mp4 mpc mpga nist oga ogg opus ra rf64 rm snd sox sph spx tak tta voc w64 wav wave weba
  webm wma wv
"""
SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())

# Output samples decoded on either side of a crop, so that the resampling filter sees the same input
# as when the whole file is resampled (100 are enough for soxr HQ); for higher rates, more.
_MARGIN = 400
_RATE = FRONT_END.sample_rate

# Hydrophones have the lowest rates, bat detectors the highest. Others are damaged headers.
_LOWEST_RATE, _HIGHEST_RATE = 500, 1_000_000

_UNKNOWN = -1
_SCANNED_FILES = 100_000  # whose points are kept in memory: a kilobyte for a song


@dataclasses.dataclass(frozen=True)
class Header:
    """What is known of a file before it is decoded.

    Attributes:
      rate: samples per second.
      length: samples per channel at `rate`.
      suffix: suffix of the file's name in lower case, such as ".wav".
      subtype: sample format by soundfile's name, such as "PCM_16"; or ffmpeg's name of the decoder.
      by_av: whether PyAV decodes it, not libsndfile.
      channel: number of the channel to use; None for the mean of all.
      points: where PyAV can start to decode; None for an MP3 file with a header of its length,
        whose points are found when the first crop is read.
    """

    rate: int
    length: int
    suffix: str
    subtype: str
    by_av: bool = False
    channel: int | None = None
    points: Points | None = None

    @property
    def samples(self) -> int:
        """Samples after resampling to 16 kHz."""
        return self.samples_at(_RATE)

    def samples_at(self, rate: int) -> int:
        """Samples after resampling to `rate`."""
        return self.length * rate // self.rate


def probe(path: pathlib.Path | str, channels: str = "mix") -> Header:
    """Find out what `path` holds and how long it is.

    Compressed audio whose header does not say its length is decoded once to find it, about a
    thousand times faster than it plays. The result is kept for the next time, see `measured`.

    Args:
      path: the file.
      channels: one of `CHANNELS`: the mean of all, the first, or the one with the most energy, for
        which the whole file is decoded once.

    Raises:
      DecodeError: the file is empty or is not audio.
    """
    path = pathlib.Path(path)
    header = _open(path, channels)
    if header.length != _UNKNOWN and channels != "loudest":
        return header
    kind = "loudest" if channels == "loudest" else "length"
    found = measured(path, kind, functools.partial(_measure, header=header, kind=kind))
    return dataclasses.replace(
        header,
        length=found.length,
        channel=found.loudest if channels == "loudest" else header.channel,
        points=found.points if header.by_av else None,
    )


def _measure(path: pathlib.Path, header: Header, kind: str) -> Measured:
    length, energies = 0, Energies()
    points: list[Point] = []
    for pcm in _native_blocks(path, header, points):
        length += pcm.shape[1]
        if kind == "loudest":
            energies.add(pcm)
    return Measured(length, energies.loudest, as_points(points))


def _open(path: pathlib.Path, channels: str) -> Header:
    """A file's header; of unknown length, if only decoding it tells."""
    if channels not in CHANNELS:
        raise A2vError(f"channels={channels!r}: expected one of {', '.join(CHANNELS)}")
    head, size = _first_bytes(path)
    channel = 0 if channels == "left" else None
    header, reason = None, None
    if by_soundfile.reads(head):
        try:
            rate, length, subtype = by_soundfile.probe(path, head, size)
            header = Header(rate, length, path.suffix.lower(), subtype, False, channel)
        except by_soundfile.NotForLibsndfileError as error:
            reason = error
    elif known := mp3.rate_and_length(path):
        pyav()  # to say now if it is missing
        header = Header(*known, path.suffix.lower(), "mp3float", True, channel)
    if header is None:
        if head.startswith(b"RIFX") and reason:  # ffmpeg would take it for RIFF, and give noise
            raise reason
        header = _open_by_av(path, channel, reason)
    if not _LOWEST_RATE <= header.rate <= _HIGHEST_RATE:
        raise DecodeError(
            f"has a sample rate of {header.rate} Hz; expected {_LOWEST_RATE} to {_HIGHEST_RATE}"
        )
    return header


def _first_bytes(path: pathlib.Path) -> tuple[bytes, int]:
    """The first bytes of a file, and its size."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DecodeError("is not a file")
        if not status.st_size:
            raise DecodeError("is empty")
        with path.open("rb") as file:
            return file.read(by_soundfile.HEAD_BYTES), status.st_size
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise DecodeError(by_soundfile.reason(error, path)) from error


def _open_by_av(path: pathlib.Path, channel: int | None, other: DecodeError | None) -> Header:
    try:
        with Recording(path) as recording:
            suffix, codec = path.suffix.lower(), recording.codec
            return Header(recording.rate, _UNKNOWN, suffix, codec, True, channel)
    except DecodeError as error:
        raise other or error from error


def blocks(
    path: pathlib.Path | str, channels: str = "mix", sample_rate: int = _RATE
) -> Iterator[np.ndarray]:
    """Decode the whole file, block by block.

    Args:
      path: the file.
      channels: as for `probe`.
      sample_rate: of the result, in Hz.

    Yields:
      float32 `[any number]`, mono at `sample_rate`.

    Raises:
      DecodeError: the file cannot be read to its end, has NaN, infinite or far too large samples,
        or channels that cancel each other.
    """
    path = pathlib.Path(path)
    header = probe(path, channels) if channels == "loudest" else _open(path, channels)
    mono, rate = Mono(header.channel), header.rate
    read = given = 0
    resampler = None
    if rate != sample_rate:
        resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    for pcm in _native_blocks(path, header, []):
        read += pcm.shape[1]
        block = mono(pcm)
        if resampler:
            block = resampler.resample_chunk(np.ascontiguousarray(block))
        if reason := flaw(block):
            raise DecodeError(f"{reason}, {given // sample_rate} s after its start")
        given += len(block)
        yield block
    if header.length != _UNKNOWN and read < header.length:
        raise by_soundfile.cut_short(read, header.length)
    mono.check()
    if resampler:
        rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        yield rest[: read * sample_rate // rate - given]  # it may round the length up


def whole(path: pathlib.Path | str, channels: str = "mix", sample_rate: int = _RATE) -> np.ndarray:
    """Decode the whole file at once, float32 `[samples]`; otherwise as `blocks`."""
    return np.concatenate([np.zeros(0, np.float32), *blocks(path, channels, sample_rate)])


def _native_blocks(path: pathlib.Path, header: Header, points: list[Point]) -> Iterator[np.ndarray]:
    """Decode at the file's own rate, float32 `[channels, n]` of about a second each."""
    if not header.by_av:
        yield from by_soundfile.blocks(path)
        return
    with Recording(path) as recording:
        yield from _gathered(recording.blocks(points), header.rate)


def _gathered(pieces: Iterator[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Join pieces to blocks of at least `samples`, as long as their channels do not change."""
    held: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        if held and (count >= samples or len(piece) != len(held[0])):
            yield np.concatenate(held, axis=1)
            held, count = [], 0
        held.append(piece)
        count += piece.shape[1]
    if held:
        yield np.concatenate(held, axis=1)


def read(
    path: pathlib.Path | str,
    header: Header,
    start: int = 0,
    samples: int | None = None,
    sample_rate: int = _RATE,
) -> np.ndarray:
    """Decode `samples` samples from sample `start` on; seeks instead of reading it all.

    Sample k of the result is the audio at (start + k) / sample_rate seconds. A file at this rate is
    not resampled: 16-bit PCM gives exactly int16 / 32768.

    Args:
      path: the file.
      header: from `probe(path)`.
      start: first sample, at `sample_rate`.
      samples: number of samples at `sample_rate`; None for all to the end.
      sample_rate: of the result, in Hz.

    Returns:
      float32 `[samples]`, of the channels that `probe` was asked for.

    Raises:
      DecodeError: the file cannot be read up to there, or its channels cancel each other.
    """
    samples = header.samples_at(sample_rate) - start if samples is None else samples
    span = native_span(header.rate, header.length, start, samples, sample_rate)
    return span.cut(_read_native(pathlib.Path(path), header, span.begin, span.end))


@dataclasses.dataclass(frozen=True)
class NativeSpan:
    """The samples at a recording's own rate behind a crop at another rate; from `native_span`.

    Attributes:
      begin: first sample, at `rate`.
      end: one past the last, at `rate`.
      rate: the recording's own rate.
      offset: start of the crop after resampling, at `sample_rate`.
      samples: samples in the crop, at `sample_rate`.
      sample_rate: of the crop.
    """

    begin: int
    end: int
    rate: int
    offset: int
    samples: int
    sample_rate: int

    def cut(self, native: np.ndarray) -> np.ndarray:
        """Resample samples begin..end, float32 `[end - begin]`, and cut out the crop."""
        if self.rate == self.sample_rate:
            return native
        resampled = soxr.resample(native, self.rate, self.sample_rate, quality="HQ")
        return resampled[self.offset : self.offset + self.samples]


def native_span(
    rate: int, length: int, start: int, samples: int, sample_rate: int = _RATE
) -> NativeSpan:
    """The part of a recording of `length` samples at `rate` to read for a crop at `sample_rate`."""
    if rate == sample_rate:
        return NativeSpan(start, start + samples, rate, 0, samples, sample_rate)
    step_out, step_in = ratio(rate, sample_rate)
    margin = _MARGIN * max(1, -(-sample_rate // _RATE))
    # Start where an output sample coincides with an input sample: the resampler's first output is
    # then exactly at its first input, without a shift by a fraction of a sample.
    steps = max(0, start - margin) // step_out
    begin, offset = steps * step_in, start - steps * step_out
    end = -(-(start + samples + margin) * step_in // step_out)
    return NativeSpan(begin, min(length, end), rate, offset, samples, sample_rate)


def ratio(rate: int, sample_rate: int = _RATE) -> tuple[int, int]:
    """Numbers of output and input samples in the shortest time that holds whole numbers of both."""
    divisor = math.gcd(rate, sample_rate)
    return sample_rate // divisor, rate // divisor


def _read_native(path: pathlib.Path, header: Header, start: int, end: int) -> np.ndarray:
    """Decode samples start..end at the file's own rate, float32 `[end - start]`, one channel."""
    mono = Mono(header.channel)
    if header.by_av:
        points = _points(path, header.length) if header.points is None else header.points
        with Recording(path) as recording:
            pieces = _gathered(recording.read(points, start, end), end - start)
            parts = [mono(pcm) for pcm in pieces]
    else:
        parts = [mono(pcm) for pcm in by_soundfile.read(path, start, end - start)]
    pcm = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])
    if len(pcm) < end - start:
        raise by_soundfile.cut_short(start + len(pcm), header.length)
    mono.check()
    return pcm


@functools.lru_cache(_SCANNED_FILES)
def _points(path: pathlib.Path, length: int) -> Points:
    """The points of an MP3 file of known length."""
    with Recording(path) as recording:
        return recording.scan()


def to_int16(pcm: np.ndarray) -> np.ndarray:
    """Convert float32 `[samples]` in [-1, 1] to int16; 16-bit PCM is restored exactly.

    Raises:
      DecodeError: some samples are not finite, or far beyond [-1, 1].
    """
    if reason := flaw(pcm):
        raise DecodeError(reason)
    return np.clip(np.round(pcm * 32_768.0), -32_768, 32_767).astype(np.int16)
