"""Reading what the other commands leave: runs, results, exports, embeddings."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.evaluation import paper
from a2v_tf.evaluation.metrics import BASELINES, SPECTROGRAM, SUPERVISED, Row
from a2v_tf.pretrained import resolve
from a2v_tf.training.model_dir import CONFIG, LOG, PROBES, check_has, read_config

_ROW_KEYS = {"task", "model", "protocol", "finetune", "examples_per_class", "accuracy"}
_MULTI_HEAD = "MultiHead (self-supervised)"  # patent figure 5; ICLR's MultiHead learns from labels
# What tells runs of one task apart, from what differs most; the directory's name comes last.
_TELLING = ("encoder", "data", "steps", "batch_size", "seed")


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A trained model, or a baseline: a row of the tables.

    Attributes:
      name: of the model directory or TFLite file, or of the baseline.
      encoder: its architecture; "" for Spectrogram, which has none.
      config: what `config.json` says; empty for a baseline.
    """

    name: str
    encoder: str
    config: Mapping[str, Any]

    @property
    def is_baseline(self) -> bool:
        """Whether this is one of the papers' baselines."""
        return not self.config

    @property
    def learns_labels(self) -> bool:
        """Whether it saw labels while it was trained."""
        return self.kind in ("supervised", "multihead")

    @property
    def kind(self) -> str:
        """The task that it learned, or the baseline: its name in `paper.MODELS`."""
        return self.name if self.is_baseline else self.config["task"]

    @property
    def variant(self) -> str:
        """Of an autoencoder: plain, denoising or variational; else plain."""
        return self.config.get("variant", "plain") if self.kind == "autoencoder" else "plain"

    @property
    def data(self) -> str:
        """What it was trained on, in few words."""
        data = str(self.config.get("data", ""))
        return data.removeprefix("tfds:") if ":" in data else pathlib.PurePath(data).name

    @property
    def title(self) -> str:
        """The papers' name of its task."""
        if self.kind == "multi_head":
            return _MULTI_HEAD
        if self.kind == SUPERVISED and not self.is_baseline:
            return f"Supervised on {self.data}"
        variant = "" if self.variant == "plain" else f" ({self.variant})"
        return paper.MODELS.get(self.kind, self.kind) + variant


@dataclasses.dataclass(frozen=True)
class Result:
    """A row of a2v_evaluate, with the model that it is about."""

    model: Model
    row: Row


@dataclasses.dataclass(frozen=True)
class Inputs:
    """All that a report is made of.

    Attributes:
      models: trained models, in the order in which they were given; no baselines.
      directories: of those that were given as one.
      results: of all evaluations; the mean rows are left out.
      exports: summaries of export_tflite.
      embeddings: paths of what a2v_embed wrote.
      commands: that the results are from.
    """

    models: Sequence[Model]
    directories: Mapping[Model, pathlib.Path]
    results: Sequence[Result]
    exports: Sequence[Mapping[str, Any]]
    embeddings: Sequence[pathlib.Path]
    commands: Sequence[Sequence[str]]


def read(paths: Iterable[str]) -> Inputs:
    """Read everything that was named on the command line.

    Args:
      paths: model directories, JSON files of a2v_evaluate and of export_tflite, .npz files of
        a2v_embed, in any order.

    Raises:
      A2vError: one of them is none of these.
    """
    reader = _Reader()
    for path in map(resolve, paths):
        if path.is_dir():
            reader.add_directory(path)
        elif path.suffix == ".npz":
            reader.embeddings.append(path)
        else:
            reader.add_json(path)
    return Inputs(
        [model for model in reader.models.values() if not model.is_baseline],
        reader.directories,
        reader.results,
        reader.exports,
        reader.embeddings,
        reader.commands,
    )


class _Reader:
    """Collects what files hold; one model that several of them name becomes one object."""

    def __init__(self) -> None:
        self.models: dict[tuple[str, ...], Model] = {}
        self.directories: dict[Model, pathlib.Path] = {}
        self.results: list[Result] = []
        self.exports: list[dict[str, Any]] = []
        self.embeddings: list[pathlib.Path] = []
        self.commands: list[list[str]] = []

    def add_directory(self, path: pathlib.Path) -> None:
        name = model_name(path)
        model = self._model(name, _checked(read_config(path), path / CONFIG))
        self.directories[model] = path

    def add_json(self, path: pathlib.Path) -> None:
        content = read_json(path)
        if "results" in content:
            self._add_results(path, content)
        elif {"output", "mode", "file_bytes"} <= content.keys():
            self.exports.append(content)
        else:
            raise A2vError(
                f"{str(path)!r}: expected a model directory, the JSON of a2v_evaluate --output or "
                "of export_tflite --summary, or the .npz of a2v_embed"
            )

    def _add_results(self, path: pathlib.Path, content: Mapping[str, Any]) -> None:
        config = _checked(content.get("config", {}), path)
        for row in content["results"]:
            missing = sorted(_ROW_KEYS - row.keys())
            if missing:
                raise A2vError(f"{str(path)!r}: a row has no {missing[0]!r}; evaluate again")
            name = row["model"]
            if name == SPECTROGRAM:
                model = self._model(name, {}, "")
            elif name in BASELINES:
                model = self._model(name, {}, config["encoder"])
            else:
                model = self._model(name, config)
            if row["task"] != "mean":
                self.results.append(Result(model, row))
        self.commands.append(content.get("command", []))

    def _model(self, name: str, config: Mapping[str, Any], encoder: str | None = None) -> Model:
        """The one model of this name and these settings."""
        if encoder is None:
            encoder = config["encoder"]
        settings = {key: value for key, value in config.items() if key != "made_with"}
        key = (name, encoder, json.dumps(settings, sort_keys=True))
        return self.models.setdefault(key, Model(name, encoder, config))


