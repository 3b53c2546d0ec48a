"""The effect of quantisation on an encoder, for each method of choosing activation ranges.

  python benchmarks/quantisation.py --model_dir=models/mine --downstream=csv:labels.csv
  python benchmarks/quantisation.py --model_dir=models/mine --downstream=demo --output=table.json

Exports window models from one model directory and embeds labelled clips with the float encoder and
with each of them. Prints the accuracy of a linear probe and of nearest neighbours, the cosine
similarity to the float embeddings, also for the same audio at other gains, and the file size.
"""

import pathlib
import tempfile
from typing import Any

import numpy as np
from absl import flags

from a2v_tf.data.labelled import Clip, LabelledData, open_labelled
from a2v_tf.errors import run_app
from a2v_tf.evaluation.embeddings import embed_task, keras_embedder, tflite_embedder
from a2v_tf.evaluation.heads import linear
from a2v_tf.evaluation.neighbours import knn_clips
from a2v_tf.evaluation.settings import HeadSettings
from a2v_tf.export.benchmark.measure import machine, machine_line
from a2v_tf.export.build import export_file
from a2v_tf.export.quantize import RANGES
from a2v_tf.files import write_json
from a2v_tf.text import align
from a2v_tf.training.model_dir import copy_model_dir, load_encoder, read_config

FLAGS = flags.FLAGS
GAINS_DB = (-40, -20, 0, 20)  # samples beyond full scale are clipped
FLOAT = "float"
_HEADS = HeadSettings(smoothing=0.01)  # as in docs/experiments.md, with whose figures these compare


def define_flags() -> None:
    flags.DEFINE_string("model_dir", None, "Model directory written by a2v_train.", required=True)
    flags.DEFINE_string(
        "downstream", "demo", "Labelled data, as in a2v_evaluate --downstream; several by commas."
    )
    flags.DEFINE_string(
        "calibration_data", None, "As in export_tflite. Default: the training data."
    )
    flags.DEFINE_integer(
        "gain_clips",
        100,
        "Number of test clips of each task to compare at other gains.",
        lower_bound=1,
    )
    flags.DEFINE_string("output", None, "JSON file to write the rows to.")


class Louder:
    """The first test clips of labelled data, with a gain."""

    def __init__(self, data: LabelledData, gain_db: float, count: int) -> None:
        self.name, self.classes, self.multi_label = data.name, data.classes, data.multi_label
        self._data, self._factor, self._count = data, 10 ** (gain_db / 20), count

    def clips(self, max_bad_fraction: float = 0.1):
        given = 0
        for clip, pcm in self._data.clips(max_bad_fraction):
            if clip.split == "test" and given < self._count:
                given += 1
                louder = np.clip(pcm * self._factor, -1.0, 1.0).astype(np.float32)
                yield Clip(clip.name, clip.label, clip.split), louder


def main(_: list[str]) -> None:
    model_dir = pathlib.Path(FLAGS.model_dir)
    with tempfile.TemporaryDirectory() as folder:
        files = _export(model_dir, pathlib.Path(folder))
        embedders = {FLOAT: keras_embedder(load_encoder(model_dir))}
        embedders |= {name: tflite_embedder(path) for name, path in files.items()}
        sizes = {name: path.stat().st_size for name, path in files.items()}
        rows = {name: {"bytes": sizes.get(name)} for name in embedders}
        frames = read_config(model_dir)["frames"]
        for data in open_labelled(FLAGS.downstream):
            windows = embed_task(data, embedders, frames)
            for name in embedders:
                rows[name][f"linear {data.name}"] = linear(windows[name], 0, _HEADS).accuracy
                rows[name][f"knn_clips {data.name}"] = knn_clips(windows[name]).accuracy
            for gain in GAINS_DB:
                louder = Louder(data, gain, FLAGS.gain_clips)
                same = embed_task(louder, embedders, frames, splits=("test",))
                for name in files:
                    similar = _cosines(same[name].values, same[FLOAT].values)
                    rows[name].setdefault(f"cosine {gain:+d} dB", []).append(similar)
    _finish(rows)
    print(f"{machine_line(machine())}; {model_dir}, {FLAGS.downstream}")
    print(_table(rows))
    if FLAGS.output:
        write_json(FLAGS.output, rows)


def _export(model_dir: pathlib.Path, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Window files with log-mel input, by name; the model directory is not changed."""
    copy = folder / "model"
    copy_model_dir(model_dir, copy)
    ways: dict[str, dict[str, Any]] = {f"int8 {name}": {"ranges": name} for name in RANGES}
    ways["int16"] = {"activations": "int16"}
    files = {}
    for name, way in ways.items():
        path = folder / f"{name.replace(' ', '_')}.tflite"
        common = {"quantize": True, "mode": "window", "input": "log_mel"}
        export_file(copy, path, calibration_data=FLAGS.calibration_data, **common, **way)
        files[name] = path
    return files


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / np.maximum(norms, 1e-12)


def _finish(rows: dict[str, dict[str, Any]]) -> None:
    """Add means over tasks; of the cosines, keep the median and the 1st percentile of windows."""
    for row in rows.values():
        for protocol in ("linear", "knn_clips"):
            row[f"{protocol} mean"] = float(
                np.mean([value for key, value in row.items() if key.startswith(f"{protocol} ")])
            )
        for key in [key for key in row if key.startswith("cosine")]:
            values = np.concatenate(row[key])
            row[key] = [float(value) for value in np.quantile(values, [0.5, 0.01])]


def _table(rows: dict[str, dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    lines = [["", *columns]]
    lines += [[name, *(_cell(row.get(column)) for column in columns)] for name, row in rows.items()]
    return align(list(zip(*lines, strict=True)))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " / ".join(f"{v:.4f}" for v in value)
    return f"{value:,}" if isinstance(value, int) else f"{100 * value:.1f} %"


if __name__ == "__main__":
    run_app(main, define_flags)
