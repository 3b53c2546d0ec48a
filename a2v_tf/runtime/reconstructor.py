"""Run files of `export_tflite --part=reconstruct`: predict slices that the model does not see."""

from __future__ import annotations

import pathlib
from collections import deque
from typing import Any

import numpy as np

from a2v_tf.audio.checks import as_pcm
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FrontEnd
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.specs import BandLevels

_LISTS = ("input_frames", "predicted_frames")


class Reconstructor:
    """Predicts log-mel slices from those around them, in a recording or in a stream.

    ```python
    reconstructor = Reconstructor("reconstruct.tflite")
    for chunk in microphone:  # float32 in [-1, 1], any number of samples
        reconstructor.feed(chunk)
        if wanted and reconstructor.ready:
            log_mel = reconstructor.reconstruct()  # of the slices at `reconstructor.begins`
    reconstructor.reset()  # before another recording
    ```

    A window file keeps the last samples, and encodes their slices in `reconstruct`. A streaming
    file encodes in `feed` and keeps embeddings; `reconstruct` runs the decoder alone.

    Attributes:
      embedder: runs the file's encoder.
      streaming: whether the file takes a stream.
      task: that the decoder was trained on: "cbow", "skip_gram" or "autoencoder".
      front_end: of the frames.
      slice_frames: N.
      input_frames: where the input slices begin, in frames of the excerpt.
      predicted_frames: where the predicted slices begin; some may lie outside the excerpt.
      samples: of the excerpt, from the first input slice to the last.
      shape: of a reconstruction, `(K, N, F)`.
    """

    def __init__(self, model: bytes | str | pathlib.Path, kernels: str = "xnnpack") -> None:
        """Open a file, given by path or content.

        Args:
          model: path or content.
          kernels: "xnnpack", "builtin" or "reference".

        Raises:
          A2vError: it is not a file of `export_tflite --part=reconstruct`.
        """
        self.embedder = Embedder(model, kernels)
        facts = self.embedder.facts
        if facts.get("part") != "reconstruct":
            raise A2vError(
                f"the file computes {facts.get('part', 'embeddings')}: expected one of "
                "export_tflite --part=reconstruct"
            )
        try:
            self._open(facts)
        except (ValueError, RuntimeError, LookupError, TypeError) as error:  # a damaged file
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise A2vError(f"the file's facts do not fit its signatures: {reason}") from error
        self.reset()

    def _open(self, facts: dict[str, Any]) -> None:
        self.streaming = self.embedder.streaming
        self.task = str(facts["head"])
        self.front_end = _front_end(facts["front_end"])
        self.slice_frames = int(facts["slice_frames"])
        self.input_frames, self.predicted_frames = (list(map(int, facts[x])) for x in _LISTS)
        self.samples = self.front_end.samples(self.input_frames[-1] + self.slice_frames)
        self._run = self.embedder.interpreter.get_signature_runner("reconstruct")
        ((self._input, detail),) = self._run.get_input_details().items()
        self._input_shape = tuple(int(size) for size in detail["shape"])
        log_mel = self._run.get_output_details()["log_mel"]
        self.shape = tuple(int(size) for size in log_mel["shape"][1:])
        if self.shape[0] != len(self.predicted_frames):
            raise ValueError(f"log_mel has the shape {self.shape}")

    def reset(self) -> None:
        """Forget what was fed, before another recording."""
        self.embedder.reset()
        self._fed = 0  # samples; of a streaming file, in whole hops
        self._pcm = np.zeros(0, np.float32)
        kept = self.samples
        if self.streaming:
            kept = self.input_frames[-1] * self.front_end.hop_length // self.embedder.stream_hop + 1
        self._embeddings: deque[np.ndarray] = deque(maxlen=kept)

    @property
    def ready(self) -> bool:
        """Whether all input slices were fed."""
        return self._fed >= self.samples - self._before

    @property
    def begins(self) -> list[int]:
        """Where the predicted slices begin: samples since the first that was fed."""
        start = self._fed - self.samples
        return [start + i * self.front_end.hop_length for i in self.predicted_frames]

    @property
    def _before(self) -> int:
        """Samples of silence that precede a stream."""
        if self.streaming and isinstance(self.front_end, FrontEnd):
            return self.front_end.overlap
        return 0

    def feed(self, pcm: np.ndarray) -> None:
        """Take the next samples of a recording.

        Args:
          pcm: `[any number]`, of the types that `Embedder.stream` takes.

        Raises:
          A2vError: as `Embedder.stream`; or the file takes log-mel.
        """
        if self.embedder.input != "pcm":
            raise A2vError("the file takes log-mel: expected one that takes PCM, or `of_excerpt`")
        if self.streaming:
            for embedding in self.embedder.stream(pcm):
                self._embeddings.append(embedding)
                self._fed += self.embedder.stream_hop
            return
        pcm = as_pcm(pcm)
        if pcm.ndim != 1:
            raise A2vError(f"pcm has the shape {pcm.shape}: expected one channel, (samples,)")
        self._fed += len(pcm)
        self._pcm = np.concatenate([self._pcm, pcm])[-self.samples :]

    def reconstruct(self) -> np.ndarray:
        """Predict the slices at `begins` from the samples that were fed last.

        Returns:
          Log-mel, float32 `[K, N, F]`.

        Raises:
          A2vError: too little was fed.
        """
        if not self.ready:
            raise A2vError(
                f"{self._fed} samples were fed: expected {self.samples - self._before}, which "
                "the input slices span"
            )
        if not self.streaming:
            return self._reconstruct(self._pcm)
        hop, frame = self.embedder.stream_hop, self.front_end.hop_length
        last = self.input_frames[-1]
        ages = [(last - first) * frame // hop for first in self.input_frames]
        return self._reconstruct(np.stack([self._embeddings[-1 - age] for age in ages]))

    def of_excerpt(self, values: np.ndarray) -> np.ndarray:
        """Predict slices of one excerpt with a window file; what was fed does not matter.

        Args:
          values: PCM `[samples]`, or log-mel `[frames, F]` if the file takes that. Those that
            belong to no input slice change nothing.

        Returns:
          Log-mel, float32 `[K, N, F]`.

        Raises:
          A2vError: a streaming file, or another shape.
        """
        if self.streaming:
            raise A2vError("a streaming file takes no excerpt: use `feed`, or --mode=window")
        values = as_pcm(values) if self._input == "pcm" else np.asarray(values, np.float32)
        return self._reconstruct(values)

    def _reconstruct(self, values: np.ndarray) -> np.ndarray:
        if values.shape != self._input_shape[1:]:
            raise A2vError(
                f"{self._input} has the shape {values.shape}: the file takes "
                f"{self._input_shape[1:]}"
            )
        try:
            return self._run(**{self._input: values[None]})["log_mel"][0]
        except (RuntimeError, ValueError) as error:  # what is damaged may show only here
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise A2vError(f"the model cannot be run: {reason}") from error


def _front_end(facts: dict[str, Any]) -> FrontEnd | BandLevels:
    if "columns" in facts:
        return BandLevels(tuple(facts["columns"]), facts["period"])
    return FrontEnd.of(facts)
