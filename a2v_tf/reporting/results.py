"""The rows of several evaluations, normalised together and arranged as tables."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from a2v_tf.evaluation import metrics, paper
from a2v_tf.evaluation.metrics import (
    LINEAR_HEADS,
    MEAN,
    SUPERVISED,
    Conditions,
    Row,
    conditions,
)
from a2v_tf.evaluation.paper import Figure, PaperTable
from a2v_tf.evaluation.settings import ALL, NONE, SLICES
from a2v_tf.evaluation.tables import protocol as protocol_words
from a2v_tf.reporting.models import OWN_TASKS, Model, labels
from a2v_tf.specs import ENCODERS

# Groups of lines: baselines, trained models, and what learns the tasks' labels from scratch.
BEFORE, MODELS, FROM_SCRATCH = range(3)
# Of each protocol, the title of its tables and what their accuracies are those of.
_HEADS = {
    "sgd": ("Linear head, trained with Adam", "a linear classifier on embeddings"),
    "linear": ("Linear head, logistic regression", "logistic regression on embeddings"),
    "two_layer": ("Head with two layers", "a classifier with a hidden layer on embeddings"),
    "knn": ("10 nearest neighbours, of windows", "10 nearest neighbours of windows"),
    "knn_clips": ("10 nearest neighbours, joined by clip", "10 nearest neighbours of whole clips"),
    "finetune": ("Fine-tuned", "the head, trained alone or with more and more of the encoder"),
}


class Protocol(NamedTuple):
    """How models were evaluated: the head, the value of --finetune, and everything else."""

    name: str
    depth: str = NONE
    how: Conditions = Conditions()


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A line of a table.

    Attributes:
      rows: of a2v_evaluate, by downstream task.
      normalised: of `metrics.normalised` with ICLR's formula, by task.
      table: the paper's table with such lines, if there is one.
    """

    model: Model
    label: str
    protocol: Protocol
    rows: Mapping[str, Row]
    normalised: Mapping[str, Row]
    table: PaperTable | None

    def figure(self, task: str) -> Figure | None:
        """The paper's figure for a row."""
        return self.table.get(self.model.kind, task) if self.table and task in self.rows else None

    @property
    def group(self) -> int:
        """One of `BEFORE`, `MODELS` and `FROM_SCRATCH`."""
        return _group(self.model)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Lines that can be compared: the content of a table and of its plot.

    Attributes:
      about: one sentence on what it shows and how to read it.
      columns: downstream tasks.
      lines: each has rows.
    """

    title: str
    about: str
    columns: Sequence[str]
    lines: Sequence[Line]

    @property
    def depths(self) -> set[str]:
        """Which parts of the models are trained."""
        return {line.protocol.depth for line in self.lines if line.group == MODELS}

    @property
    def fine_tunes(self) -> bool:
        """Whether it is about how much of a model is trained for a task."""
        return bool(self.depths - {NONE})

    @property
    def sources(self) -> list[str]:
        """The papers' tables that there are figures of."""
        tables = [line.table for line in self.lines if any(map(line.figure, self.columns))]
        return list(dict.fromkeys(table.source for table in tables if table))


