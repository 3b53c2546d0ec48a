"""Decode part of an audio file to 16 kHz mono, whatever its format, rate and channels.

`probe` reads the header and `read` decodes only the requested samples, with libsndfile and soxr.
Seeks are exact to the sample. Only Opus, whose decoder has a long memory, gives slightly different
values after a seek than from the start. M4A and AAC are decoded by ffmpeg, whose seek may be one
sample off.
"""

import dataclasses
import json
import math
import pathlib
import shutil
import subprocess

import numpy as np
import soundfile
import soxr

from a2v_tf.frontend import FRONT_END

SOUNDFILE_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".opus"})
FFMPEG_SUFFIXES = frozenset({".m4a", ".aac"})
SUFFIXES = SOUNDFILE_SUFFIXES | FFMPEG_SUFFIXES

# Output samples decoded on either side of a crop, so that the resampling filter sees the same input
# as when the whole file is resampled (100 are enough for soxr HQ).
_MARGIN = 400

# The first four MP3 frames after a seek may lack bits that are stored in earlier frames.
_MP3_PREROLL = 4 * 1152

# libsndfile's "unknown length" is 2**63 - 1; no real file has a year of samples at 192 kHz.
_UNKNOWN_LENGTH = 2**43


class DecodeError(Exception):
    """The file cannot be decoded; the message is a short reason without the file's name."""


@dataclasses.dataclass(frozen=True)
class Header:
    """The header of a file.

    Attributes:
      rate: samples per second.
      length: samples per channel at `rate`.
      suffix: suffix of the file's name in lower case, such as ".wav".
      subtype: sample format by soundfile's name, such as "PCM_16".
    """

    rate: int
    length: int
    suffix: str
    subtype: str

    @property
    def samples(self) -> int:
        """Samples after resampling to 16 kHz."""
        return self.length * FRONT_END.sample_rate // self.rate


def probe(path: pathlib.Path | str) -> Header:
    """Read the header of `path`.

    Raises:
      DecodeError: the file is empty or is not audio.
    """
    path = pathlib.Path(path)
    try:
        if path.stat().st_size == 0:
            raise DecodeError("is empty")
        if path.suffix.lower() in FFMPEG_SUFFIXES:
            return _ffprobe(path)
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise DecodeError(_reason(error, path)) from error
    if not 0 < info.frames < _UNKNOWN_LENGTH:
        raise DecodeError("holds no samples" if info.frames <= 0 else "does not say how long it is")
    return Header(info.samplerate, info.frames, path.suffix.lower(), info.subtype)


def read(
    path: pathlib.Path | str, header: Header, start: int = 0, samples: int | None = None
) -> np.ndarray:
    """Decode `samples` samples at 16 kHz from sample `start` on; seeks instead of reading it all.

    Sample k of the result is the audio at (start + k) / 16000 s. A file at 16 kHz is not resampled:
    16-bit PCM gives exactly int16 / 32768.

    Args:
      path: the file.
      header: from `probe(path)`.
      start: first sample, at 16 kHz.
      samples: number of samples at 16 kHz; None for all to the end.

    Returns:
      float32 `[samples]`, the channels averaged.

    Raises:
      DecodeError: the file cannot be read up to there.
    """
    samples = header.samples - start if samples is None else samples
    span = native_span(header.rate, header.length, start, samples)
    return span.cut(_read_native(path, header, span.begin, span.end - span.begin))


@dataclasses.dataclass(frozen=True)
class NativeSpan:
    """The samples at a recording's own rate behind a crop at 16 kHz; from `native_span`.

    Attributes:
      begin: first sample, at `rate`.
      end: one past the last, at `rate`.
      rate: the recording's own rate.
      offset: start of the crop after resampling, at 16 kHz.
      samples: samples in the crop, at 16 kHz.
    """

    begin: int
    end: int
    rate: int
    offset: int
    samples: int

    def cut(self, native: np.ndarray) -> np.ndarray:
        """Resample samples begin..end, float32 `[end - begin]`, and cut out the crop."""
        if self.rate == FRONT_END.sample_rate:
            return native
        resampled = soxr.resample(native, self.rate, FRONT_END.sample_rate, quality="HQ")
        return resampled[self.offset : self.offset + self.samples]


