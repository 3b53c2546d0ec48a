"""Audio that is read as it arrives: standard input, the microphone.

Each source yields blocks of mono PCM at a given rate, 16 kHz by default, float32 in [-1, 1], of any
length, and holds at most one of them in memory.
"""

import io
import queue
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import soxr

from a2v_tf.audio import containers
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END

_RATE = FRONT_END.sample_rate
_SAMPLE_BYTES = 2
_BLOCK_SECONDS = 0.02
_WAITING_BLOCKS = 500  # 10 s of microphone, for a terminal that stalls


# Standard input ----------------------------------------------------------------------------------


def raw_blocks(stream: io.BufferedReader, sample_rate: int = _RATE) -> Iterator[np.ndarray]:
    """Read raw 16-bit PCM, mono, little-endian, as it comes.

    Args:
      stream: buffered, such as `sys.stdin.buffer`.
      sample_rate: of the samples, in Hz.

    Raises:
      A2vError: it is a terminal, is empty, begins like a file of sound or text, or ends within a
        sample.
    """
    raw = f"raw signed 16-bit little-endian samples, mono, at {sample_rate / 1000:g} kHz"
    if stream.isatty():
        raise A2vError(f"--audio=-: standard input is a terminal: expected {raw}")
    read_bytes = sample_rate * _SAMPLE_BYTES  # at most one second; a live pipe gives what it has
    start = _checked_start(stream, read_bytes, raw, sample_rate)
    # Reads of all lengths into memory of one length: otherwise the heap fragments, and grows.
    content = bytearray(max(read_bytes, len(start)))
    content[: len(start)] = start
    held = len(start)
    while held:
        samples, rest = divmod(held, _SAMPLE_BYTES)
        if samples:
            pcm = np.empty(len(content) // _SAMPLE_BYTES, np.float32)[:samples]
            np.divide(np.frombuffer(content, "<i2", samples), 32_768, out=pcm, dtype=np.float32)
            yield pcm
        content[:rest] = content[held - rest : held]
        read = stream.readinto1(memoryview(content)[rest:])
        if not read:
            break
        held = rest + read
    if rest:
        raise A2vError(f"--audio=-: standard input ends with half a sample: expected {raw}")


def _checked_start(stream: io.BufferedReader, read_bytes: int, raw: str, sample_rate: int) -> bytes:
    """The first bytes of a stream, if they may be raw samples."""
    start = b""
    while len(start) < containers.ENOUGH or (
        len(start) < containers.ENOUGH_FRAMES and containers.may_be_frames(start)
    ):
        chunk = stream.read1(read_bytes)
        if not chunk:
            break
        start += chunk
    if not start:
        raise A2vError(f"--audio=-: standard input is empty: expected {raw}")
    if found := containers.kind(start):
        raise A2vError(
            f"--audio=-: standard input begins like a file ({found}): expected {raw}; give the "
            f"file as --audio=FILE, or pipe ffmpeg -i FILE -f s16le -ac 1 -ar {sample_rate} -"
        )
    return start


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

    def __init__(self, sample_rate: int = _RATE) -> None:
        """Open the microphone at a sample rate, or at its own rate with a resampler.

        Raises:
          A2vError: PortAudio or a microphone is missing.
        """
        self._sounddevice = _sounddevice()
        self._sample_rate = sample_rate
        self.overruns = 0
        self._blocks: queue.Queue[np.ndarray] = queue.Queue(_WAITING_BLOCKS)
        try:
            rate = self._rate()
            self._resampler = None
            if rate != sample_rate:
                self._resampler = soxr.ResampleStream(rate, sample_rate, 1, "float32", quality="HQ")
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
            yield self._resampler.resample_chunk(pcm) if self._resampler else pcm

    def _rate(self) -> float:
        try:
            self._sounddevice.check_input_settings(
                samplerate=self._sample_rate, channels=1, dtype="float32"
            )
            return self._sample_rate
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
