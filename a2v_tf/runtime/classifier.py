"""Run classifiers: files of `export_tflite --part=classifier`."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import numpy as np

from a2v_tf.audio.checks import as_pcm
from a2v_tf.errors import A2vError
from a2v_tf.runtime.embedder import Embedder

PART = "classifier"  # in the facts of a file's metadata


class Classified(NamedTuple):
    """What a classifier makes of one window.

    Attributes:
      label: the label with the greatest score.
      score: its score.
      scores: the probability of each label, float32 `[C]`.
      embedding: the encoder's embedding, float32 `[d]`.
    """

    label: str
    score: float
    scores: np.ndarray
    embedding: np.ndarray


class Classifier(Embedder):
    """Runs a classifier on PCM: any form that `Embedder` runs.

    It is an `Embedder` too: `embed` and `stream` give the embeddings alone. A stream has one state,
    so each block of samples goes to either `classify_stream` or `stream`.

    ```python
    classifier = Classifier("birds.tflite")
    for chunk in microphone:  # float32 in [-1, 1], any number of samples
        for found in classifier.classify_stream(chunk):  # one every `hop` samples
            print(found.label, found.score)
    classifier.reset()  # before another recording
    ```

    Attributes:
      labels: names of the C classes, in the order of the scores.
    """

    def _open(self, model: bytes | pathlib.Path) -> None:
        super()._open(model)
        signatures = self.interpreter.get_signature_list()
        if "classify" not in signatures:
            raise A2vError(
                f"the model has the signatures {list(signatures)}: expected 'classify', as a file "
                "of export_tflite --part=classifier has"
            )
        self._classify = self.interpreter.get_signature_runner("classify")
        labels = self.facts.get("labels")
        shape = [int(n) for n in self._classify.get_output_details()["scores"]["shape"]]
        if not isinstance(labels, list) or shape != [1, len(labels)]:
            raise A2vError(f"scores are {shape} for the labels {labels}")
        self.labels = tuple(map(str, labels))

    def classify(self, values: np.ndarray) -> Classified:
        """Run the file once.

        Args:
          values: of `input_shape`: PCM as for `stream`, or float32 log-mel.

        Raises:
          A2vError: another shape, or samples of another type or scale.
        """
        values = as_pcm(values) if self.input == "pcm" else np.asarray(values, np.float32)
        return self._classified(values)

    def classify_window(self, pcm: np.ndarray) -> Classified:
        """Classify one window of PCM, `[window]`, with a window model of either input."""
        return self._classified(self._of_window(pcm))

    def classify_stream(self, pcm: np.ndarray) -> list[Classified]:
        """Take the next samples of a stream and classify the windows that they complete.

        Args:
          pcm: as for `stream`.

        Returns:
          One result per completed hop, of the window that ends with the hop's last sample.

        Raises:
          A2vError: as for `stream`.
        """
        return self._stream(pcm, self._classified)

    def _classified(self, values: np.ndarray) -> Classified:
        outputs = self._outputs(self._classify, values)
        scores = outputs["scores"]
        best = int(scores.argmax())
        return Classified(self.labels[best], float(scores[best]), scores, outputs["embedding"])