class Results:
    """Rows of any number of evaluations; of a row that is given twice, the last counts."""

    def __init__(self, results: Iterable[tuple[Model, Row]]) -> None:
        """Put the results of `inputs.read` together."""
        self._rows: dict[tuple[Model, Protocol], dict[str, Row]] = {}
        for model, row in results:
            self._rows.setdefault((model, _protocol(row)), {})[row["task"]] = row
        self.tasks = in_paper_order({task for rows in self._rows.values() for task in rows})
        self._normalised = self._normalise()

    @property
    def models(self) -> list[Model]:
        """All models that have rows, in the papers' order."""
        return sorted(dict.fromkeys(model for model, _ in self._rows), key=_place)

    @property
    def encoders(self) -> list[str]:
        """The encoders of the models, in the order of `ENCODERS`."""
        known = list(ENCODERS)
        found = {model.encoder for model, _ in self._rows if model.encoder}
        return sorted(found, key=lambda x: (known.index(x) if x in known else len(known), x))

    @property
    def protocols(self) -> set[Protocol]:
        """All protocols that there are rows of."""
        return {protocol for _, protocol in self._rows}

    @property
    def conditions(self) -> list[Conditions]:
        """All conditions that there are rows of; of each protocol, those with all clips first."""
        found = {protocol.how for protocol in self.protocols}
        order = [(*how.protocol, how.examples, how.examples_per_class, how) for how in found]
        order.sort(key=lambda each: [(x is not None, x) for x in each[:-1]])
        return [how for *_, how in order]

    def rows(self, model: Model, protocol: Protocol) -> Mapping[str, Row]:
        """Rows by task."""
        return self._rows.get((model, protocol), {})

    def of_encoder(self, encoder: str) -> list[Model]:
        """The models with an encoder, and Spectrogram."""
        return [model for model in self.models if model.encoder in (encoder, "")]

    def lines(self, encoder: str, protocol: Protocol) -> list[Line]:
        """The lines of a protocol that have rows, with an encoder's baselines as yardsticks."""
        return [
            Line(
                model,
                model.title,
                protocol,
                self.rows(model, protocol),
                self._normalised.get((encoder, model, protocol, "iclr"), {}),
                paper_table(model, protocol),
            )
            for model in self.of_encoder(encoder)
            if self.rows(model, protocol)
        ]

    def normalised(self, model: Model, depth: str, how: Conditions) -> Mapping[str, Row]:
        """A model's accuracies normalised with SPL's formula, by task, and their mean."""
        for name in LINEAR_HEADS if depth == NONE else ("finetune",):
            key = model.encoder, model, Protocol(name, depth, how), "spl"
            if key in self._normalised:
                return self._normalised[key]
        return {}

    def mean_normalised(self, model: Model, depth: str, how: Conditions) -> Row | None:
        """A model's mean accuracy normalised with SPL's formula, and the "tasks" it is over."""
        rows = self.normalised(model, depth, how)
        return {**rows[MEAN], "tasks": rows.keys() - {MEAN}} if MEAN in rows else None

    def _normalise(self) -> dict[tuple[str, Model, Protocol, str], dict[str, Row]]:
        """Normalise the rows of each encoder by the baselines with the same encoder."""
        found: dict[tuple[str, Model, Protocol, str], dict[str, Row]] = {}
        for encoder in self.encoders:
            models = self.of_encoder(encoder)
            ids = {m: m.name if m.is_baseline else f"model {i}" for i, m in enumerate(models)}
            named = {id_: model for model, id_ in ids.items()}
            rows = [
                {**row, "model": ids[model]}
                for (model, _), rows in self._rows.items()
                if model in ids
                for row in rows.values()
            ]
            for row in metrics.normalised(rows):
                key = encoder, named[row["model"]], _protocol(row), row["formula"]
                found.setdefault(key, {})[row["task"]] = row
        return found


def paper_table(model: Model, protocol: Protocol) -> PaperTable | None:
    """The paper's table that reports such a model under such a protocol."""
    if protocol.how != protocol.how.protocol or model.variant != "plain":
        return None
    if protocol.how.judge == SLICES and protocol.name != "knn":  # ICLR and the patent judge clips
        return None
    if model.kind == SUPERVISED and not model.is_baseline:  # on other labels than the tasks'
        return None
    if protocol.depth != NONE:
        from_scratch = model.is_baseline and model.encoder == "small"
        return paper.ICLR_TABLE_2 if from_scratch else None
    if model.encoder == "large":
        return paper.ICLR_TABLE_4 if protocol.name in LINEAR_HEADS else None
    if model.encoder not in ("small", ""):
        return None
    if protocol.name in LINEAR_HEADS:
        return paper.ICLR_TABLE_3 if on_librispeech(model) else paper.ICLR_TABLE_2
    return {"two_layer": paper.ICLR_TABLE_5, "knn": paper.PATENT_TABLE_3}.get(protocol.name)


def on_librispeech(model: Model) -> bool:
    """Whether a model was trained on LibriSpeech."""
    return "librispeech" in model.data.lower()


def on_audioset(model: Model) -> bool:
    """Whether a model was trained on AudioSet."""
    return "audioset" in model.data.lower()


