"""Show a trained model on one self-contained HTML page: the `a2v_report` command.

  a2v_report --model_dir=models/mine --output=report.html
  a2v_report --model_dir=models/mine --results=results.json --exports=a.json,b.json \\
      --embeddings=embeddings.npz --output=report.html

The pictures are inside the page, so that it can be mailed or kept.
"""

import base64
import csv
import html
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
from absl import flags
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from a2v_tf import training_data
from a2v_tf.data import demo
from a2v_tf.data.sources import one_line_errors, open_source
from a2v_tf.errors import A2vError, run_app
from a2v_tf.frontend import FRONT_END
from a2v_tf.model_dir import LOG, load_model, read_config
from a2v_tf.slicing import ContextSlicing
from a2v_tf.tasks import TASKS

plt.switch_backend("Agg")  # files only: no display needed

FLAGS = flags.FLAGS


EXAMPLES = 3
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
img { max-width: 100%; background: white; border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr.mean { font-weight: 600; background: var(--soft); }
small, figcaption { opacity: .75; } figure { margin: 0; }
pre { background: var(--soft); padding: .8rem; border-radius: 6px; overflow-x: auto; }
"""


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string("model_dir", None, "Directory of a2v_train.", required=True)
    flags.DEFINE_string("output", None, "The .html file to write.", required=True)
    flags.DEFINE_string("results", None, "JSON of a2v_evaluate --output.")
    flags.DEFINE_list("exports", [], "JSON files of export_tflite --summary.")
    flags.DEFINE_string("embeddings", None, "The .npz of a2v_embed; mapped to two dimensions.")
    flags.DEFINE_string(
        "labels",
        None,
        "CSV (path,label,...) that colours the map, or 'demo'. By default the files' folders do.",
    )
    flags.DEFINE_string(
        "data", None, "Audio for the reconstructions. Default: what the model was trained on."
    )


def main(argv: list[str]) -> None:
    del argv
    output = pathlib.Path(FLAGS.output)
    if output.suffix != ".html":
        raise A2vError(f"--output={FLAGS.output!r}: expected a name ending in .html")
    model_dir = pathlib.Path(FLAGS.model_dir)
    config = read_config(model_dir)
    sections = [
        section("Training", loss_curve(read_log(model_dir), config["eval_every"])),
        section("Reconstructions", reconstructions(model_dir, config, FLAGS.data)),
    ]
    if FLAGS.embeddings:
        paths, embeddings = read_embeddings(FLAGS.embeddings)
        labels = read_labels(FLAGS.labels, paths) if FLAGS.labels else folder_names(paths)
        sections.append(section("Embedding map", embedding_map(paths, embeddings, labels)))
    if FLAGS.results:
        sections.append(section("Downstream accuracy", accuracies(read_json(FLAGS.results))))
    if FLAGS.exports:
        sections.append(section("Exported files", exports(map(read_json, FLAGS.exports))))
    try:
        output.write_text(page(config, sections), encoding="utf-8")
    except OSError as error:
        raise A2vError(f"cannot write {FLAGS.output!r}: {error.strerror}") from error
    print(f"Wrote {output}")


# ---- Sections, each HTML ----


def loss_curve(log: dict[str, np.ndarray], steps_per_round: int) -> str:
    """Training and validation loss over steps."""

    def draw() -> None:
        steps = (log["epoch"] + 1) * steps_per_round
        _, axes = plt.subplots(figsize=(8, 3), layout="constrained")
        axes.plot(steps, log["loss"], ".-", label="training (mean of the round)")
        axes.plot(steps, log["val_loss"], ".-", label="validation")
        axes.set(xlabel="step", ylabel="mean squared error")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()

    last = log["val_loss"][-1]
    return figure(draw, f"Loss on log-mel values; at the end {last:.3f} on validation.")


def reconstructions(
    model_dir: pathlib.Path, config: dict[str, Any], data: str | None = None
) -> str:
    """Examples: surrounding slices, the truth in the middle, and what the model makes of them."""
    slicing = ContextSlicing(config["frames"], config["context"], config["gap"])
    source = open_source(data or config["data"], max_bad_fraction=config["max_bad_fraction"])
    samples = FRONT_END.samples(slicing.span)
    source.check(samples)
    examples = training_data.validation_batches(
        source,
        TASKS[config["task"]],
        slicing,
        batch_size=EXAMPLES,
        seed=config["seed"] + 1,
        examples=EXAMPLES,
    )
    with one_line_errors(source):
        surrounding, middle = next(iter(examples))
    model = load_model(model_dir)
    rebuilt = np.asarray(model.predict_on_batch(surrounding))
    pictures = np.concatenate(
        [surrounding[:, : slicing.context], middle[:, None], surrounding[:, slicing.context :]],
        axis=1,
    )

    def draw() -> None:
        columns = pictures.shape[1] + 1
        _, axes = plt.subplots(
            EXAMPLES, columns, figsize=(11, 5.4), layout="constrained", squeeze=False
        )
        for row, (slices, guess) in enumerate(zip(pictures, rebuilt, strict=True)):
            shown = np.insert(slices, slicing.context + 1, guess, axis=0)
            for column, (axis, image) in enumerate(zip(axes[row], shown, strict=True)):
                axis.imshow(
                    image.T, origin="lower", aspect="auto", vmin=slices.min(), vmax=slices.max()
                )
                axis.set(xticks=[], yticks=[])
                if row == 0:
                    axis.set_title(titles[column], fontsize=10)

    before = [f"context {p}" for p in range(-slicing.context, 0)]
    after = [f"context +{p}" for p in range(1, slicing.context + 1)]
    titles = [*before, "target (hidden)", "reconstruction", *after]
    caption = (
        f"Log-mel slices of {1000 * FRONT_END.seconds(slicing.frames):.0f} ms, low frequencies at "
        "the bottom. The model sees the context alone and predicts the slice in the middle."
    )
    return figure(draw, caption)


def embedding_map(paths: np.ndarray, embeddings: np.ndarray, labels: list[str]) -> str:
    """The files' mean embeddings in two dimensions, close where they are close in all."""
    files, file_of = np.unique(paths, return_inverse=True)
    counts = np.bincount(file_of)[:, np.newaxis]
    means = np.zeros((len(files), embeddings.shape[1]))
    np.add.at(means, file_of, embeddings)
    points = project(means / counts)
    label_of = dict(zip(paths, labels, strict=True))
    groups = np.array([label_of[file] for file in files])
    names = sorted(set(groups))

    def draw() -> None:
        _, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
        colours = plt.get_cmap("tab20" if len(names) > 10 else "tab10")
        for i, name in enumerate(names):
            chosen = points[groups == name]
            axes.scatter(*chosen.T, s=14, alpha=0.8, color=colours(i % colours.N), label=name)
        axes.set(xticks=[], yticks=[])
        if len(names) <= 20:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)

    return figure(draw, f"{len(files)} files, each the mean of its embeddings (t-SNE).")


