"""The rows of many evaluations put together, normalised anew, and arranged by table."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from a2v_tf.evaluation import metrics, paper
from a2v_tf.evaluation.metrics import LINEAR_HEADS, MEAN, SUPERVISED, Row
from a2v_tf.evaluation.paper import Figure, PaperTable
from a2v_tf.reporting.runs import Model, Result, labels
from a2v_tf.specs import ENCODERS

NO_TRAINING, WHOLE = "none", "all"  # of `--finetune`
DEPTHS = MappingProxyType({NO_TRAINING: "head alone", WHOLE: "all of it"})
# The groups of lines: baselines, models, what learned from the tasks' labels from scratch.
BEFORE, MODELS, FROM_SCRATCH = range(3)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How models were judged: what the rows of a table have in common.

    Attributes:
      name: of `compare.PROTOCOLS`, or finetune.
      depth: what of the encoder was trained, a value of `--finetune`.
      per_class: train clips of each class; None for all.
    """

    name: str
    depth: str = NO_TRAINING
    per_class: int | None = None

    @staticmethod
    def of(row: Row) -> "Protocol":
        """That of a row."""
        return Protocol(row["protocol"], row["finetune"], row["examples_per_class"])


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A line of a table.

    Attributes:
      model: what it is about.
      label: its name.
      protocol: how it was judged.
      rows: of a2v_evaluate, by downstream task.
      normalised: of `metrics.normalised`, by task, ICLR's formula.
      table: of a paper, with such lines; None if there is none.
    """

    model: Model
    label: str
    protocol: Protocol
    rows: Mapping[str, Row]
    normalised: Mapping[str, Row]
    table: PaperTable | None

    def figure(self, task: str) -> Figure | None:
        """What the paper has beside a row."""
        return self.table.get(self.model.kind, task) if self.table and task in self.rows else None

    @property
    def group(self) -> int:
        """Baselines first, then the models, then what learned from the tasks' labels."""
        if not self.model.is_baseline:
            return MODELS
        return FROM_SCRATCH if self.model.learns_labels else BEFORE


@dataclasses.dataclass(frozen=True)
class Grid:
    """Lines that can be compared: the content of a table and of its plot.

    Attributes:
      title: of both.
      columns: downstream tasks.
      lines: see there; each has rows.
    """

    title: str
    columns: Sequence[str]
    lines: Sequence[Line]

    @property
    def fine_tunes(self) -> bool:
        """Whether it is about how much of a model is trained for a task."""
        return bool(self.depths - {NO_TRAINING})

    @property
    def depths(self) -> set[str]:
        """What of the models is trained."""
        return {line.protocol.depth for line in self.lines if line.group == MODELS}

    @property
    def sources(self) -> list[str]:
        """The papers' tables that there are figures of."""
        tables = [line.table for line in self.lines if any(map(line.figure, self.columns))]
        return list(dict.fromkeys(table.source for table in tables))


class Results:
    """Rows of any number of evaluations; a row given twice counts as given last."""

    def __init__(self, results: Iterable[Result]) -> None:
        """Put the results of `runs.read` together."""
        self._rows: dict[tuple[Model, Protocol], dict[str, Row]] = {}
        for result in results:
            key = result.model, Protocol.of(result.row)
            self._rows.setdefault(key, {})[result.row["task"]] = result.row
        self.tasks = in_paper_order({task for rows in self._rows.values() for task in rows})
        self._normalised = self._normalise()

    @property
    def models(self) -> list[Model]:
        """All models that have rows: baselines before and after the others, as in the papers."""
        models = list(dict.fromkeys(model for model, _ in self._rows))
        return sorted(models, key=_place)

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
    def per_class(self) -> list[int | None]:
        """The numbers of examples of each class, all of them first."""
        found = {protocol.per_class for protocol in self.protocols}
        return sorted(found, key=lambda count: (count is not None, count))

    def rows(self, model: Model, protocol: Protocol) -> Mapping[str, Row]:
        """Rows by task."""
        return self._rows.get((model, protocol), {})

    def normalised(
        self, model: Model, protocol: Protocol, formula: str, encoder: str
    ) -> Mapping[str, Row]:
        """Normalised accuracies by task, and as `mean` their mean if there are several.

        Args:
          model: with that encoder, or Spectrogram.
          protocol: how it was judged.
          formula: of `metrics.FORMULAS`.
          encoder: that of Supervised, and of Untrained.
        """
        return self._normalised.get((encoder, model, protocol, formula), {})

    def of_encoder(self, encoder: str) -> list[Model]:
        """The models with an encoder, and Spectrogram."""
        return [model for model in self.models if model.encoder in (encoder, "")]

    def line(self, model: Model, protocol: Protocol, encoder: str) -> Line:
        """What there is about a model beside others with an encoder; its rows may be empty."""
        return Line(
            model,
            model.title,
            protocol,
            self.rows(model, protocol),
            self.normalised(model, protocol, "iclr", encoder),
            paper_table(model, protocol),
        )

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
                key = encoder, named[row["model"]], Protocol.of(row), row["formula"]
                found.setdefault(key, {})[row["task"]] = row
        return found


