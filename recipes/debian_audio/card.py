"""Write the model card and the checksums of an encoder in `a2v_tf/pretrained/`.

  python recipes/debian_audio/card.py --work=work
  python recipes/debian_audio/card.py --work=work --name=pretrained_self_supervised

Every number comes from a file that a step before wrote: WORK/choice.json (choose.py),
WORK/NAME.json (evaluate.py), WORK/corpus/hours.csv (cut.py), WORK/packages.csv (download.py), and
the training log of the chosen encoder.
"""

import collections
import csv
import dataclasses
import hashlib
import json
import pathlib
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
import pandas as pd
from absl import flags
from download import read_packages
from judging import LINEAR, NEAREST, means
from shipped import (
    FLOAT,
    SELF_SUPERVISED,
    STATISTICS,
    STREAMING,
    WINDOW,
    check_licence,
)

from a2v_tf import pretrained
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation.metrics import MEAN, UNTRAINED, Row
from a2v_tf.export.convert import QUANTIZED_CORE
from a2v_tf.files import whole_file
from a2v_tf.specs import find_encoder
from a2v_tf.tasks import task_names
from a2v_tf.text import markdown_table
from a2v_tf.training.model_dir import ENCODER, INITIAL_RUN, LOG, read_config, runs
from a2v_tf.training.settings import TrainSettings, applies

FLAGS = flags.FLAGS

TEMPLATE = pathlib.Path(__file__).with_name("card.md.jinja")
LIMIT = 4_000_000  # bytes, of all encoders that are shipped
HEADS = {LINEAR: "Linear probe", NEAREST: "Ten nearest neighbours"}
MODELS = {
    WINDOW: "**{name}, int8**",
    STREAMING: "{name}, int8, streaming",
    FLOAT: "{name}, float",
    UNTRAINED: "the same network untrained, mean of 5 seeds",
    STATISTICS: "log-mel statistics, 192 numbers: mean, deviation, deviation of change",
    "speech_embedding": "speech_embedding (Google), every embedding (80 ms)",
    "speech_embedding_mean": "speech_embedding, mean per clip",
}
TASKS = {
    "SPC": "20 English words, unseen voices (most of them synthetic)",
    "LSP": "36 speakers, unseen utterances",
    "MUS": "music, speech or noise",
    "BSD": "bird or no bird (calls mixed over backgrounds)",
    "NPI": "40 pitches, unseen instruments (rendered)",
}
# Of config.json, what says nothing of how the encoder learned.
_NO_SETTINGS = {
    *(
        "data",
        "data_fingerprints",
        "front_end",
        "made_with",
        "resume",
        "decoder",
        "max_bad_fraction",
    ),
    *("taught_by", "cache", INITIAL_RUN),
    *("validation_examples", "strategy", "spectrogram_period"),
}


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("work", None, "The directory of the steps before.", required=True)
    flags.DEFINE_string("name", pretrained.NAME, "Name of the encoder.")
    flags.DEFINE_string("packed", None, "Folder of pack.py. Default: that of --name.")
    flags.DEFINE_string("evaluation", None, "JSON of evaluate.py. Default: WORK/NAME.json.")
    flags.DEFINE_string(
        "log", None, "Training log; default: that of the encoder which choose.py chose."
    )
    flags.DEFINE_string("note", "", "What else there is to say of the data.")
    flags.DEFINE_integer("cores", 2, "Cores that training kept busy, for the energy.", 1)
    flags.DEFINE_float("watts", 15.0, "Power of such a core, for the energy.", 0.0)


def main(_: list[str]) -> None:
    name, work = FLAGS.name, pathlib.Path(FLAGS.work)
    packed = pathlib.Path(FLAGS.packed or pretrained.folder(name))
    choice = _read(work / "choice.json")
    first, *before = _model_dirs(choice["directories"][choice["choices"][name]])
    logs = [pathlib.Path(FLAGS.log or first / LOG), *(model_dir / LOG for model_dir in before)]
    packages = read_packages(work / "packages.csv")
    text = card(
        read_config(packed),
        name=name,
        choice=choice,
        evaluation=_read(pathlib.Path(FLAGS.evaluation or work / f"{name}.json")),
        hours=_hours(work / "corpus" / "hours.csv"),
        licences={package.name: package.licence for package in packages},
        versions={package.name: package.version for package in packages},
        train_hours=sum(map(train_hours, logs, runs(read_config(packed)))),
        explained=explained(logs[0]),
        cores=FLAGS.cores,
        watts=FLAGS.watts,
        note=FLAGS.note,
    )
    with whole_file(packed / pretrained.CARD) as partial:
        partial.write_text(text, encoding="utf-8")
    total = sum(path.stat().st_size for path in write_sums(packed))
    others = [pretrained.folder(other) for other in pretrained.names() if other != name]
    shipped = total + sum(path.stat().st_size for other in others for path in shipped_files(other))
    if shipped >= LIMIT:
        raise A2vError(f"all encoders have {shipped:,} bytes: expected less than {LIMIT:,}")
    print(f"{packed}: {total:,} bytes, card and checksums written")