def accuracies(results: dict[str, Any]) -> str:
    """A table a protocol: accuracy in % with its 95 % interval."""
    rows = results["results"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    parts = []
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        cells = {(r["task"], r["model"]): r for r in rows if r["protocol"] == protocol}
        lines = []
        for task in dict.fromkeys(row["task"] for row in rows):
            values = "".join(f"<td>{_accuracy(cells[task, model])}</td>" for model in models)
            mean = " class=mean" if task == "mean" else ""
            lines.append(f"<tr{mean}><td>{html.escape(task)}</td>{values}</tr>")
        head = "".join(f"<th>{html.escape(model)}</th>" for model in models)
        parts.append(
            f"<h3>{html.escape(protocol)}</h3><table><tr><th>task</th>{head}</tr>"
            f"{''.join(lines)}</table>"
        )
    return "".join(parts) + "<p><small>Accuracy of test clips in %, 95 % interval.</small></p>"


def exports(summaries: Any) -> str:
    """What was exported, and whether it computes exactly what the encoder computes."""
    lines = []
    for summary in summaries:
        exact = summary["exactness"] or {}
        kind = [summary["mode"], summary["state"] and f"{summary['state']} state"]
        values = [
            pathlib.Path(summary["output"]).name,
            ", ".join(filter(None, [*kind, "int8" if summary["quantized"] else "float"])),
            f"{summary['file_bytes'] / 1000:,.0f} kB",
            f"{summary['state_bytes']:,} B",
            "bit for bit"
            if exact.get("bit_exact")
            else f"within {exact.get('max_abs_difference', float('nan')):.2g}",
        ]
        lines.append("<tr>" + "".join(f"<td>{html.escape(v)}</td>" for v in values) + "</tr>")
    head = "".join(f"<th>{h}</th>" for h in ("file", "form", "size", "state", "equals offline"))
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


# ---- Pieces ----


def section(title: str, body: str) -> str:
    return f"<h2>{html.escape(title)}</h2>\n{body}\n"


def page(config: dict[str, Any], sections: list[str]) -> str:
    """The whole page."""
    title = f"a2v_tf: {config['task']}, encoder {config['encoder']}"
    settings = html.escape(json.dumps(config, indent=2))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f'<meta name=viewport content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{config['steps']} steps of {config['batch_size']} examples of "
        f"<code>{html.escape(str(config['data']))}</code>.</p>"
        f"{''.join(sections)}<details><summary>config.json</summary><pre>{settings}</pre></details>"
        "</html>\n"
    )


