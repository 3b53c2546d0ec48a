"""Show runs and their results on one page, beside the papers' figures: the `a2v_report` command.

  a2v_report models/mine
  a2v_report models/mine results.json streaming.json embeddings.npz --output=report.html
  a2v_report models/* results/*.json --output=report.html --markdown=report.md

Each argument says itself what it is: a model directory of a2v_train gives training curves and
examples of what the model predicts; the JSON of a2v_evaluate --output gives tables in the shape of
the papers' and plots; the JSON of export_tflite --summary a line about an exported file; the .npz
of a2v_embed a map. Several of each are compared. The page needs no other file, so that it can be
mailed or kept.
"""

import json
import pathlib
import shlex
import sys
from collections.abc import Mapping

import keras
import numpy as np
from absl import flags, logging

from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation import paper
from a2v_tf.reporting import document, examples, plots, runs, tables
from a2v_tf.reporting.document import Block, Folded, Section
from a2v_tf.reporting.results import NO_TRAINING, WHOLE, Results, grids
from a2v_tf.reporting.runs import Inputs, Model

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string("output", "report.html", "The .html file to write.")
    flags.DEFINE_string("markdown", None, "A .md file to write too, with the same tables.")
    flags.DEFINE_string(
        "labels",
        None,
        "CSV (path,label,...) that colours maps, or 'demo'. By default the files' folders do.",
    )
    flags.DEFINE_string(
        "data", None, "Audio for the examples, as in a2v_train. Default: each model's own."
    )


def main(argv: list[str]) -> None:
    if len(argv) == 1:
        raise A2vError("nothing to report on: expected model directories, JSON files, .npz files")
    output = _checked_output(FLAGS.output, "output", ".html")
    markdown = FLAGS.markdown and _checked_output(FLAGS.markdown, "markdown", ".md")
    inputs = runs.read(argv[1:])
    report = build(inputs, data=FLAGS.data, labels=FLAGS.labels)
    _write(output, document.to_html(*report))
    if markdown:
        _write(markdown, document.to_markdown(*report))


def build(
    inputs: Inputs, *, data: str | None = None, labels: str | None = None
) -> tuple[str, str, list[Section]]:
    """Put a report together.

    Args:
      inputs: of `runs.read`.
      data: audio for the examples; by default each model's own.
      labels: CSV that colours maps; by default folders do.

    Returns:
      Title, first paragraph and sections, as `document.to_html` takes them.

    Raises:
      A2vError: labels or embeddings cannot be read.
    """
    names = runs.labels(inputs.models)
    results = Results(inputs.results)
    logs = {model: log for model in inputs.directories if (log := _log(inputs, model))}
    sections = [
        Section("Runs", _runs(inputs, logs)),
        Section("Results", _results(results)),
        Section("Training", _training(inputs, names, logs)),
        Section("Examples", _examples(inputs, names, data)),
        Section("Embeddings", _maps(inputs, labels)),
        Section("Exported files", _exports(inputs)),
        Section("Settings", _settings(inputs, names)),
    ]
    sections = [section for section in sections if section.blocks]
    return _title(inputs, names), _lead(inputs), sections


# ---- Sections ----


def _runs(inputs: Inputs, logs: Mapping[Model, Mapping[str, np.ndarray]]) -> list[Block]:
    return [tables.runs_table(inputs.models, logs)] if inputs.models else []


def _results(results: Results) -> list[Block]:
    """Every table, each followed by its plot."""
    found = grids(results)
    blocks: list[Block] = [paper.CONDITIONS] if any(grid.sources for grid in found) else []
    for grid in found:
        blocks += [tables.accuracy_table(grid, results), plots.accuracy_plot(grid)]
        if len(grid.depths) > 2:  # more than the head alone and all of it
            blocks.append(plots.trade_off_plot(grid))
    blocks += tables.change_tables(results)
    for encoder in results.encoders:
        blocks += _normalised(results, encoder)
    return blocks


def _normalised(results: Results, encoder: str) -> list[Block]:
    """The table and the plot of mean normalised accuracies, if there are any."""
    table = tables.normalised_table(results, encoder)
    if not table.rows:
        return []
    columns = [(depth, n) for depth in (NO_TRAINING, WHOLE) for n in results.per_class]
    models = [model for model in results.of_encoder(encoder) if not model.is_baseline]
    lines = {}
    for model, name in runs.labels(models).items():
        means = [tables.mean_normalised(results, model, *column) for column in columns]
        if any(means):
            lines[name] = [mean and mean[0] for mean in means]
    used = [i for i in range(len(columns)) if any(rows[i] for rows in lines.values())]
    plot = plots.normalised_plot(
        table.title,
        [tables.scenario(*columns[i]) for i in used],
        [(name, [rows[i] for i in used]) for name, rows in lines.items()],
    )
    return [table, plot]


