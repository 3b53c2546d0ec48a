"""Audio that is read as it arrives: a long file, standard input, the microphone.

Each source yields blocks of mono PCM at 16 kHz, float32 in [-1, 1], of any length, and holds at
most one of them in memory.
"""

import io
import pathlib
import queue
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import soundfile
import soxr

from a2v_tf.audio import decode
from a2v_tf.audio.read import existing_file, read_audio
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END

_RATE = FRONT_END.sample_rate
_SAMPLE_BYTES = 2
_READ_BYTES = _RATE * _SAMPLE_BYTES  # at most one second; a live pipe gives what it has
_RAW = "raw signed 16-bit little-endian samples, mono, at 16 kHz"
# First bytes of audio files that may be piped in by mistake.
_MAGIC = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3"}
_BLOCK_SECONDS = 0.02
_WAITING_BLOCKS = 500  # 10 s of microphone, for a terminal that stalls


# Files -------------------------------------------------------------------------------------------


def file_blocks(path: pathlib.Path | str) -> Iterator[np.ndarray]:
    """Read an audio file second by second; the joined blocks equal the result of `read_audio`.

    M4A and AAC, which ffmpeg decodes, come in one block.

    Raises:
      A2vError: the file is missing, empty or corrupt, or holds NaN or infinity.
    """
    path = existing_file(path)
    if path.suffix.lower() in decode.FFMPEG_SUFFIXES:
        yield read_audio(path)
        return
    try:
        header = decode.probe(path)
        yield from _decoded(path, header)
    except decode.DecodeError as error:
        raise A2vError(f"{path}: {error}") from error
    except (soundfile.SoundFileError, OSError) as error:
        raise A2vError(f"{path}: cannot be read: {error}") from error


def _decoded(path: pathlib.Path, header: decode.Header) -> Iterator[np.ndarray]:
    resampler, read, given = _resampler(header.rate), 0, 0
    with soundfile.SoundFile(str(path)) as file:
        while read < header.length:
            pcm = file.read(min(header.rate, header.length - read), dtype="float32", always_2d=True)
            if not len(pcm):
                raise A2vError(
                    f"{path}: is cut short: ends at sample {read}, its header says {header.length}"
                )
            if not np.isfinite(pcm).all():
                second = read // header.rate
                raise A2vError(f"{path}: has NaN or infinite samples after {second} s")
            read += len(pcm)
            # The same mean as in `decode`: a single channel stays unchanged.
            mono = pcm[:, 0] if pcm.shape[1] == 1 else pcm.mean(axis=1)
            block = _resampled(resampler, mono, last=read == header.length)
            yield block[: header.samples - given]  # the resampler may round the length up
            given += len(block)


def _resampler(rate: float) -> soxr.ResampleStream | None:
    if rate == _RATE:
        return None
    return soxr.ResampleStream(rate, _RATE, 1, dtype="float32", quality="HQ")


def _resampled(
    resampler: soxr.ResampleStream | None, pcm: np.ndarray, last: bool = False
) -> np.ndarray:
    return pcm if resampler is None else resampler.resample_chunk(pcm, last=last)


# Standard input ----------------------------------------------------------------------------------


def raw_blocks(stream: io.BufferedReader) -> Iterator[np.ndarray]:
    """Read raw 16-bit PCM, mono, 16 kHz, little-endian, as it comes.

    Args:
      stream: buffered, such as `sys.stdin.buffer`.

    Raises:
      A2vError: it is a terminal, is empty, begins like an audio file, or ends within a sample.
    """
    if stream.isatty():
        raise A2vError(f"--audio=-: standard input is a terminal: expected {_RAW}")
    rest, first = b"", True
    while chunk := stream.read1(_READ_BYTES):
        if first:
            _check_raw(chunk)
            first = False
        chunk = rest + chunk
        whole = len(chunk) - len(chunk) % _SAMPLE_BYTES
        rest = chunk[whole:]
        if whole:
            yield np.frombuffer(chunk[:whole], "<i2").astype(np.float32) / 32_768
    if first:
        raise A2vError(f"--audio=-: standard input is empty: expected {_RAW}")
    if rest:
        raise A2vError(f"--audio=-: standard input ends with half a sample: expected {_RAW}")


def _check_raw(start: bytes) -> None:
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            raise A2vError(
                f"--audio=-: standard input begins like a {name} file: expected {_RAW}, as of "
                "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 -"
            )


# The microphone ----------------------------------------------------------------------------------


class Microphone:
    """The default microphone, read with PortAudio.

    ```python
    with Microphone() as microphone:
        for pcm in microphone:
            ...
    ```

    Attributes:
      overruns: number of times that audio was lost since it was opened.
    """

    def __init__(self) -> None:
        """Open the microphone at 16 kHz, or at its own rate with a resampler.

        Raises:
          A2vError: PortAudio or a microphone is missing.
        """
        self._sounddevice = _sounddevice()
        self.overruns = 0
        self._blocks: queue.Queue[np.ndarray] = queue.Queue(_WAITING_BLOCKS)
        try:
            rate = self._rate()
            self._resampler = _resampler(rate)
            self._stream = self._sounddevice.InputStream(
                samplerate=rate,
                blocksize=round(rate * _BLOCK_SECONDS),
                channels=1,
                dtype="float32",
                callback=self._keep,
            )
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise A2vError(f"cannot open a microphone: {_one_line(error)}") from error

    def __enter__(self) -> "Microphone":
        self._stream.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            try:
                pcm = self._blocks.get(timeout=1)  # without one, Ctrl-C has no effect on Windows
            except queue.Empty:
                if not self._stream.active:
                    raise A2vError("the microphone stopped: was it unplugged?") from None
                continue
            yield _resampled(self._resampler, pcm)

    def _rate(self) -> float:
        try:
            self._sounddevice.check_input_settings(samplerate=_RATE, channels=1, dtype="float32")
            return _RATE
        except self._sounddevice.PortAudioError:
            return float(self._sounddevice.query_devices(kind="input")["default_samplerate"])

    def _keep(self, pcm: np.ndarray, frames: int, time: Any, status: Any) -> None:
        """Keep a block; PortAudio's thread calls this."""
        lost = bool(status.input_overflow)
        try:
            self._blocks.put_nowait(pcm[:, 0].copy())
        except queue.Full:
            lost = True
        self.overruns += lost


def _sounddevice() -> ModuleType:
    other = "or give --audio"
    try:
        import sounddevice
    except ImportError as error:
        raise A2vError(
            f"the microphone needs the package sounddevice: pip install sounddevice, {other}"
        ) from error
    except OSError as error:  # raised if the C library is missing
        raise A2vError(
            f"the microphone needs PortAudio: apt-get install libportaudio2, {other}"
        ) from error
    return sounddevice


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
