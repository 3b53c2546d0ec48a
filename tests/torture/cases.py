"""The cases: a command, and inputs of which one is damaged, drawn from a seed."""

import dataclasses
import pathlib
import random
import shutil
from collections.abc import Callable, Sequence

from a2v_tf import pretrained
from tests.torture import inputs as inputs_module
from tests.torture.damage import damaged
from tests.torture.flag_values import drawn_options
from tests.torture.inputs import QUICK


@dataclasses.dataclass(frozen=True)
class Case:
    """A command to run in a directory of its own, where `inputs` is a link to the valid inputs.

    Attributes:
      command: the console script.
      options: its arguments.
      what: what is unusual, in a few words.
      files: audio files of which each must be used or named.
      kill_after_s: seconds after which it is killed, to be run again.
      result: with `kill_after_s`, the output that is then as without a kill.
      file_limit: bytes that a file can grow to.
      old: files that exist before; the command replaces them completely, or not at all.
    """

    command: str
    options: Sequence[str]
    what: str
    files: Sequence[str] = ()
    kill_after_s: float | None = None
    result: str = ""
    file_limit: int | None = None
    old: Sequence[str] = ()


def tflite(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """A damaged .tflite file."""
    which = rng.choice([pretrained.STREAMING, pretrained.WINDOW])
    what, content = damaged(rng, pretrained.resolve("pretrained", which).read_bytes())
    (directory / "model.tflite").write_bytes(content)
    sound = "--audio=inputs/sounds/low/0.wav"
    if rng.random() < 0.6:
        return Case("a2v_stream", ["--model=model.tflite", sound, "--format=jsonl"], what)
    if rng.random() < 0.9:
        return Case("a2v_embed", ["--model=model.tflite", sound, "--output=out.csv"], what)
    steps = ["--steps=2", "--warmup=0", "--rounds=1"]
    return Case("a2v_benchmark", ["--model=model.tflite", *steps], what)


def model_dir(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """A model directory with a damaged config.json, .keras file, log or checkpoint."""
    model = directory / "model"
    shutil.copytree(inputs / "model", model)
    if rng.random() < 0.4:
        name = rng.choice(["config.json", "checkpoints/step_00000004.weights.h5", "train_log.csv"])
        options = ["--data=inputs/sounds", "--model_dir=model", "--steps=6", *QUICK]
        return Case("a2v_train", options, _damage(rng, model / name))
    what = _damage(rng, model / rng.choice(["config.json", "encoder.keras", "encoder.keras"]))
    sound = "inputs/sounds/low/0.wav"
    return rng.choice(
        [
            Case("a2v_embed", ["--model=model", f"--audio={sound}", "--output=out.npz"], what),
            Case("a2v_summary", ["--model_dir=model"], what),
            Case("export_tflite", ["--model_dir=model", "--output=out.tflite"], what),
        ]
    )


def results(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """A damaged results JSON, summary or .npz of embeddings in a report."""
    names = ["results.json", "summary.json", "sounds.npz", "model/train_log.csv"]
    name = rng.choice(names)
    given = {other: f"inputs/{other}" for other in names[:3]}
    if name == "model/train_log.csv":
        shutil.copytree(inputs / "model", directory / "model")
        what = _damage(rng, directory / name)
        return Case("a2v_report", ["model", "--output=out.html"], what)
    shutil.copy(inputs / name, directory / name)
    given[name] = name
    what = _damage(rng, directory / name)
    return Case("a2v_report", [*given.values(), "--output=out.html"], what)


def tables(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """A table of levels or of labels with the faults of real tables."""
    if rng.random() < 0.5:
        shutil.copytree(inputs / "levels", directory / "levels")
        what = _spoil(rng, directory / "levels" / "a.csv")
        options = ["--data=spectrogram:levels", "--model_dir=out", "--steps=2", *QUICK]
        return Case("a2v_train", [*options, "--max_bad_fraction=0.5"], what)
    (directory / "sounds").symlink_to(inputs / "sounds")
    shutil.copy(inputs / "labels.csv", directory / "labels.csv")
    what = _spoil(rng, directory / "labels.csv")
    options = ["--model_dir=inputs/model", "--downstream=csv:labels.csv", "--output=out.json"]
    options.append("--cache_dir=cache")
    return Case("a2v_evaluate", options, what)


def audio(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """A folder of ten damaged recordings, each of which is embedded or named."""
    folder = directory / "sounds"
    folder.mkdir()
    sources = sorted(path for path in (inputs / "sounds").rglob("*") if path.is_file())
    names, kinds = [], []
    for i in range(10):
        source = rng.choice(sources)
        what, content = damaged(rng, source.read_bytes())
        path = folder / f"{i}{source.suffix}"
        path.write_bytes(content)
        names.append(path.name)
        kinds.append(what)
    options = ["--model=pretrained", "--audio=sounds", "--output=out.csv", "--max_bad_fraction=1"]
    return Case("a2v_embed", options, ",".join(kinds), names)


def flags(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """Options drawn from a command's flags."""
    command, options = drawn_options(rng)
    return Case(command, options, "flags")


def kills(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """A kill at some moment of a command, which then ends as without it, bit for bit."""
    name = rng.choice(list(inputs_module.TAKES_S))
    command, options = inputs_module.WHOLE_RUNS[name]
    seconds = inputs_module.TAKES_S[name] * rng.random()
    what = f"{name} after {seconds:.2f} s"
    return Case(command, options, what, kill_after_s=seconds, result=name)


def full_disk(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """Outputs that can grow to some size only; what was there before is whole or replaced."""
    limit = 2 ** rng.randrange(14, 22)  # below, what the command says would not fit either
    command, options, old = rng.choice(
        [
            ("a2v_embed", ["--model=pretrained", "--audio=inputs/sounds"], "old.npz"),
            ("a2v_embed", ["--model=pretrained", "--audio=inputs/sounds"], "old.csv"),
            ("a2v_embed", ["--model=pretrained", "--audio=inputs/sounds"], "old.parquet"),
            ("export_tflite", ["--model_dir=inputs/model"], "old.tflite"),
            ("a2v_report", ["inputs/results.json", "inputs/sounds.npz"], "old.html"),
        ]
    )
    (directory / old).write_text("old")
    options = [*options, f"--output={old}"]
    if rng.random() < 0.3:
        shutil.copytree(inputs / "model", directory / "model")
        command, old = "a2v_train", "model/encoder.keras"
        options = ["--data=inputs/sounds", "--model_dir=model", "--steps=6", *QUICK]
    return Case(command, options, f"{limit} bytes", file_limit=limit, old=[old])


KINDS: dict[str, Callable[[random.Random, pathlib.Path, pathlib.Path], Case]] = {
    make.__name__: make
    for make in (tflite, model_dir, results, tables, audio, flags, kills, full_disk)
}
LIGHT = ("tflite", "audio")  # kinds that need no TensorFlow


def _damage(rng: random.Random, path: pathlib.Path) -> str:
    if path.suffix == ".json" and rng.random() < 0.5:
        return _change_json(rng, path)
    what, content = damaged(rng, path.read_bytes())
    path.write_bytes(content)
    return f"{path.name}: {what}"


_JSON_VALUES = (
    "null",
    "-1",
    "1e999",
    "[]",
    "{}",
    '"x"',
    "NaN",
    "true",
    '"<script>"',
    "1e30",
    "[[[[]]]]",
)


def _change_json(rng: random.Random, path: pathlib.Path) -> str:
    """Replace a value, as another version or a hand that edits would."""
    lines = path.read_text().splitlines()
    place = rng.randrange(len(lines))
    key, colon, value = lines[place].partition(": ")
    comma = "," if value.endswith(",") else ""
    if colon and value.rstrip(",") not in ("{", "["):
        lines[place] = f"{key}: {rng.choice(_JSON_VALUES)}{comma}"
    else:
        del lines[place]
    path.write_text("\n".join(lines))
    return f"{path.name}: another value"


def _spoil(rng: random.Random, path: pathlib.Path) -> str:
    """Spoil a CSV file in one of the ways of real tables."""
    text = path.read_text()
    lines = text.splitlines()
    row = rng.randrange(len(lines))
    cells = lines[row].split(",")
    cell = rng.randrange(len(cells))
    value = rng.choice(
        ["", "nan", "inf", "-1e300", "x", '"', "\0", "=1+1", "<script>", "../../etc"]
    )
    changes = {
        "other cell": lambda: _with(
            lines, row, ",".join([*cells[:cell], value, *cells[cell + 1 :]])
        ),
        "row twice": lambda: [*lines, lines[row]],
        "column missing": lambda: [",".join(line.split(",")[1:]) for line in lines],
        "short row": lambda: _with(lines, row, ",".join(cells[:cell])),
        "unordered": lambda: [lines[0], *rng.sample(lines[1:], len(lines) - 1)],
        "header alone": lambda: lines[:1],
        "no header": lambda: lines[1:],
        "empty lines": lambda: [part for line in lines for part in (line, "")],
    }
    what = rng.choice(
        [*changes, "byte order mark", "mixed line ends", "latin-1", "semicolons", "bytes"]
    )
    if what in changes:
        text = "\n".join(changes[what]()) + "\n"
    elif what == "byte order mark":
        text = "\ufeff" + text
    elif what == "mixed line ends":
        text = "".join(line + rng.choice(["\n", "\r\n", "\r"]) for line in lines)
    elif what == "semicolons":
        text = text.replace(",", ";")
    content = text.encode()
    if what == "latin-1":
        content = text.replace("0", "\xe9").encode("latin-1")
    elif what == "bytes":
        what, content = damaged(rng, content)
    path.write_bytes(content)
    return f"{path.name}: {what}"


def _with(lines: Sequence[str], row: int, line: str) -> list[str]:
    return [*lines[:row], line, *lines[row + 1 :]]