def paper_table(model: Model, protocol: Protocol) -> PaperTable | None:
    """The table of a paper that reports such a model under such a protocol."""
    if protocol.per_class is not None or model.variant != "plain":
        return None
    if model.kind == SUPERVISED and not model.is_baseline:  # of other labels than the tasks'
        return None
    if protocol.depth != NO_TRAINING:
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
    """What becomes a table and a plot: for each encoder, every head, then fine-tuning."""
    found = []
    for encoder in results.encoders:
        for per_class in results.per_class:
            for name, title in _TITLES.items():
                lines = _head_lines(results, encoder, name, per_class)
                found.append(_grid(_title(title, encoder, per_class), results.tasks, lines))
            lines = _fine_tuned_lines(results, encoder, per_class)
            found.append(_grid(_title("Fine-tuned", encoder, per_class), results.tasks, lines))
    return [grid for grid in found if any(line.group == MODELS for line in grid.lines)]


_TITLES = {
    "sgd": "Linear head, trained with Adam",
    "linear": "Linear head, logistic regression",
    "two_layer": "Head with two layers",
    "knn": "10 nearest neighbours, of windows",
    "knn_clips": "10 nearest neighbours, joined by clip",
}


def _head_lines(results: Results, encoder: str, name: str, per_class: int | None) -> list[Line]:
    """A head on frozen embeddings; beside linear ones, what was trained from scratch."""
    lines = _lines(results, encoder, Protocol(name, per_class=per_class))
    if name in LINEAR_HEADS:
        scratch = _lines(results, encoder, Protocol("finetune", WHOLE, per_class))
        lines += [line for line in scratch if line.group == FROM_SCRATCH]
    return lines


def _fine_tuned_lines(results: Results, encoder: str, per_class: int | None) -> list[Line]:
    """Each model at each depth, the head alone first; then what was trained from scratch."""
    protocols = sorted(
        {p for p in results.protocols if p.name == "finetune" and p.per_class == per_class},
        key=_depth_order,
    )
    tuned = [line for p in protocols for line in _lines(results, encoder, p)]
    alone = _alone(results, encoder, per_class)
    models = dict.fromkeys(line.model for line in tuned if line.group == MODELS)
    ordered = [line for model in models for line in alone + tuned if line.model is model]
    return ordered + [line for line in tuned if line.group == FROM_SCRATCH]


def _alone(results: Results, encoder: str, per_class: int | None) -> list[Line]:
    """The linear head that fine-tuning of each model is compared with, where there is one."""
    found: dict[Model, Line] = {}
    for name in LINEAR_HEADS:
        for line in _lines(results, encoder, Protocol(name, per_class=per_class)):
            found.setdefault(line.model, line)
    return list(found.values())


def _lines(results: Results, encoder: str, protocol: Protocol) -> list[Line]:
    """The lines with rows of that protocol."""
    lines = [results.line(model, protocol, encoder) for model in results.of_encoder(encoder)]
    return [line for line in lines if line.rows]


def _grid(title: str, tasks: Sequence[str], lines: Sequence[Line]) -> Grid:
    """A grid of lines that tell in their labels what they differ in."""
    tuned = [line for line in lines if line.group == MODELS and line.protocol.name == "finetune"]
    columns = [task for task in tasks if any(task in line.rows for line in tuned or lines)]
    names = labels(dict.fromkeys(line.model for line in lines))
    named = []
    for line in lines:
        depth = line.protocol.depth
        how = f", {DEPTHS.get(depth, f'from {depth}')}" if tuned and line.group == MODELS else ""
        named.append(dataclasses.replace(line, label=names[line.model] + how))
    return Grid(title, columns, named)


def _title(title: str, encoder: str, per_class: int | None) -> str:
    few = f", {per_class:,} examples per class" if per_class else ""
    return f"{title}{few}: encoder {encoder}"


def in_paper_order(tasks: Iterable[str]) -> list[str]:
    """The papers' data sets in the papers' order, then the others by name."""
    known = list(paper.DATASETS)
    tasks = set(tasks) - {MEAN}
    return [t for t in known if t in tasks] + sorted(tasks - set(known))


def _place(model: Model) -> tuple[int, int]:
    """Baselines, then models by the papers' order of their tasks, then what learns from labels."""
    kinds = [*(kind for kind in paper.MODELS if kind != SUPERVISED), "multi_head", SUPERVISED]
    kind = kinds.index(model.kind) if model.kind in kinds else len(kinds)
    group = FROM_SCRATCH if model.learns_labels else BEFORE
    return (group, kind) if model.is_baseline else (MODELS, kind)


def _depth_order(protocol: Protocol) -> tuple[int, int]:
    """Fc, the convolutions from the last, all."""
    depth = protocol.depth
    if depth.startswith("conv"):
        return 1, -int(depth.removeprefix("conv"))
    return {"fc": 0, WHOLE: 2}.get(depth, 3), 0