def _training(
    inputs: Inputs, names: Mapping[Model, str], logs: Mapping[Model, Mapping[str, np.ndarray]]
) -> list[Block]:
    """The losses of all runs, then what was probed while training."""
    if not logs:
        return []
    curves = [(names[model], model.kind, _steps(model, log), log) for model, log in logs.items()]
    blocks: list[Block] = [plots.training_plot(curves)]
    for label, (model, log) in zip(map(names.get, logs), logs.items(), strict=True):
        if probes := runs.read_probes(inputs.directories[model]):
            blocks.append(plots.probing_plot(label, _steps(model, log), log, probes))
    return blocks


def _examples(inputs: Inputs, names: Mapping[Model, str], data: str | None) -> list[Block]:
    """What the models predict; why not, for one whose audio is elsewhere."""
    blocks: list[Block] = []
    logging.set_verbosity(logging.ERROR)  # training has told which files it skips
    for model, path in inputs.directories.items():
        try:
            blocks += examples.pictures(path, model.config, names[model], data)
        except A2vError as error:
            print(f"no examples of {path}: {error}", file=sys.stderr)
            blocks.append(f"{names[model]}: no examples, because {error}.")
    return blocks


def _maps(inputs: Inputs, labels: str | None) -> list[Block]:
    blocks: list[Block] = []
    for path in inputs.embeddings:
        files, embeddings = runs.read_embeddings(path)
        groups = runs.read_labels(labels, files) if labels else runs.folder_names(files)
        blocks += [f"{path.name}:"] if len(inputs.embeddings) > 1 else []
        blocks.append(plots.embedding_map(files, embeddings, groups))
    return blocks


def _exports(inputs: Inputs) -> list[Block]:
    return [tables.exports_table(inputs.exports)] if inputs.exports else []


def _settings(inputs: Inputs, names: Mapping[Model, str]) -> list[Block]:
    """What it takes to do it all again."""
    blocks: list[Block] = [
        Folded(f"{names[model]}: config.json", json.dumps(model.config, indent=2))
        for model in inputs.models
    ]
    commands = [shlex.join(command) for command in inputs.commands if command]
    return blocks + ([Folded("Commands of the evaluations", "\n".join(commands))] * bool(commands))


# ---- Pieces ----


def _title(inputs: Inputs, names: Mapping[Model, str]) -> str:
    if len(inputs.models) == 1:
        model = inputs.models[0]
        return f"{names[model]}, encoder {model.encoder}"
    return f"{len(inputs.models)} models compared" if inputs.models else "a2v_tf"


def _lead(inputs: Inputs) -> str:
    tasks = {result.row["task"] for result in inputs.results}
    counts = {
        "trained model": len(inputs.models),
        "downstream task": len(tasks),
        "exported file": len(inputs.exports),
    }
    words = [f"{n} {what}{'s' * (n > 1)}" for what, n in counts.items() if n]
    return f"Made by a2v_report{': ' if words else ''}{', '.join(words)}."


def _log(inputs: Inputs, model: Model) -> Mapping[str, np.ndarray] | None:
    """The log of a run; None, and a line on the terminal, if it has none yet."""
    try:
        return runs.read_log(inputs.directories[model])
    except A2vError as error:
        print(f"no curves: {error}", file=sys.stderr)
        return None


def _steps(model: Model, log: Mapping[str, np.ndarray]) -> np.ndarray:
    """The step at the end of each round."""
    return (log["epoch"] + 1) * model.config.get("eval_every", 1)


def _checked_output(path: str, flag: str, suffix: str) -> pathlib.Path:
    """Say before the work, not after it, that the report cannot be written."""
    output = pathlib.Path(path)
    if output.suffix != suffix:
        raise A2vError(f"--{flag}={path!r}: expected a name ending in {suffix}")
    if not output.parent.is_dir():
        raise A2vError(f"--{flag}={path!r}: no directory {str(output.parent)!r}")
    return output


def _write(path: pathlib.Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise A2vError(f"cannot write {str(path)!r}: {error.strerror}") from error
    print(f"Wrote {path}")


def run() -> None:
    """Entry point of `a2v_report`."""
    keras.utils.set_random_seed(0)
    define_flags()
    run_app(main, arguments=True)


if __name__ == "__main__":
    run()