def grids(results: Results) -> list[Grid]:
    """The content of the tables: for each encoder every head, then fine-tuning."""
    found = [
        _grid(results, encoder, name, how)
        for encoder in results.encoders
        for how in results.conditions
        for name in _HEADS
    ]
    return [grid for grid in found if any(line.group == MODELS for line in grid.lines)]


def _grid(results: Results, encoder: str, name: str, how: Conditions) -> Grid:
    """A grid of lines whose labels say how they differ."""
    if name == "finetune":
        lines = _fine_tuned_lines(results, encoder, how)
    else:
        lines = results.lines(encoder, Protocol(name, how=how))
    if name in LINEAR_HEADS:  # beside them, what was trained from scratch
        scratch = results.lines(encoder, Protocol("finetune", ALL, how))
        lines += [line for line in scratch if line.group == FROM_SCRATCH]
    tuned = [line for line in lines if line.group == MODELS and line.protocol.name == "finetune"]
    columns = [task for task in results.tasks if any(task in line.rows for line in tuned or lines)]
    names = labels(dict.fromkeys(line.model for line in lines))
    named = []
    for line in lines:
        depth = line.protocol.depth
        part = {NONE: "head alone", ALL: "all of it"}.get(depth, f"from {depth}")
        part = f", {part}" if tuned and line.group == MODELS else ""
        named.append(dataclasses.replace(line, label=names[line.model] + part))
    title, classifier = _HEADS[name]
    about = " ".join([f"Test accuracy of {classifier}; higher is better.", *in_words(how)])
    return Grid(f"{title}{few(how)}: encoder {encoder}", about, columns, named)


def _fine_tuned_lines(results: Results, encoder: str, how: Conditions) -> list[Line]:
    """Each model at each depth, the head alone first; then what was trained from scratch."""
    protocols = {p for p in results.protocols if p.name == "finetune" and p.how == how}
    tuned = [x for p in sorted(protocols, key=_depth_order) for x in results.lines(encoder, p)]
    alone: dict[Model, Line] = {}
    for name in LINEAR_HEADS:
        for line in results.lines(encoder, Protocol(name, how=how)):
            alone.setdefault(line.model, line)
    models = dict.fromkeys(line.model for line in tuned if line.group == MODELS)
    every = [*alone.values(), *tuned]
    ordered = [line for model in models for line in every if line.model == model]
    return ordered + [line for line in tuned if line.group == FROM_SCRATCH]


def few(how: Conditions) -> str:
    """The number of examples, and that slices are judged, for titles; empty for all, and clips."""
    words = [f", {how.examples_per_class:,} examples per class"] if how.examples_per_class else []
    words += [f", {how.examples:,} examples"] if how.examples else []
    return "".join([*words, *([", judged by slices"] if how.judge == SLICES else [])])


def in_words(how: Conditions) -> list[str]:
    """The protocol as a sentence; none for rows that do not say so."""
    words = protocol_words(how)
    return [f"Protocol: {'; '.join(words)}."] if words else []


def in_paper_order(tasks: Iterable[str]) -> list[str]:
    """The papers' data sets in the papers' order, then the others by name."""
    known = list(paper.DATASETS)
    tasks = set(tasks) - {MEAN}
    return [t for t in known if t in tasks] + sorted(tasks - set(known))


def _protocol(row: Row) -> Protocol:
    return Protocol(row["protocol"], row["finetune"], conditions(row))


def _group(model: Model) -> int:
    if not model.is_baseline:
        return MODELS
    return FROM_SCRATCH if model.learns_labels else BEFORE


def _place(model: Model) -> tuple[int, int]:
    """Baselines, then models by the papers' order of their tasks, then what learns from labels."""
    kinds = [*(kind for kind in paper.MODELS if kind != SUPERVISED), *OWN_TASKS, SUPERVISED]
    return _group(model), kinds.index(model.kind) if model.kind in kinds else len(kinds)


def _depth_order(protocol: Protocol) -> tuple[int, int]:
    """Fc, the convolutions from the last, all."""
    depth = protocol.depth
    if depth.startswith("conv"):
        return 1, -int(depth.removeprefix("conv"))
    return {"fc": 0, ALL: 2}.get(depth, 3), 0
