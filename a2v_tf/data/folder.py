"""A folder of audio files as a source of crops."""

import concurrent.futures
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tqdm

from a2v_tf.audio import decode
from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.audio.find import find_audio
from a2v_tf.data import decode_tfio, sampling
from a2v_tf.data.listing import ListedClip, Span
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd

DECODERS = ("auto", "soundfile", "tfio")

_PROBE_THREADS = 16  # reading headers waits for the disk


class FolderSource:
    """Crops of all the audio files below a directory; see `sources.Source`."""

    gives_places = True

    def __init__(
        self,
        directory: str | os.PathLike,
        bad: BadFiles,
        decoder: str = "auto",
        channels: str = "mix",
        front_end: FrontEnd = FRONT_END,
    ):
        """Read the header of every audio file below `directory`.

        Args:
          directory: searched to any depth.
          bad: collects the skipped files.
          decoder: "soundfile", or "tfio" to decode in-graph the files that tensorflow-io can read,
            and the others as everywhere else; "soundfile" and "auto" are the latter, and faster.
          channels: the channel to use, as for `decode.probe`.
          front_end: of the crops, which have its sample rate.

        Raises:
          A2vError: the directory does not exist or has no audio, too many files are bad, or the
            decoder does not go with the front end.
        """
        if decoder not in DECODERS:
            raise A2vError(f"decoder={decoder!r}: expected one of {', '.join(DECODERS)}")
        if decoder == "tfio":
            decode_tfio.check_available()
            decode_tfio.check_rate(front_end.sample_rate)
        self.bad, self.front_end = bad, front_end
        self._decoder = decoder
        self._directory = pathlib.Path(directory)
        self._paths = find_audio(self._directory)
        self._headers = _probe_all(self._paths, bad, channels)
        bad.check(len(self._paths), "files")
        self._readable = [
            (path, header)
            for path, header in zip(self._paths, self._headers, strict=True)
            if header is not None
        ]
        self._plans: dict[int, np.ndarray] = {}

    def describe(self) -> str:
        """Summarise the source on one line."""
        seconds = sum(header.length / header.rate for _, header in self._readable)
        return (
            f"{self._directory}: {len(self._paths)} files, {seconds / 3600:.2f} hours, "
            f"{len(self.bad)} skipped"
        )

    def check(self, samples: int) -> None:
        """Raise `A2vError` unless crops of `samples` samples can be drawn."""
        self._cumulative_positions(samples)

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        share: sampling.Share = sampling.EVERYTHING,
        places: bool = False,
    ) -> tf.data.Dataset:
        """Infinite dataset of (float32 `[samples]`, clip); see `sources.PlacingSource.crops`."""
        total = int(self._cumulative_positions(samples)[-1])

        def at_end(usable: int) -> None:
            if not usable:
                self.bad.fail(f"{self._directory}: a whole epoch gave no usable crop")

        positions = sampling.marked_positions(
            total, seed=seed, round_index=round_index, share=share
        )
        if self._decoder == "tfio":
            # One at a time: concurrent decoders of one graph may return each other's file.
            crops = positions.flat_map(lambda position: self._decode_by_tfio(position, samples))
        else:
            crops = positions.map(
                lambda position: self._decode(position, samples),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
        if not places:
            return sampling.usable_only(crops.map(sampling.without_place), at_end)
        return sampling.usable_only(crops, at_end)

    def clips(self) -> list[ListedClip]:
        """The files with a readable header, by their paths below the directory; see `listing`."""
        return [
            ListedClip(
                path.relative_to(self._directory).as_posix(),
                header.samples_at(self.front_end.sample_rate),
                path.stat().st_size,
                header.channel,
            )
            for path, header in self._readable
        ]

    def read_spans(self, spans: Sequence[Span]) -> Iterator[np.ndarray | str]:
        """Decode parts of files; see `listing.ListsClips.read_spans`."""
        for clip, start, samples in spans:
            path, header = self._readable[clip]
            try:
                pcm = decode.read(path, header, start, samples, self.front_end.sample_rate)
                yield sampling.usable(pcm)
            except decode.DecodeError as error:
                yield str(error)

    def skip(self, clip: int, reason: str) -> None:
        """Count a file as bad; see `listing.ListsClips.skip`."""
        path, _ = self._readable[clip]
        self._skip(path, reason)

    def _decode(self, position: tf.Tensor, samples: int) -> sampling.Drawn:
        """Decode the crop at a global position."""

        def read(position: np.ndarray) -> tuple[np.ndarray, np.generic, np.ndarray, np.generic]:
            if position == sampling.END:
                return np.zeros(samples, np.float32), np.int64(-1), sampling.NO_PLACE, np.False_
            index, header, start, place = self._locate(int(position), samples)
            pcm = self._read(self._paths[index], header, start, samples)
            if pcm is None:
                return np.zeros(samples, np.float32), np.int64(index), place, np.False_
            return pcm, np.int64(index), place, np.True_

        outputs = tf.numpy_function(read, [position], [tf.float32, tf.int64, tf.int64, tf.bool])
        pcm, clip, place, usable = (
            tf.ensure_shape(output, shape)
            for output, shape in zip(outputs, ([samples], [], [3], []), strict=True)
        )
        return (pcm, clip, place), usable, position == sampling.END

    def _decode_by_tfio(self, position: tf.Tensor, samples: int) -> tf.data.Dataset:
        """Decode the crop at a global position in-graph, as a dataset of one element.

        If tensorflow-io fails or the crop is unusable, `_decode` reads it and reports why.
        """

        def locate(position: np.ndarray) -> tuple[bytes, np.ndarray, np.generic, np.ndarray]:
            if position == sampling.END:
                return b"", decode_tfio.NO_PLAN, np.int64(-1), sampling.NO_PLACE
            index, header, start, place = self._locate(int(position), samples)
            plan = decode_tfio.plan(header, start, samples)
            return os.fsencode(self._paths[index]), plan, np.int64(index), place

        def read(position: tf.Tensor) -> sampling.Drawn:
            path, plan, clip, place = tf.numpy_function(
                locate, [position], [tf.string, tf.int64, tf.int64, tf.int64]
            )
            pcm = decode_tfio.read(tf.ensure_shape(path, []), plan, samples)
            where = tf.ensure_shape(clip, []), tf.ensure_shape(place, [3])
            crop = tf.clip_by_value(pcm, -1.0, 1.0), *where
            return crop, sampling.is_usable(pcm), position == sampling.END

        here = tf.data.Dataset.from_tensors(position)
        by_tfio = here.map(read).filter(lambda crop, usable, is_end: usable).ignore_errors()
        by_soundfile = here.map(lambda position: self._decode(position, samples))
        return by_tfio.concatenate(by_soundfile).take(1)

    def _cumulative_positions(self, samples: int) -> np.ndarray:
        """Number of positions in files 0..i, int64 `[files]`; too short files are bad."""
        if samples not in self._plans:
            rate, hop = self.front_end.sample_rate, self.front_end.hop_length
            lengths = np.array([h.samples_at(rate) if h else 0 for h in self._headers], np.int64)
            positions = sampling.positions_in(lengths, samples, hop)
            for path, header, count in zip(self._paths, self._headers, positions, strict=True):
                if header is not None and count == 0:
                    seconds, needed = header.length / header.rate, samples / rate
                    self.bad.add(str(path), sampling.too_short(seconds, needed))
            self.bad.check(len(self._paths), "files")
            if not positions.any():
                count = len(self._paths)
                self.bad.fail(
                    f"{self._directory}: none of {count} files can be used ({self.bad.first()})"
                )
            self._plans[samples] = np.cumsum(positions)
        return self._plans[samples]

    def _locate(self, position: int, samples: int) -> tuple[int, decode.Header, int, np.ndarray]:
        """The file index, the first sample and the place of a global position."""
        index, place = sampling.locate(self._plans[samples], position)
        header = self._headers[index]
        assert header  # files without one have no positions
        return index, header, int(place[0]) * self.front_end.hop_length, place

    def _read(
        self, path: pathlib.Path, header: decode.Header, start: int, samples: int
    ) -> np.ndarray | None:
        """Decode a crop of a file, float32 `[samples]`; None if it is unusable."""
        try:
            pcm = decode.read(path, header, start, samples, self.front_end.sample_rate)
        except decode.DecodeError as error:
            self._skip(path, str(error))
            return None
        flaw = sampling.flaw(pcm)
        if flaw == sampling.SILENT:
            self.bad.note_once(str(path), flaw)
            return None
        if flaw:
            self._skip(path, flaw)
            return None
        return np.clip(pcm, -1.0, 1.0)

    def _skip(self, path: pathlib.Path, reason: str) -> None:
        self.bad.add(str(path), reason)
        self.bad.check(len(self._paths), "files")


def _probe_all(
    paths: list[pathlib.Path], bad: BadFiles, channels: str
) -> list[decode.Header | None]:
    """Read the headers of all files; None for a file whose header cannot be read."""

    def probe(path: pathlib.Path) -> decode.Header | decode.DecodeError:
        try:
            return decode.probe(path, channels)
        except decode.DecodeError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(_PROBE_THREADS) as pool:
        # delay: no bar for less than two seconds.
        results = tqdm.tqdm(
            pool.map(probe, paths), total=len(paths), desc="reading headers", unit="file", delay=2
        )
        headers = []
        for path, result in zip(paths, results, strict=True):
            failed = isinstance(result, decode.DecodeError)
            if failed:
                bad.add(str(path), str(result))
            headers.append(None if failed else result)
    return headers
