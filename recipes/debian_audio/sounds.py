"""Decoding, speech synthesis, notes and mixtures, as PCM: int16 `[samples]`, 16 kHz, mono.

Recordings are decoded by the same libraries as ever, not as `a2v_tf.audio` does, so that later
versions of it leave the clips as they are.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

import numpy as np
import soundfile
import soxr

from a2v_tf.audio.decode import native_span
from a2v_tf.errors import A2vError
from a2v_tf.files import whole_file

RATE = 16_000
_SEEKABLE = (".ogg", ".wav", ".flac")
_OF_LIBSNDFILE = (*_SEEKABLE, ".mp3")
_OF_FFMPEG = (".g722", ".gsm", ".au", ".opus")
_ALS_RATE = 11_025
_FRAME = RATE // 10
TOOLS = ("ffmpeg", "espeak-ng", "flite", "fluidsynth")

# Notes of one instrument: each lasts 1.4 s, and starts 2.5 s after the previous one.
_NOTE_S, _SLOT_S, NOTE_CLIP_S = 1.4, 2.5, 2.0
_TICKS = 480  # a beat, at 120 beats a minute: 960 a second


def check_tools() -> None:
    """Check that all programs are installed.

    Raises:
      A2vError: some are missing.
    """
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        names = " ".join(missing)
        raise A2vError(f"{names} not found: apt-get install --no-install-recommends {names}")


def decode(path: pathlib.Path) -> np.ndarray:
    """Decode any recording of the packages; unreadable ones are empty.

    libsndfile reads most of them, ffmpeg Opus and the telephone formats.
    """
    if path.suffix == ".ALS":  # of Drascula: unsigned bytes without a header
        wave = np.frombuffer(path.read_bytes(), np.uint8).astype(np.float32) / 128 - 1
        return _to_pcm(wave, _ALS_RATE)
    if path.suffix in _OF_LIBSNDFILE:
        try:
            with soundfile.SoundFile(path) as file:
                rate = file.samplerate
                wave = file.read(dtype="float32", always_2d=True).mean(axis=1)
        except soundfile.SoundFileError:
            return np.zeros(0, np.int16)
        pcm = _to_pcm(wave, rate)
        return pcm[: len(wave) * RATE // rate] if path.suffix in _SEEKABLE else pcm
    decoded = _decoded(path)
    if not decoded.is_file():
        decode_by_ffmpeg([path])
    return np.fromfile(decoded, "<i2")


def excerpts(path: pathlib.Path, seconds: float, most: int) -> dict[int, np.ndarray]:
    """At most `most` excerpts of `seconds`, spread evenly over a recording, by their number in it.

    Args:
      path: a recording of the packages; unreadable and shorter ones have no excerpts.
      seconds: length of each.
      most: number of excerpts.

    Returns:
      int16 `[seconds * 16000]` each.
    """
    samples = round(seconds * RATE)
    if path.suffix not in _SEEKABLE:
        pcm = decode(path)
        chosen = _spread(len(pcm) // samples, most)
        return {i: pcm[i * samples : (i + 1) * samples] for i in chosen}
    found = {}
    try:
        with soundfile.SoundFile(path) as file:
            rate, length = file.samplerate, file.frames
            for i in _spread(length * RATE // rate // samples, most):
                span = native_span(rate, length, i * samples, samples)
                file.seek(span.begin)
                wave = file.read(span.end - span.begin, dtype="float32", always_2d=True)
                found[i] = _to_int16(span.cut(wave.mean(axis=1)))
    except soundfile.SoundFileError:
        return {}
    return {i: pcm for i, pcm in found.items() if len(pcm) == samples}


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of `range(count)`, evenly spread."""
    return [i * count // min(most, count) for i in range(min(most, count))]


def decode_by_ffmpeg(paths: Sequence[pathlib.Path]) -> None:
    """Decode files of telephone formats into PCM files beside them, for `decode`.

    One process decodes all of them: starting one takes longer than decoding a file.
    """
    partial = [_decoded(path).with_suffix(".partial") for path in paths]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    for path in paths:
        # The .au files of saytime have no header.
        command += ["-f", "mulaw", "-ar", "8000"] if path.suffix == ".au" else []
        command += ["-i", str(path)]
    for i, output in enumerate(partial):
        command += ["-map", f"{i}:a", "-ac", "1", "-ar", str(RATE), "-f", "s16le", str(output)]
    failed = subprocess.run(command, capture_output=True).returncode
    if failed and len(paths) > 1:  # one of them is damaged
        for path in paths:
            decode_by_ffmpeg([path])
        return
    for path, output in zip(paths, partial, strict=True):
        if failed:
            output.write_bytes(b"")
        os.replace(output, _decoded(path))


def _decoded(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.pcm")


def needs_ffmpeg(path: pathlib.Path) -> bool:
    """Whether `decode` has no other way to read a file, and has not yet read it."""
    return path.suffix in _OF_FFMPEG and not _decoded(path).is_file()


def _to_pcm(wave: np.ndarray, rate: int) -> np.ndarray:
    if rate != RATE and len(wave):
        wave = soxr.resample(wave, rate, RATE, quality="HQ")
    return _to_int16(wave)


def _to_int16(wave: np.ndarray) -> np.ndarray:
    """16-bit PCM, clipped; empty if the file is damaged."""
    if not np.isfinite(wave).all():
        return np.zeros(0, np.int16)
    return np.clip(np.round(wave * 32_768), -32_768, 32_767).astype(np.int16)


def is_busy(pcm: np.ndarray) -> bool:
    """Whether a clip is not silent, and no more than 60 % of it is: pauses below -60 dB."""
    if not is_sound(pcm):
        return False
    frames = pcm[: len(pcm) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float32) / 32_768
    return bool(np.mean(np.mean(frames**2, axis=1) > 1e-6) >= 0.4)


def is_sound(pcm: np.ndarray) -> bool:
    """Whether a clip is not silent: its peak is above -40 dB and its level above -60 dB."""
    if not len(pcm):
        return False
    wave = pcm.astype(np.float32) / 32_768
    return bool(np.abs(wave).max() > 0.01 and np.sqrt(np.mean(wave**2)) > 0.001)


def write(pcm: np.ndarray, path: pathlib.Path) -> None:
    """Write a clip, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        soundfile.write(partial, pcm.astype(np.int16), RATE, subtype="PCM_16")


def speak(voice: Sequence[str], word: str) -> np.ndarray:
    """Synthesise a word.

    Args:
      voice: ("espeak-ng", voice, words a minute) or ("flite", voice).
      word: the word.

    Raises:
      A2vError: the program has no such voice.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "word.wav"
        if voice[0] == "espeak-ng":
            command = ["espeak-ng", "-v", voice[1], "-s", voice[2], "-w", str(path), word]
        else:
            command = ["flite", "-voice", voice[1], "-t", word, "-o", str(path)]
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if run.returncode or not path.is_file():
            raise A2vError(f"{' '.join(command)} failed: {run.stderr.strip()[:200]}")
        return decode(path)


def play(soundfont: pathlib.Path, program: int, notes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Play single notes of an instrument of a sound font: int16 `[notes, samples]`, 2 s each.

    Args:
      soundfont: an .sf2 file.
      program: General MIDI's number of the instrument, from 0.
      notes: pitch and velocity of each, as in MIDI.

    Raises:
      A2vError: mido is not installed, or fluidsynth fails.
    """
    try:
        import mido
    except ImportError as error:
        raise A2vError("mido is not installed: pip install mido") from error
    track = mido.MidiTrack([mido.Message("program_change", program=program)])
    sounding, silent = (round(2 * _TICKS * s) for s in (_NOTE_S, _SLOT_S - _NOTE_S))
    for pitch, velocity in notes:
        track.append(mido.Message("note_on", note=pitch, velocity=velocity))
        track.append(mido.Message("note_off", note=pitch, time=sounding))
        # Otherwise its release would last into the next note.
        track.append(mido.Message("control_change", control=120, value=0, time=silent))
    track.append(mido.MetaMessage("end_of_track", time=2 * _TICKS))
    with tempfile.TemporaryDirectory() as folder:
        midi, wave = pathlib.Path(folder) / "notes.mid", pathlib.Path(folder) / "notes.wav"
        mido.MidiFile(ticks_per_beat=_TICKS, tracks=[track]).save(midi)
        command = ["fluidsynth", "-q", "-n", "-i", "-R", "0", "-C", "0", "-g", "0.7"]
        command += ["-r", "44100", "-F", str(wave), str(soundfont), str(midi)]
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        pcm = decode(wave)
    needed = round((len(notes) * _SLOT_S) * RATE)
    if run.returncode or len(pcm) < needed:
        raise A2vError(f"fluidsynth failed on {soundfont}: {run.stderr.strip()[:200]}")
    slots = pcm[:needed].reshape(len(notes), -1)
    return slots[:, : round(NOTE_CLIP_S * RATE)]


def mix(
    background: np.ndarray, events: Sequence[np.ndarray], seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """Mix events into an excerpt of a background, each at a random position and level.

    The background's peak is at -32 to -14 dB and each event's at -18 to -4 dB; events are cut off
    after 3 s.
    """
    samples = round(seconds * RATE)
    background = np.tile(background, -(-samples // len(background)))
    start = rng.integers(len(background) - samples + 1)
    mixed = _at_peak(background[start : start + samples], rng.uniform(-32, -14))
    for event in events:
        event = _at_peak(event[: 3 * RATE], rng.uniform(-18, -4))
        at = rng.integers(max(1, samples - len(event)))
        part = event[: samples - at]
        mixed[at : at + len(part)] += part
    return np.clip(np.round(mixed), -32_768, 32_767).astype(np.int16)


def _at_peak(pcm: np.ndarray, decibels: float) -> np.ndarray:
    wave = pcm.astype(np.float64)
    return wave * (32_767 * 10 ** (decibels / 20) / max(200.0, np.abs(wave).max()))