def _model_dirs(name: str) -> list[pathlib.Path]:
    """The directory of a run, and those of the runs whose encoders it started from."""
    before = read_config(name).get("initial_encoder")
    return [pathlib.Path(name), *(_model_dirs(before) if before else [])]


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise A2vError(f"cannot read {str(path)!r}: run the steps before this one") from error


def _hours(path: pathlib.Path) -> dict[str, dict[str, float]]:
    """Hours of audio by part of the corpus and package."""
    found: dict[str, dict[str, float]] = collections.defaultdict(dict)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found[row["part"]][row["package"]] = float(row["hours"])
    except OSError as error:
        raise A2vError(f"cannot read {str(path)!r}: run cut.py first") from error
    return found


def train_hours(log: pathlib.Path, config: Mapping[str, Any]) -> float:
    """Hours of training that a log speaks of, without validation."""
    try:
        speeds = pd.read_csv(log)["examples_per_s"]
    except (OSError, KeyError, ValueError) as error:
        raise A2vError(f"cannot read {str(log)!r}: expected {LOG} of a2v_train") from error
    examples = config["eval_every"] * config["batch_size"]
    return float((examples / speeds).sum() / 3600)


def explained(log: pathlib.Path) -> dict[str, float]:
    """How much of each teacher's outputs the encoder predicts on validation clips, at its best."""
    rows = pd.read_csv(log)
    best = rows.loc[rows["val_loss"].idxmin()]
    found = {name: re.fullmatch(r"val_(.+)_explained", name) for name in rows}
    return {match[1]: float(best[name]) for name, match in found.items() if match}


def write_sums(packed: pathlib.Path) -> list[pathlib.Path]:
    """Write SHA256SUMS, as sha256sum does; return all files that are shipped."""
    files = shipped_files(packed)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    with whole_file(packed / pretrained.SUMS) as partial:
        partial.write_text("".join(lines))
    return [*files, packed / pretrained.SUMS]


def shipped_files(packed: pathlib.Path) -> list[pathlib.Path]:
    """What a folder has besides its checksums."""
    names = [pretrained.CARD, pretrained.CONFIG, ENCODER, pretrained.GOLDEN]
    names += [QUANTIZED_CORE, pretrained.STREAMING, pretrained.WINDOW]
    return [packed / name for name in names]


# The text ----------------------------------------------------------------------------------------


def card(
    config: Mapping[str, Any],
    *,
    name: str,
    choice: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    hours: Mapping[str, Mapping[str, float]],
    licences: Mapping[str, str],
    versions: Mapping[str, str],
    train_hours: float,
    explained: Mapping[str, float],
    cores: int,
    watts: float,
    note: str = "",
) -> str:
    """The model card, in Markdown.

    Args:
      config: of the packed encoder.
      name: of the encoder.
      choice: of choose.py.
      evaluation: of evaluate.py.
      hours: of audio by part of the corpus and package.
      licences: of the packages.
      versions: of the packages.
      train_hours: of the chosen encoder.
      explained: of it, see `explained`.
      cores: that training kept busy.
      watts: of each.
      note: on the data.
    """
    chosen = choice["choices"][name]
    scores = [
        (
            f"**{candidate}**" if candidate == chosen else candidate,
            choice["configs"][candidate]["encoder"],
            f"{choice['weights'][candidate]:,}",
            f"{_examples(choice['configs'][candidate]):,}",
            f"{100 * score:.1f}",
        )
        for candidate, score in choice["scores"].items()
    ]
    for teacher, facts in evaluation["teachers"].items():
        check_licence(teacher, facts["licence"])
    titles = _titles(name, evaluation)
    made_with = config.get("made_with", {}).items()
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), trim_blocks=True, keep_trailing_newline=True
    )
    return template.render(
        name=name,
        self_supervised=name == SELF_SUPERVISED,
        config=config,
        embedding_dim=find_encoder(config["encoder"]).embedding_dim,
        costs=_costs(evaluation, titles),
        evaluation=_evaluation(evaluation["results"], titles),
        few=_few(evaluation["results"], titles),
        draws=evaluation["draws"],
        criteria=_criteria(evaluation["criteria"]),
        teachers=evaluation["teachers"],
        machine=evaluation["machine"],
        tasks=TASKS,
        scores=markdown_table(
            ("candidate", "encoder", "weights", "training examples", "validation"), scores
        ),
        unlabelled=hours["unlabelled"],
        data=markdown_table(
            ("package", "version", "licence", "hours"), _data(hours, licences, versions)
        ),
        task_hours=_task_hours(hours),
        settings=[markdown_table(("setting", "value"), _settings(run)) for run in runs(config)],
        train_hours=train_hours,
        explained=markdown_table(
            ("teacher", "explained variance"),
            [(name, f"{value:.2f}") for name, value in explained.items()],
        )
        if explained
        else "",
        made_with=", ".join(f"{name} {version}" for name, version in made_with if version),
        cores=cores,
        watts=watts,
        note=note,
    )


def _settings(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, _plain(value)) for key, value in config.items() if _is_setting(key, config)]