def model_name(path: pathlib.Path) -> str:
    """What the rows of a2v_evaluate call a model directory."""
    name = path.resolve().name
    return "trained" if name in BASELINES else name


def labels(models: Iterable[Model]) -> dict[Model, str]:
    """A name for each model that no other has: its title, and what tells it from its namesakes."""
    named: dict[Model, str] = {}
    groups: dict[str, list[Model]] = {}
    for model in models:
        groups.setdefault(model.title, []).append(model)
    for title, group in groups.items():
        facts = {model: _telling(model, group) for model in group}
        for model in group:
            twins = [other for other in group if facts[other] == facts[model]]
            alone = len(twins) == 1 and not model.name.endswith(".tflite")
            words = facts[model] if alone else [*facts[model], model.name]
            named[model] = ", ".join([title, *words] if not model.is_baseline else [title])
    return named


def _telling(model: Model, group: Sequence[Model]) -> list[str]:
    """What in the settings of a model differs from others of its group."""
    found = []
    for fact in _TELLING:
        values = {str(other.config.get(fact)) for other in group}
        if len(values) > 1 and not model.is_baseline:
            found.append(_in_words(model, fact))
    return found


def _in_words(model: Model, fact: str) -> str:
    if fact == "data":
        return model.data
    value = model.config.get(fact)
    if isinstance(value, int):
        return f"{value:,} steps" if fact == "steps" else f"{fact.replace('_', ' ')} {value:,}"
    return str(value)


# ---- Files ----


def read_json(path: pathlib.Path | str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
      A2vError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text())
    except OSError as error:
        raise A2vError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise A2vError(f"{str(path)!r} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise A2vError(f"{str(path)!r}: expected a JSON object, got a {type(content).__name__}")
    return content


def read_log(model_dir: pathlib.Path) -> dict[str, np.ndarray]:
    """The columns of `train_log.csv`.

    Raises:
      A2vError: there is none, or no round in it.
    """
    path = model_dir / LOG
    rows = _read_csv(path)
    if not rows:
        check_has(model_dir, LOG)
        raise A2vError(f"no {LOG} in {str(model_dir)!r}: has a2v_train finished its first round?")
    try:
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    except (TypeError, ValueError) as error:
        raise A2vError(f"{path}: expected numbers: {error}") from error


def read_probes(model_dir: pathlib.Path) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """What was probed in training: steps and accuracies by downstream task and protocol."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in _read_csv(model_dir / PROBES):
        point = int(row["step"]), float(row["accuracy"])
        found.setdefault((row["task"], row["protocol"]), []).append(point)
    curves = {}
    for key, points in found.items():
        steps, accuracies = zip(*sorted(points), strict=True)
        curves[key] = np.array(steps), np.array(accuracies)
    return curves


def read_embeddings(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Paths `[n]` and embeddings `[n, d]` of an .npz of a2v_embed.

    Raises:
      A2vError: it is none.
    """
    try:
        with np.load(path) as arrays:
            return arrays["path"], arrays["embeddings"]
    except (OSError, ValueError, KeyError) as error:
        raise A2vError(f"{str(path)!r} is not an .npz of a2v_embed: {error}") from error


def read_labels(path: str, files: np.ndarray) -> list[str]:
    """The label of each of `files` in a CSV whose paths are relative to it; "other" elsewhere.

    Raises:
      A2vError: the CSV cannot be read, lacks a column, or labels none of the files.
    """
    if path == "demo":
        from a2v_tf.data import demo  # writes the corpus on first use

        path = str(demo.ensure() / "sound_class.csv")
    folder = pathlib.Path(path).parent
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            found = {(folder / row["path"]).resolve(): row["label"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError) as error:
        raise A2vError(
            f"cannot read --labels={path!r}: {getattr(error, 'strerror', error)}"
        ) from error
    except KeyError as error:
        raise A2vError(f"--labels={path!r} has no column {error}") from error
    known = {file: found.get(pathlib.Path(file).resolve(), "other") for file in set(files)}
    if not found or set(known.values()) == {"other"}:
        raise A2vError(f"--labels={path!r} names none of the files, such as {str(files[0])!r}")
    return [known[file] for file in files]


def folder_names(files: Iterable[str]) -> list[str]:
    """The name of the folder of each file."""
    return [pathlib.Path(file).parent.name for file in files]


def _read_csv(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a CSV; none if it is not there."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _checked(config: Mapping[str, Any], path: pathlib.Path) -> Mapping[str, Any]:
    """Check that the settings of a run say what all of the report needs."""
    for key in ("task", "encoder"):
        if not isinstance(config.get(key), str):
            raise A2vError(f"{str(path)!r} does not say which {key} was trained: train again")
    return config
