"""Probing an encoder during training: downstream accuracy over steps (ICLR Figure 2a)."""

import csv
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from a2v_tf.data.labelled import SPLITS, LabelledData
from a2v_tf.evaluation.compare import HEADS, check_single_label
from a2v_tf.evaluation.embeddings import embed_task, keras_values, spectrogram_embedder
from a2v_tf.evaluation.settings import HeadSettings, Settings
from a2v_tf.evaluation.windows import Windows, in_batches
from a2v_tf.files import whole_file
from a2v_tf.specs import MAX_BAD_FRACTION

COLUMNS = ("step", "task", "protocol", "accuracy")


class ProbeRounds(keras.callbacks.Callback):
    """After each round, train heads on the encoder's embeddings of small downstream tasks.

    Heads learn from slices at random positions, and clips are judged (ICLR section 4).

    Each round adds a row for each task and protocol to a CSV file, and `probe_TASK` (the first
    protocol) or `probe_TASK_PROTOCOL` to the logs: place it before the callbacks that write these.
    A resumed run continues the CSV. The random state of training is not changed.

    ```python
    music = open_labelled("csv:music.csv")
    probe = ProbeRounds(music, 96, "probes.csv", step_after=lambda i: 10 * (i + 1))
    model.fit(batches, steps_per_epoch=10, callbacks=[probe, keras.callbacks.CSVLogger(path)])
    ```
    """

    def __init__(
        self,
        datasets: Sequence[LabelledData],
        frames: int,
        log_path: pathlib.Path,
        protocols: Sequence[str] = ("linear",),
        *,
        step_after: Callable[[int], int],
        settings: HeadSettings | None = None,
        max_bad_fraction: float = MAX_BAD_FRACTION,
    ) -> None:
        """Read the tasks' clips; their log-mel windows are kept in memory in half precision.

        Args:
          datasets: the tasks.
          frames: N, frames of a window.
          log_path: the CSV, with the columns of `COLUMNS`.
          protocols: some of `settings.PROTOCOLS`.
          step_after: from a round's index to the steps trained by its end.
          settings: of the heads trained with Adam.
          max_bad_fraction: fraction of a task's clips that may be unreadable.

        Raises:
          A2vError: a task cannot be used.
        """
        super().__init__()
        check_single_label(datasets)
        self._log_path = pathlib.Path(log_path)
        self._step_after = step_after
        self._protocols = tuple(protocols)
        self._settings = settings
        splits, draws = Settings(protocols=protocols).cuts(*SPLITS)
        self._tasks = {
            data.name: embed_task(
                data,
                {"": spectrogram_embedder()},
                frames,
                max_bad_fraction=max_bad_fraction,
                splits=splits,
                draws=draws,
            )[""]
            for data in datasets
        }
        self._trimmed = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._trimmed = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._trimmed:  # only here does a callback know where a run resumes
            keep_steps(self._log_path, self._step_after(epoch - 1) if epoch else 0)
            self._trimmed = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        encoder = self.model.get_layer("encoder")
        step = self._step_after(epoch)
        rows = []
        for task, log_mel in self._tasks.items():
            embedded = _embedded(encoder, log_mel)
            for i, protocol in enumerate(self._protocols):
                accuracy = HEADS[protocol](embedded, 0, self._settings).accuracy
                rows.append((step, task, protocol, accuracy))
                if logs is not None:
                    logs[f"probe_{task}" if i == 0 else f"probe_{task}_{protocol}"] = accuracy
        with self._log_path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def keep_steps(path: pathlib.Path, last: int) -> None:
    """Drop the rows of steps after `last`, which are trained again; write a new file's header."""
    rows = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) <= last]
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _embedded(encoder: keras.Model, log_mel: Windows) -> Windows:
    values = in_batches(lambda batch: keras_values(encoder, batch), log_mel.values)
    return log_mel.with_values(values)