def _is_setting(name: str, config: Mapping[str, Any]) -> bool:
    learned = task_names(config["task"], config.get("heads", ()))
    flags_ = {field.name for field in dataclasses.fields(TrainSettings)}
    if name in _NO_SETTINGS or (name in flags_ and not applies(name, config["task"], learned)):
        return False
    return bool(config[name]) or name == "seed"


def _examples(config: Mapping[str, Any]) -> int:
    return sum(run["steps"] * run["batch_size"] for run in runs(config))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _titles(name: str, evaluation: Mapping[str, Any]) -> dict[str, str]:
    """What the tables call the models, in their order."""
    titles = {model: title.format(name=name) for model, title in MODELS.items()}
    own = (WINDOW, STREAMING, FLOAT, UNTRAINED)
    compared = {
        model: f"`{config['encoder']}` trained with `{config['task']}` ({model})"
        for model, config in evaluation["compared"].items()
    }
    teachers = {teacher: f"{teacher} (teacher)" for teacher in evaluation["teachers"]}
    # Of a key that is there twice, the first place and the last title count.
    return {**{model: titles[model] for model in own}, **compared, **teachers, **titles}


def _in_order(models: Iterable[str], titles: Mapping[str, str]) -> list[str]:
    known = set(models)
    return [model for model in titles if model in known]


def _costs(evaluation: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """What each model takes and gives, with its means over the tasks."""
    costs, rows = evaluation["costs"], evaluation["results"]
    accuracies = [means(rows, protocol) for protocol in HEADS]
    unit = costs.get(WINDOW, {}).get("cpu_ms")
    lines = []
    for model in _in_order(costs, titles):
        cost = costs[model]
        size = f"{cost['bytes'] / 1000:,.0f} kB" if cost.get("bytes") else ""
        numbers = [f"{cost[key]:,}" if cost.get(key) else "" for key in ("numbers", "weights")]
        time = cost.get("cpu_ms")
        cpu = f"{time:.2f} ms ({_times(time / unit)})" if time and unit else ""
        shares = [f"{100 * of[model]:.1f}" for of in accuracies]
        lines.append((titles[model], *numbers, size, cpu, *shares))
    head = ("model", "numbers", "weights", "file", "CPU time for 1 s", "linear", "nearest")
    return markdown_table(head, lines)


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def _few(rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    """Means over the tasks with few training clips, and their deviation from draw to draw."""
    cells = {
        (row["model"], row["protocol"], row["examples_per_class"]): row
        for row in rows
        if row["task"] == MEAN and row["examples_per_class"]
    }
    counts = sorted({count for _, _, count in cells})
    if not counts:
        return ""
    columns = [(protocol, count) for protocol in HEADS for count in counts]
    lines = [
        (titles[model], *(_with_deviation(cells[(model, *column)]) for column in columns))
        for model in _in_order((model for model, _, _ in cells), titles)
    ]
    words = {LINEAR: "linear", NEAREST: "nearest"}
    return markdown_table(("model", *(f"{words[x]}, {count}" for x, count in columns)), lines)


def _with_deviation(row: Row) -> str:
    return f"{100 * row['accuracy']:.1f} ± {100 * statistics.pstdev(row['replicas']):.1f}"


def _criteria(criteria: Iterable[Mapping[str, Any]]) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    lines = [(x["what"], x["needed"], x["found"], words[x["passed"]]) for x in criteria]
    return markdown_table(("aim", "expected", "reached", "met"), lines)


def _evaluation(rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    rows = [row for row in rows if not row["examples_per_class"]]
    parts = []
    tasks = sorted(dict.fromkeys(row["task"] for row in rows), key=lambda task: task == MEAN)
    for protocol, title in HEADS.items():
        cells = {(r["model"], r["task"]): r for r in rows if r["protocol"] == protocol}
        lines = [
            (titles[model], *(_accuracy(cells[model, task]) for task in tasks))
            for model in _in_order((model for model, _ in cells), titles)
        ]
        parts.append(f"{title}:\n\n{markdown_table(('model', *tasks), lines)}\n")
    return "\n".join(parts)


def _accuracy(row: Row) -> str:
    low, high = (f"{100 * row[key]:.1f}" for key in ("low", "high"))
    return f"{100 * row['accuracy']:.1f} ({low} to {high})"


def _data(
    hours: Mapping[str, Mapping[str, float]],
    licences: Mapping[str, str],
    versions: Mapping[str, str],
) -> Iterable[Sequence[str]]:
    unlabelled = hours["unlabelled"]
    for name in sorted(unlabelled, key=lambda name: -unlabelled[name]):
        version, licence = versions.get(name, ""), licences.get(name, "those of the packages")
        yield name, version, licence, f"{unlabelled[name]:.2f}"


def _task_hours(hours: Mapping[str, Mapping[str, float]]) -> str:
    parts = [(name, sum(hours[name].values())) for name in TASKS if name in hours]
    return ", ".join(f"{name} {total:.1f} h" for name, total in parts)


if __name__ == "__main__":
    run_app(main, define_flags)
