"""Write the model card and the checksums of `a2v_tf/pretrained/`.

  python recipes/debian_audio/card.py --work=work

Every number comes from a file that a step before wrote: WORK/choice.json (choose.py),
WORK/evaluation.json (evaluate.py), WORK/corpus/hours.csv (cut.py), WORK/packages.csv (download.py),
and the training log of the chosen encoder.
"""

import collections
import csv
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
import pandas as pd
from absl import flags
from download import read_packages

from a2v_tf import pretrained
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation.metrics import MEAN, UNTRAINED, Row
from a2v_tf.files import whole_file
from a2v_tf.specs import find_encoder
from a2v_tf.tasks import task_names
from a2v_tf.text import markdown_table
from a2v_tf.training.model_dir import LOG, read_config
from a2v_tf.training.settings import applies

FLAGS = flags.FLAGS

TEMPLATE = pathlib.Path(__file__).with_name("card.md.jinja")
LIMIT = 1_500_000  # bytes, of the folder
HEADS = {"linear": "Linear probe", "knn_clips": "Ten nearest neighbours"}
MODELS = {
    "int8 window": "**pretrained, int8**",
    "int8 streaming": "pretrained, int8, streaming",
    "float": "pretrained, float",
    UNTRAINED: "the same network untrained, mean of 5 seeds",
    "log_mel_statistics": "log-mel statistics, 192 numbers: mean, deviation, deviation of change",
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
    *("data", "front_end", "made_with", "resume", "decoder", "max_bad_fraction"),
    *("validation_examples", "strategy", "spectrogram_period"),
}


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("work", None, "The directory of the steps before.", required=True)
    folder = pathlib.Path(pretrained.__file__).parent
    flags.DEFINE_string("packed", str(folder), "Folder of pack.py.")
    flags.DEFINE_string(
        "log", None, "Training log; default: that of the encoder which choose.py chose."
    )
    flags.DEFINE_string("note", "", "What else there is to say of the data.")
    flags.DEFINE_integer("cores", 2, "Cores that training kept busy, for the energy.", 1)
    flags.DEFINE_float("watts", 15.0, "Power of such a core, for the energy.", 0.0)


def main(_: list[str]) -> None:
    work, packed = pathlib.Path(FLAGS.work), pathlib.Path(FLAGS.packed)
    choice = _read(work / "choice.json")
    log = pathlib.Path(FLAGS.log or pathlib.Path(choice["directory"]) / LOG)
    packages = read_packages(work / "packages.csv")
    text = card(
        read_config(packed),
        choice=choice,
        rows=_read(work / "evaluation.json")["results"],
        hours=_hours(work / "corpus" / "hours.csv"),
        licences={package.name: package.licence for package in packages},
        versions={package.name: package.version for package in packages},
        train_hours=train_hours(log, read_config(packed)),
        cores=FLAGS.cores,
        watts=FLAGS.watts,
        note=FLAGS.note,
    )
    with whole_file(packed / pretrained.CARD) as partial:
        partial.write_text(text, encoding="utf-8")
    files = write_sums(packed)
    total = sum(path.stat().st_size for path in files)
    if total >= LIMIT:
        raise A2vError(f"{packed} has {total:,} bytes: expected less than {LIMIT:,}")
    print(f"{packed}: {total:,} bytes, card and checksums written")


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


def write_sums(packed: pathlib.Path) -> list[pathlib.Path]:
    """Write SHA256SUMS, as sha256sum does; return all files that are shipped."""
    names = [pretrained.CARD, "config.json", "encoder.keras", pretrained.GOLDEN]
    names += ["quantized_core.tflite", pretrained.STREAMING, pretrained.WINDOW]
    files = [packed / name for name in names]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    with whole_file(packed / pretrained.SUMS) as partial:
        partial.write_text("".join(lines))
    return [*files, packed / pretrained.SUMS]


# The text ----------------------------------------------------------------------------------------


def card(
    config: Mapping[str, Any],
    *,
    choice: Mapping[str, Any],
    rows: Sequence[Row],
    hours: Mapping[str, Mapping[str, float]],
    licences: Mapping[str, str],
    versions: Mapping[str, str],
    train_hours: float,
    cores: int,
    watts: float,
    note: str = "",
) -> str:
    """The model card, in Markdown.

    Args:
      config: of the packed encoder.
      choice: of choose.py.
      rows: of evaluate.py.
      hours: of audio by part of the corpus and package.
      licences: of the packages.
      versions: of the packages.
      train_hours: of the chosen encoder.
      cores: that training kept busy.
      watts: of each.
      note: on the data.
    """
    settings = [
        (name, _plain(value)) for name, value in config.items() if _is_setting(name, config)
    ]
    scores = [
        (
            f"**{name}**" if name == choice["choice"] else name,
            f"{_examples(choice['configs'][name]):,}",
            f"{100 * score:.1f}",
        )
        for name, score in choice["scores"].items()
    ]
    made_with = config.get("made_with", {}).items()
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), trim_blocks=True, keep_trailing_newline=True
    )
    return template.render(
        config=config,
        embedding_dim=find_encoder(config["encoder"]).embedding_dim,
        evaluation=_evaluation(rows),
        tasks=TASKS,
        scores=markdown_table(("encoder", "training examples", "validation"), scores),
        unlabelled=hours["unlabelled"],
        data=markdown_table(
            ("package", "version", "licence", "hours"), _data(hours, licences, versions)
        ),
        task_hours=_task_hours(hours),
        settings=markdown_table(("setting", "value"), settings),
        train_hours=train_hours,
        made_with=", ".join(f"{name} {version}" for name, version in made_with if version),
        cores=cores,
        watts=watts,
        note=note,
    )


def _is_setting(name: str, config: Mapping[str, Any]) -> bool:
    learned = task_names(config["task"], config.get("heads", ()))
    if name in _NO_SETTINGS or not applies(name, config["task"], learned):
        return False
    return bool(config[name]) or name == "seed"


def _examples(config: Mapping[str, Any]) -> int:
    return config["steps"] * config["batch_size"]


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _evaluation(rows: Sequence[Row]) -> str:
    parts = []
    tasks = sorted(dict.fromkeys(row["task"] for row in rows), key=lambda task: task == MEAN)
    for protocol, title in HEADS.items():
        cells = {(r["model"], r["task"]): r for r in rows if r["protocol"] == protocol}
        models = sorted(
            dict.fromkeys(model for model, _ in cells),
            key=lambda name: list(MODELS).index(name) if name in MODELS else -1,
        )
        lines = [
            (MODELS.get(model, model), *(_accuracy(cells[model, task]) for task in tasks))
            for model in models
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
