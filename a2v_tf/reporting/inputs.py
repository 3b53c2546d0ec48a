"""Reading what the other commands write: model directories, results, exports, embeddings."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.evaluate import model_name
from a2v_tf.evaluation.metrics import BASELINES, MEAN, SPECTROGRAM, Row
from a2v_tf.files import read_npz
from a2v_tf.pretrained import names, resolve
from a2v_tf.reporting.models import Model
from a2v_tf.training.model_dir import CONFIG, LOG, PROBES, check_has, read_config

_ROW_KEYS = {"task", "model", "protocol", "finetune", "examples_per_class", "accuracy"}


@dataclasses.dataclass(frozen=True)
class Inputs:
    """All that a report is made from.

    Attributes:
      directories: the model directories.
      results: rows of all evaluations but those of means, each with its model.
      exports: summaries of export_tflite.
      embeddings: .npz files of a2v_embed.
      commands: the command lines that the results are from.
    """

    directories: dict[Model, pathlib.Path] = dataclasses.field(default_factory=dict)
    results: list[tuple[Model, Row]] = dataclasses.field(default_factory=list)
    exports: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    embeddings: list[pathlib.Path] = dataclasses.field(default_factory=list)
    commands: list[list[str]] = dataclasses.field(default_factory=list)

    @property
    def models(self) -> list[Model]:
        """The trained models, without baselines."""
        found = [*self.directories, *(model for model, _ in self.results)]
        return [model for model in dict.fromkeys(found) if not model.is_baseline]


def read(paths: Iterable[str]) -> Inputs:
    """Read everything that is named on the command line.

    Args:
      paths: model directories, JSON files of a2v_evaluate and export_tflite, .npz files of
        a2v_embed, in any order.

    Raises:
      A2vError: a path is none of these.
    """
    inputs = Inputs()
    for path in map(resolve, paths):
        if path.is_dir():
            config = _checked(read_config(path), path / CONFIG)
            inputs.directories[Model(model_name(path), config["encoder"], config)] = path
        elif path.suffix == ".npz":
            inputs.embeddings.append(path)
        else:
            _add_json(path, inputs)
    return inputs


def _add_json(path: pathlib.Path, inputs: Inputs) -> None:
    content = read_json(path)
    if {"output", "mode", "file_bytes"} <= content.keys():
        inputs.exports.append(content)
        return
    if "results" not in content:
        raise A2vError(
            f"{str(path)!r}: expected a model directory, the JSON of a2v_evaluate --output or of "
            "export_tflite --summary, or the .npz of a2v_embed"
        )
    config = _checked(content.get("config", {}), path)
    packaged = set(names()) & set(content.get("settings", {}).get("baselines", ()))
    for row in content["results"]:
        missing = sorted(_ROW_KEYS - row.keys())
        if missing:
            raise A2vError(f"{str(path)!r}: a row has no {missing[0]!r}: run a2v_evaluate again")
        name = row["model"]
        encoder = "" if name == SPECTROGRAM or name in packaged else config["encoder"]
        if row["task"] != MEAN:
            model = Model(name, encoder, {} if name in {*BASELINES, *packaged} else config)
            inputs.results.append((model, row))
    inputs.commands.append(content.get("command", []))


def _checked(config: Mapping[str, Any], path: pathlib.Path) -> Mapping[str, Any]:
    """Check that the settings of a run have what every report needs."""
    for key in ("task", "encoder"):
        if not isinstance(config.get(key), str):
            raise A2vError(f"{str(path)!r} does not give the run's {key}: train the model again")
    return config


# ---- Files ----


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
      A2vError: it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise A2vError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise A2vError(f"{str(path)!r} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise A2vError(f"{str(path)!r}: expected a JSON object, got a {type(content).__name__}")
    return content


def read_log(model_dir: pathlib.Path) -> pd.DataFrame:
    """`train_log.csv`, a row for each round.

    Raises:
      A2vError: there is none, or it has no rounds.
    """
    path = model_dir / LOG
    if not path.is_file() or (log := _read_csv(path)).empty:
        check_has(model_dir, LOG)
        raise A2vError(f"no {LOG} in {str(model_dir)!r}: has a2v_train finished its first round?")
    try:
        return log.astype(float)
    except ValueError as error:
        raise A2vError(f"{path}: expected numbers: {error}") from error


def read_probes(model_dir: pathlib.Path) -> dict[tuple[str, str], pd.DataFrame]:
    """Accuracies during training, columns step and accuracy, by downstream task and protocol."""
    path = model_dir / PROBES
    if not path.is_file():
        return {}
    try:
        groups = _read_csv(path).sort_values("step").groupby(["task", "protocol"])
        return {key: points[["step", "accuracy"]] for key, points in groups}
    except KeyError as error:
        raise A2vError(f"{path} has no column {error}") from error


def _read_csv(path: pathlib.Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise A2vError(f"{path} is damaged: {' '.join(str(error).split())}") from error


def read_embeddings(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Paths `[n]` and embeddings `[n, d]` of an .npz of a2v_embed.

    Raises:
      A2vError: it is something else.
    """
    arrays = read_npz(path)
    paths, embeddings = arrays.get("path"), arrays.get("embeddings")
    if paths is None or embeddings is None:
        raise A2vError(f"{str(path)!r} is not an .npz of a2v_embed: it holds {', '.join(arrays)}")
    if embeddings.ndim != 2 or paths.shape != embeddings.shape[:1] or paths.dtype.kind != "U":
        raise A2vError(
            f"{str(path)!r} is not an .npz of a2v_embed: its embeddings are {embeddings.shape}, "
            f"its paths {paths.shape}"
        )
    return paths, embeddings


def read_labels(path: str | None, files: np.ndarray) -> list[str]:
    """The label of each of `files`, or "other", in a CSV whose paths are relative to it.

    Without a CSV, the names of the files' folders.

    Raises:
      A2vError: the CSV cannot be read, lacks a column, or labels none of the files.
    """
    if not path:
        return [pathlib.Path(file).parent.name for file in files]
    if path == "demo":
        from a2v_tf.data import demo  # writes the corpus on first use

        path = str(demo.ensure() / "sound_class.csv")
    folder = pathlib.Path(path).parent
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            found = {(folder / row["path"]).resolve(): row["label"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", error)
        raise A2vError(f"cannot read --labels={path!r}: {reason}") from error
    except KeyError as error:
        raise A2vError(f"--labels={path!r} has no column {error}") from error
    known = {file: found.get(pathlib.Path(file).resolve(), "other") for file in set(files)}
    if not found or set(known.values()) == {"other"}:
        raise A2vError(f"--labels={path!r} names none of the files, such as {str(files[0])!r}")
    return [known[file] for file in files]
