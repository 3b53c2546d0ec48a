"""A whole report: its sections and what is in them."""

import itertools
import json
import shlex
import sys
from collections.abc import Mapping, Sequence

import keras
import pandas as pd

from a2v_tf.errors import A2vError
from a2v_tf.evaluation import paper
from a2v_tf.reporting import examples, inputs, plots, tables
from a2v_tf.reporting.document import Block, Folded, Report, Section
from a2v_tf.reporting.inputs import Inputs
from a2v_tf.reporting.models import Model, labels
from a2v_tf.reporting.results import Results, grids

Logs = Mapping[Model, pd.DataFrame]


def build(
    found: Inputs, *, data: str | None = None, map_labels: str | None = None, note: str = ""
) -> Report:
    """Put a report together.

    Args:
      found: of `inputs.read`.
      data: audio for the examples; by default each model's own.
      map_labels: CSV that colours maps; by default folders do.
      note: text for the first paragraph.

    Raises:
      A2vError: labels or embeddings cannot be read.
    """
    keras.utils.set_random_seed(0)
    names = labels(found.models)
    logs = _logs(found)
    sections: dict[str, Sequence[Block]] = {
        "Runs": [tables.runs_table(found.models, logs)] if found.models else [],
        "Results": _results(Results(found.results)),
        "Training": _training(found, names, logs),
        "Examples": _examples(found, names, data),
        "Embeddings": _maps(found, map_labels),
        "Exported files": [tables.exports_table(found.exports)] if found.exports else [],
        "Settings": _settings(found, names),
    }
    return Report(
        _title(found, names),
        " ".join(filter(None, [note, _lead(found)])),
        [Section(title, blocks) for title, blocks in sections.items() if blocks],
    )


def _title(found: Inputs, names: Mapping[Model, str]) -> str:
    if len(names) == 1:
        ((model, name),) = names.items()
        return f"{name}, encoder {model.encoder}"
    return f"{len(names)} models compared" if found.models else "a2v_tf"


def _lead(found: Inputs) -> str:
    counts = {
        "trained model": len(found.models),
        "downstream task": len({row["task"] for _, row in found.results}),
        "exported file": len(found.exports),
    }
    words = [f"{n} {what}{'s' * (n > 1)}" for what, n in counts.items() if n]
    return f"Made by a2v_report{': ' if words else ''}{', '.join(words)}."


def _logs(found: Inputs) -> Logs:
    """The logs of runs; a line on the terminal for a run that has none yet."""
    logs = {}
    for model, path in found.directories.items():
        try:
            logs[model] = inputs.read_log(path)
        except A2vError as error:
            print(f"no curves: {error}", file=sys.stderr)
    return logs


def _results(results: Results) -> list[Block]:
    """Every table, followed by its plot."""
    found = grids(results)
    blocks: list[Block] = [paper.CONDITIONS] if any(grid.sources for grid in found) else []
    for grid in found:
        blocks += [tables.accuracy_table(grid, results), plots.accuracy_plot(grid)]
        if len(grid.depths) > 2:  # more than the head alone and all of it
            blocks.append(plots.trade_off_plot(grid))
    blocks += tables.change_tables(results)
    protocols = dict.fromkeys(how.protocol for how in results.conditions)
    for encoder, protocol in itertools.product(results.encoders, protocols):
        if means := tables.normalised_means(results, encoder, protocol):
            table = tables.normalised_table(means, encoder, protocol)
            blocks += [table, plots.normalised_plot(table.title, means)]
    for encoder, how in itertools.product(results.encoders, results.conditions):
        blocks += plots.tasks_plots(results, encoder, how)
        blocks += plots.convergence_plots(results, encoder, how)
    return blocks


def _training(found: Inputs, names: Mapping[Model, str], logs: Logs) -> list[Block]:
    """The losses of all runs, then the accuracies that were measured during training."""
    if not logs:
        return []
    steps = {
        model: (log["epoch"] + 1) * model.config.get("eval_every", 1) for model, log in logs.items()
    }
    curves = [(names[model], model.kind, steps[model], log) for model, log in logs.items()]
    blocks: list[Block] = [plots.training_plot(curves)]
    for model, log in logs.items():
        if explained := plots.explained_plot(names[model], steps[model], log):
            blocks.append(explained)
        if probes := inputs.read_probes(found.directories[model]):
            blocks.append(plots.probing_plot(names[model], steps[model], log, probes))
    return blocks


def _examples(found: Inputs, names: Mapping[Model, str], data: str | None) -> list[Block]:
    """What the models predict; the reason, for a model whose audio is not available."""
    blocks: list[Block] = []
    for model, path in found.directories.items():
        try:
            blocks += examples.pictures(path, model.config, names[model], data)
        except A2vError as error:
            print(f"no examples of {path}: {error}", file=sys.stderr)
            blocks.append(f"{names[model]}: no examples, because {error}.")
    return blocks


def _maps(found: Inputs, map_labels: str | None) -> list[Block]:
    blocks: list[Block] = []
    for path in found.embeddings:
        files, embeddings = inputs.read_embeddings(path)
        groups = inputs.read_labels(map_labels, files)
        blocks += [f"{path.name}:"] if len(found.embeddings) > 1 else []
        blocks.append(plots.embedding_map(files, embeddings, groups))
    return blocks


def _settings(found: Inputs, names: Mapping[Model, str]) -> list[Block]:
    """What is needed to repeat everything."""
    blocks: list[Block] = [
        Folded(f"{names[model]}: config.json", json.dumps(model.config, indent=2))
        for model in found.models
    ]
    if commands := [shlex.join(command) for command in found.commands if command]:
        blocks.append(Folded("Commands of the evaluations", "\n".join(commands)))
    return blocks
