"""Decode by PyAV, which brings ffmpeg's libraries: MP3, AAC, Opus, WMA and what else there is.

What a header says about the length of compressed audio is often an estimate. So `measure` decodes a
recording once, and notes places where decoding can start later: `points`.

A decoder that starts in the middle needs some time until it gives what it would give from the
start; some, such as AAC with its noise, never do. A crop is nevertheless the same part of the whole
recording, bit for bit:

- MP3 depends on at most half a second before. Any point before that will do.
- AAC, Opus and others are decoded in blocks of 30 s, also when the whole recording is read: a new
  decoder starts at every point, and takes over once it had a second to settle.
- Everything else is decoded from its start.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fractions
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from a2v_tf.audio.by_soundfile import cut_short, reason
from a2v_tf.audio.errors import DecodeError
from a2v_tf.errors import how_to_install

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_LENIENT = {"metadata_errors": "replace"}
# ffmpeg's names of the containers of sound; others, such as playlists, name further files.
_CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,ircam,loas,"
    "matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,nistsphere,nut,ogg,oma,qcp,rm,shn,sox,tak,truehd,tta,"
    "voc,w64,wav,wv,xwma"
)

# Containers whose lengths are promises, not estimates.
_PROMISES = frozenset({"aiff", "asf", "au", "caf", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
_PROMISE_KEPT = 0.98  # by the shortest frames and edit lists

_MP3 = frozenset({"mp3", "mp3float"})
_MP3_FILES = frozenset({"mp3", "wav"})  # where MP3 frames follow each other in the file itself
_MP3_STRIDE = 64  # frames between points
_MP3_PREROLL = 32 * 1152  # samples; a frame may refer to 255 bytes before it, of 11 or more each

_IN_BLOCKS = frozenset({"aac", "alac", "flac", "opus", "vorbis", *_MP3})
_BLOCK_SECONDS = 30
_PREROLL_SECONDS = 1

_READ_BYTES = 2**16


@dataclasses.dataclass(frozen=True)
class Points:
    """Where decoding can start.

    Attributes:
      keys: int64 `[points]`, the time stamp of a packet, or the place of an MP3 frame in the file.
      starts: int64 `[points]`, the number of the sample that follows that packet.
      checks: int64 `[points]`, a checksum of that packet: some containers give other time stamps
        after a seek.
    """

    keys: np.ndarray
    starts: np.ndarray
    checks: np.ndarray


Point = tuple[int, int, int]  # a row of `Points`


class Recording:
    """An open file; `with Recording(path) as recording`.

    Attributes:
      rate: samples per second.
      codec: ffmpeg's name of its decoder.
      is_mp3: whether it consists of MP3 frames and little else.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Open it.

        Raises:
          DecodeError: it holds no sound that ffmpeg's libraries read.
        """
        self._path = path
        with _av_errors(path):
            library = pyav()
            # Newer versions pass over metadata that are not UTF-8 without being told to.
            lenient = {} if int(library.__version__.split(".")[0]) >= 19 else _LENIENT
            self._container: InputContainer = library.open(
                # "file:" keeps "a:b.m4a" from being taken for a URL.
                f"file:{os.path.abspath(path)}",
                options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"},
                **lenient,
            )
        try:
            if not self._container.streams.audio:
                raise DecodeError("holds no audio")
            self._stream = self._container.streams.audio[0]
            context = self._stream.codec_context
            if context is None or not context.sample_rate:
                raise DecodeError("holds audio of an unknown kind")
            self.rate, self.codec = int(context.sample_rate), context.name
        except BaseException:
            self._container.close()
            raise
        raw = self.codec in _MP3 and self._container.format.name in _MP3_FILES
        self.is_mp3 = raw
        self._repeats = False
        self._in_blocks = not raw and (self.codec in _IN_BLOCKS or self.codec.startswith("pcm_"))

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def _promised(self) -> int | None:
        """Samples that the header promises; None if it does not say, or estimates."""
        if self._container.format.name not in _PROMISES:
            return None
        duration = self._stream.duration
        if duration is None and self._container.duration is not None:
            seconds = self._container.duration / 1e6
        elif duration is not None and self._stream.time_base is not None:
            seconds = float(duration * self._stream.time_base)
        else:
            return None
        return round(seconds * self.rate)

    def blocks(self, points: list[Point] | None = None) -> Iterator[np.ndarray]:
        """Decode the whole recording, float32 `[channels, n]`; `points` gets its `Points`.

        It gets none if time stamps repeat, as in joined Ogg files: they would not be found again.

        Raises:
          DecodeError: it cannot be decoded, or ends before its header says.
        """
        ended = 0
        for pcm in self._from_start([] if points is None else points):
            ended += pcm.shape[1]
            yield pcm
        if not ended:
            raise DecodeError("holds no samples")
        if self._repeats and points is not None and not self.is_mp3:
            points.clear()
        promised = self._promised
        if promised is not None and ended < _PROMISE_KEPT * promised - self.rate / 4:
            raise cut_short(ended, promised)

    def scan(self) -> Points:
        """The points of an MP3 file whose length is known: its frames are found, not decoded."""
        points: list[Point] = []
        packets, added = 0, None
        for packet in self._packets():
            if packet.pts is None or packet.pos is None or packet.duration is None:
                continue
            if added is None:
                # The first sample has a time stamp: what an encoder puts before it is left out.
                for frame in self._stream.codec_context.decode(packet):
                    added = self._sample(frame.pts, frame.time_base)
            elif packets % _MP3_STRIDE == 0:
                end = self._sample(packet.pts + packet.duration, packet.time_base)
                points.append((packet.pos, end - added, _check(packet)))
            packets += 1
        return as_points(points)

    def _sample(self, time: int, base: fractions.Fraction) -> int:
        return round(time * base * self.rate)

    def _from_start(self, points: list[Point]) -> Iterator[np.ndarray]:
        run, packets = _Run(self._stream.codec_context, self.rate, self.is_mp3), 0
        following: _Run | None = None
        latest = None
        for packet in self._packets():
            if latest is not None and packet.pts is not None and packet.pts <= latest:
                self._repeats = True
            latest = packet.pts
            pcm = run.feed(packet)
            if self.is_mp3:
                if packets % _MP3_STRIDE == 0 and packet.pos is not None:
                    points.append((packet.pos, run.position, _check(packet)))
            elif following is None and self._in_blocks and self._is_time(points, run.position):
                if packet.pts is not None:
                    following = _Run(self._fresh(), self.rate, self.is_mp3)
                    following.start(packet, run.position)
                    points.append((packet.pts, run.position, _check(packet)))
            elif following is not None:
                settled = points[-1][1] + self._preroll
                late = following.feed(packet)
                if following.position != run.position:  # not a decoder that can start anywhere
                    self._in_blocks, following = False, None
                    points.pop()
                elif following.position >= settled:
                    yield from _cut(pcm, run.position, 0, settled)
                    yield from _cut(late, following.position, settled, None)
                    run, following = following, None
                    continue
            packets += 1
            yield from pcm
        yield from run.end()

    def _is_time(self, points: list[Point], position: int) -> bool:
        last = points[-1][1] if points else 0
        return position >= last + _BLOCK_SECONDS * self.rate

    @property
    def _preroll(self) -> int:
        return _MP3_PREROLL if self.is_mp3 else _PREROLL_SECONDS * self.rate

    def _packets(self) -> Iterator[av.Packet]:
        with _av_errors(self._path):
            for packet in self._container.demux(self._stream):
                if packet.size:  # the last one is empty
                    yield packet

    def _fresh(self) -> Any:
        """A new decoder of the same sound."""
        of = self._stream.codec_context
        context = pyav().CodecContext.create(of.codec.name, "r")
        if of.extradata:
            context.extradata = of.extradata
        context.sample_rate = self.rate
        context.layout = of.layout
        return context

    # A part of the recording ---------------------------------------------------------------------

    def read(self, points: Points, start: int, end: int) -> Iterator[np.ndarray]:
        """Decode samples start..end, float32 `[channels, n]` in blocks; fewer if it ends before."""
        if self.is_mp3:
            yield from self._read_from(points, self._point(points, start), start, end)
            return
        while start < end:
            point = self._point(points, start)
            # Here the decoder that starts at the next point takes over.
            until = end
            if point + 1 < len(points.starts):
                until = min(end, int(points.starts[point + 1]) + self._preroll)
            yield from self._read_from(points, point, start, until)
            start = until

    def _point(self, points: Points, start: int) -> int:
        """The last point with which sample `start` is right; -1 for the start of the file."""
        settled = points.starts + self._preroll
        return int(np.searchsorted(settled, start, side="right")) - 1

    def _read_from(self, points: Points, point: int, start: int, end: int) -> Iterator[np.ndarray]:
        if point < 0:
            yield from self._skip_to(start, end)
            return
        key, position = int(points.keys[point]), int(points.starts[point])
        run = _Run(self._fresh(), self.rate, self.is_mp3)
        packets = self._frames_at(key, run) if self.is_mp3 else self._packets_at(key)
        first = next(packets, None)
        if first is None or _check(first) != points.checks[point]:  # the container lost it
            yield from self._skip_to(start, end)
            return
        run.start(first, position)
        for packet in packets:
            pcm = run.feed(packet)
            yield from _cut(pcm, run.position, start, end)
            if run.position >= end:
                return
        pcm = run.end()
        yield from _cut(pcm, run.position, start, end)
        if run.position < end:  # after a seek, some containers end before the recording does
            yield from self._skip_to(max(start, run.position), end)

    def _skip_to(self, start: int, end: int) -> Iterator[np.ndarray]:
        """Decode from the start of the file and keep samples start..end."""
        with Recording(self._path) as again:
            position = 0
            for pcm in again._from_start([]):
                position += pcm.shape[1]
                yield from _cut([pcm], position, start, end)
                if position >= end:
                    return

    def _packets_at(self, key: int) -> Iterator[av.Packet]:
        """The packets from the one with the time stamp `key` on; none if it is not found."""
        try:
            self._container.seek(key, stream=self._stream)
            packets = self._packets()
            for packet in packets:
                if packet.pts == key:
                    yield packet
                    break
                if packet.pts is not None and packet.pts > key:
                    return
        except (pyav().FFmpegError, DecodeError):
            return
        yield from packets

    def _frames_at(self, key: int, run: _Run) -> Iterator[av.Packet]:
        """The MP3 frames from byte `key` of the file on."""
        with self._path.open("rb") as file:
            file.seek(key)
            while content := file.read(_READ_BYTES):
                yield from run.parse(content)
            yield from run.parse(b"")


def as_points(points: list[Point]) -> Points:
    """The `Points` that `Recording.blocks` noted."""
    columns = np.array(points, np.int64).reshape(-1, 3).T.copy()
    return Points(*columns)


class _Run:
    """A decoder, and the number of the sample that it gives next: `position`."""

    def __init__(self, context: Any, rate: int, is_mp3: bool) -> None:
        self._context, self._rate, self._is_mp3 = context, rate, is_mp3
        self._error: Exception | None = None
        self.position = 0

    def start(self, packet: av.Packet, position: int) -> None:
        """Take the first packet of a recording's middle, whose last sample precedes `position`."""
        self.feed(packet)
        self.position = position

    def feed(self, packet: av.Packet | None) -> list[np.ndarray]:
        """Decode a packet, float32 `[channels, n]` each.

        Packets that cannot be decoded are left out at the start and the end of a recording that
        was cut somewhere.

        Raises:
          DecodeError: such a packet comes in the middle.
        """
        try:
            frames = self._context.decode(packet)
        except pyav().FFmpegError as error:
            if self.position and not (self._is_mp3 and _is_tag(packet)):
                self._error = error
            return []
        pcm = [_array(frame, self._rate) for frame in frames]
        if pcm and self._error:
            seconds = self.position / self._rate
            raise DecodeError(f"is damaged {seconds:.1f} s after its start: {_text(self._error)}")
        for frame in frames:
            self.position += frame.samples
        return pcm

    def end(self) -> list[np.ndarray]:
        """What the decoder still holds."""
        return self.feed(None)

    def parse(self, content: bytes) -> list[av.Packet]:
        """Cut the bytes of a file into packets."""
        return self._context.parse(content)