def native_span(rate: int, length: int, start: int, samples: int) -> NativeSpan:
    """The part of a recording of `length` samples at `rate` to read for a crop at 16 kHz."""
    if rate == FRONT_END.sample_rate:
        return NativeSpan(start, start + samples, rate, 0, samples)
    step_out, step_in = ratio(rate)
    # Start where an output sample coincides with an input sample: the resampler's first output is
    # then exactly at its first input, without a shift by a fraction of a sample.
    steps = max(0, start - _MARGIN) // step_out
    end = -(-(start + samples + _MARGIN) * step_in // step_out)
    return NativeSpan(steps * step_in, min(length, end), rate, start - steps * step_out, samples)


def ratio(rate: int) -> tuple[int, int]:
    """Numbers of output and input samples in the shortest time that holds whole numbers of both."""
    divisor = math.gcd(rate, FRONT_END.sample_rate)
    return FRONT_END.sample_rate // divisor, rate // divisor


def _read_native(path: pathlib.Path | str, header: Header, start: int, length: int) -> np.ndarray:
    """Decode at the file's own rate, float32 `[length]`, the channels averaged."""
    path = pathlib.Path(path)
    if path.suffix.lower() in FFMPEG_SUFFIXES:
        pcm = _ffmpeg(path, header, start, length)
    else:
        try:
            preroll = min(start, _MP3_PREROLL) if header.suffix == ".mp3" else 0
            with soundfile.SoundFile(str(path)) as file:
                file.seek(start - preroll)
                pcm = file.read(preroll + length, dtype="float32")[preroll:]
        except (soundfile.SoundFileError, OSError) as error:
            raise DecodeError(_reason(error, path)) from error
    if pcm.ndim == 2:
        pcm = pcm.mean(axis=1)
    if len(pcm) < length:
        raise DecodeError(
            f"is cut short: ends at sample {start + len(pcm)}, its header says {header.length}"
        )
    return pcm


def _ffprobe(path: pathlib.Path) -> Header:
    command = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-of", "json"]
    command += ["-show_entries", "stream=sample_rate,duration:format=duration"]
    answer = json.loads(_run([*command, _ffmpeg_name(path)], path))
    if not answer.get("streams"):
        raise DecodeError("holds no audio stream")
    stream = answer["streams"][0]
    duration = stream.get("duration") or answer.get("format", {}).get("duration")
    if duration is None:
        raise DecodeError("does not say how long it is")
    rate = int(stream["sample_rate"])
    return Header(rate, math.floor(float(duration) * rate), path.suffix.lower(), "ffmpeg")


def _ffmpeg(path: pathlib.Path, header: Header, start: int, length: int) -> np.ndarray:
    # Times in microseconds: finer than a sample of any rate.
    command = ["ffmpeg", "-v", "error", "-nostdin", "-ss", f"{start / header.rate:.6f}"]
    command += ["-i", _ffmpeg_name(path), "-map", "0:a:0", "-frames:a", "999999999"]
    command += ["-t", f"{(length + 1) / header.rate:.6f}", "-ac", "1"]
    command += ["-ar", str(header.rate), "-f", "f32le", "-"]
    return np.frombuffer(_run(command, path), np.float32)[:length]


def _ffmpeg_name(path: pathlib.Path) -> str:
    # "file:" keeps names such as "-abc.m4a" or "a:b.m4a" from being taken as an option or URL.
    return f"file:{path}"


def _run(command: list[str], path: pathlib.Path) -> bytes:
    if shutil.which(command[0]) is None:
        raise DecodeError(f"{path.suffix.lower()[1:]} needs {command[0]} (of ffmpeg) on PATH")
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise DecodeError(lines[-1] if lines else f"{command[0]} failed")
    return done.stdout


def _reason(error: Exception, path: pathlib.Path) -> str:
    """The library's message on one line, without the path, which the log line has already."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(text.replace(str(path), "").split())


def to_int16(pcm: np.ndarray) -> np.ndarray:
    """Convert float32 `[samples]` in [-1, 1] to int16; 16-bit PCM is restored exactly.

    Raises:
      DecodeError: some samples are not finite.
    """
    if not np.isfinite(pcm).all():
        raise DecodeError("has NaN or infinite samples")
    return np.clip(np.round(pcm * 32_768.0), -32_768, 32_767).astype(np.int16)