def figure(draw: Callable[[], None], caption: str) -> str:
    """Draw with matplotlib's current figure; return it as HTML with the picture inside."""
    draw()
    picture = io.BytesIO()
    plt.savefig(picture, format="png", dpi=130)
    plt.close()
    data = base64.b64encode(picture.getvalue()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def project(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """`[n, d]` to `[n, 2]` by t-SNE, or by principal components where points are few."""
    if len(points) < 10:
        flat = PCA(min(2, *points.shape)).fit_transform(points)
        return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    perplexity = min(30.0, (len(points) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)


def _accuracy(row: dict[str, Any]) -> str:
    accuracy, low, high = (100 * row[key] for key in ("accuracy", "low", "high"))
    return f"{accuracy:.1f} <small>{low:.1f}-{high:.1f}</small>"


# ---- Reading ----


def read_log(model_dir: pathlib.Path) -> dict[str, np.ndarray]:
    """The columns of `train_log.csv`."""
    path = model_dir / LOG
    if not path.is_file():
        raise A2vError(f"no {LOG} in {str(model_dir)!r}: has a2v_train finished its first round?")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def read_json(path: str) -> dict[str, Any]:
    """Read a JSON file, or say what is wrong with it in one line."""
    try:
        return json.loads(pathlib.Path(path).read_text())
    except OSError as error:
        raise A2vError(f"cannot read {path!r}: {error.strerror}") from error
    except ValueError as error:
        raise A2vError(f"{path!r} is not valid JSON: {error}") from error


def read_embeddings(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Paths `[n]` and embeddings `[n, d]` of an .npz of a2v_embed."""
    try:
        with np.load(path) as arrays:
            return arrays["path"], arrays["embeddings"]
    except (OSError, ValueError, KeyError) as error:
        raise A2vError(f"--embeddings={path!r} is not an .npz of a2v_embed: {error}") from error


def read_labels(path: str, files: np.ndarray) -> list[str]:
    """The label of each of `files` in a CSV whose paths are relative to it; "other" elsewhere."""
    if path == "demo":
        path = str(demo.ensure() / "sound_class.csv")
    folder = pathlib.Path(path).parent
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        labels = {(folder / row["path"]).resolve(): row["label"] for row in rows}
    except OSError as error:
        raise A2vError(f"cannot read --labels={path!r}: {error.strerror}") from error
    except KeyError as error:
        raise A2vError(f"--labels={path!r} has no column {error}") from error
    known = {file: labels.get(pathlib.Path(file).resolve(), "other") for file in set(files)}
    return [known[file] for file in files]


def folder_names(files: np.ndarray) -> list[str]:
    """The name of the folder of each file."""
    return [pathlib.Path(file).parent.name for file in files]


def run() -> None:
    """Entry point of `a2v_report`."""
    keras.utils.set_random_seed(0)
    define_flags()
    run_app(main)


if __name__ == "__main__":
    run()