def _is_tag(packet: av.Packet | None) -> bool:
    """Whether bytes between MP3 frames are no frame, as the tags of joined files are not."""
    start = bytes(packet)[:2] if packet is not None else b""
    return not (start[:1] == b"\xff" and start[1:] >= b"\xe0")


def _check(packet: av.Packet) -> int:
    return zlib.crc32(bytes(packet))


def _cut(pcm: list[np.ndarray], position: int, start: int, end: int | None) -> Iterator[np.ndarray]:
    """The part from sample `start` to `end` of what ends at `position`."""
    begin = position - sum(part.shape[1] for part in pcm)
    for part in pcm:
        after = begin + part.shape[1]
        if after > start and (end is None or begin < end):
            yield part[:, max(0, start - begin) : None if end is None else max(0, end - begin)]
        begin = after


def _array(frame: av.AudioFrame, rate: int) -> np.ndarray:
    if frame.sample_rate != rate:
        raise DecodeError(f"changes its sample rate from {rate} to {frame.sample_rate} Hz")
    if frame.format.name == "fltp":  # of most codecs; twice as fast as to_ndarray
        planes = frame.planes
        channels: np.ndarray = np.empty((len(planes), frame.samples), np.float32)
        for channel, plane in zip(channels, planes, strict=True):
            channel[:] = np.frombuffer(memoryview(plane), np.float32, frame.samples)
        return channels
    pcm: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        pcm = pcm.reshape(frame.samples, -1).T
    if pcm.dtype == np.uint8:
        return (pcm.astype(np.float32) - 128) / 128
    if pcm.dtype.kind == "i":
        return (pcm / 2.0 ** (8 * pcm.dtype.itemsize - 1)).astype(np.float32)
    return pcm.astype(np.float32, copy=False)


def pyav() -> Any:
    """Import PyAV: that takes a tenth of a second and 17 MB, which WAV and FLAC do not need.

    Raises:
      DecodeError: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise DecodeError(f"needs {how_to_install('av')}") from error
    return av


@contextlib.contextmanager
def _av_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except pyav().FFmpegError as error:
        raise DecodeError(_text(error)) from error
    except OSError as error:
        raise DecodeError(reason(error, path)) from error


def _text(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    if "Invalid" in text:
        return "is not audio, or damaged: invalid data"
    return " ".join(text.split())
