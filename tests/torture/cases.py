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
      stdin: a file of the directory that it reads on standard input.
      must_work: whether a refusal, too, is a failure, as nothing is unusual.
      kill_after_s: seconds after which it is killed, to be run again.
      result: with `kill_after_s`, the output that is then as without a kill.
      file_limit: bytes that a file can grow to.
      old: files that exist before; the command replaces them completely, or not at all.
    """

    command: str
    options: Sequence[str]
    what: str
    files: Sequence[str] = ()
    stdin: str = ""
    must_work: bool = False
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
    steps = ["--steps=2", "--rounds=1"]
    return Case("a2v_benchmark", ["--model=model.tflite", *steps], what)


def model_dir(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """A model directory with a file that is damaged, of another model or of another version."""
    model = directory / "model"
    shutil.copytree(inputs / "model", model)
    if rng.random() < 0.25:
        name = rng.choice(["config.json", "checkpoints/step_00000004.weights.h5", "train_log.csv"])
        options = ["--data=inputs/sounds", "--model_dir=model", "--steps=6", *QUICK]
        return Case("a2v_train", options, _change(rng, inputs, model / name))
    what = _change(rng, inputs, model / rng.choice(["config.json", "encoder.keras"]))
    sound = "inputs/sounds/low/0.wav"
    if rng.random() < 0.2:
        what = _change(rng, inputs, model / rng.choice(["config.json", "model.keras"]))
        options = ["--model_dir=model", f"--audio={sound}", "--at=1", "--output=out"]
        return Case("a2v_reconstruct", options, what)
    table = ["--downstream=csv:inputs/labels.csv", "--output=out.json", "--cache_dir=cache"]
    return rng.choice(
        [
            Case("a2v_embed", ["--model=model", f"--audio={sound}", "--output=out.npz"], what),
            Case("a2v_evaluate", ["--model_dir=model", *_FAST, *table], what),
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
    """A table of levels or labels with the faults of real tables, or a damaged TFDS data set."""
    chance = rng.random()
    if chance < 0.4:
        (directory / "sounds").symlink_to(inputs / "sounds")
        shutil.copy(inputs / "labels.csv", directory / "labels.csv")
        what = _spoil(rng, directory / "labels.csv")
        options = ["--model_dir=inputs/model", "--downstream=csv:labels.csv", "--output=out.json"]
        return Case("a2v_evaluate", [*options, *_FAST, "--cache_dir=cache"], what)
    if chance < 0.55:
        shutil.copytree(inputs / "tfds", directory / "tfds")
        files = sorted(path for path in (directory / "tfds").rglob("*") if path.is_file())
        what = _damage(rng, rng.choice(files))
        if rng.random() < 0.2:
            options = ["--data=tfds:clips", "--model_dir=out", "--steps=2", *QUICK]
            return Case("a2v_train", options, what)
        options = ["--model_dir=inputs/model", "--downstream=tfds:clips", "--output=out.json"]
        return Case("a2v_evaluate", [*options, *_FAST, "--cache_dir=cache"], what)
    shutil.copytree(inputs / "levels", directory / "levels")
    bad = "--max_bad_fraction=0.5"
    model = "--model_dir=inputs/levels_model"
    if chance < 0.75:
        shutil.copy(inputs / "stretches.csv", directory / "stretches.csv")
        what = _spoil(rng, directory / "stretches.csv")
        options = ["--downstream=spectrogram:levels", "--labels=stretches.csv", "--output=out.json"]
        return Case("a2v_evaluate", [model, *options, *_FAST, bad], what)
    what = _spoil(rng, directory / "levels" / "train" / "a.csv")
    if chance < 0.8:
        options = ["--data=spectrogram:levels", "--model_dir=out", "--steps=2", *QUICK]
        return Case("a2v_train", [*options, bad], what)
    options = ["--model=inputs/levels_model", "--audio=spectrogram:levels", "--output=out.npz"]
    return Case("a2v_embed", [*options, bad], what)


def audio(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """A folder of ten damaged recordings, each of which is embedded or named."""
    names, kinds = _recordings(rng, inputs, directory / "sounds")
    options = ["--model=pretrained", "--audio=sounds", "--output=out.csv", "--max_bad_fraction=1"]
    return Case("a2v_embed", options, ",".join(kinds), names)


def corpora(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """Damaged recordings in a stream, training, evaluation or calibration."""
    names, kinds = _recordings(rng, inputs, directory / "sounds")
    what, bad = ",".join(kinds), "--max_bad_fraction=1"
    chance = rng.random()
    if chance < 0.3:
        return Case("a2v_stream", ["--model=pretrained", f"--audio=sounds/{names[0]}"], kinds[0])
    if chance < 0.5:
        options = ["--model=pretrained", "--audio=-"]
        return Case("a2v_stream", options, kinds[0], stdin=f"sounds/{names[0]}")
    if chance < 0.7:
        splits = ["train"] * 6 + ["test"] * 4
        rows = [f"sounds/{name},{i % 2},{splits[i]}" for i, name in enumerate(names)]
        (directory / "labels.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
        options = ["--model_dir=inputs/model", "--downstream=csv:labels.csv", "--output=out.json"]
        return Case("a2v_evaluate", [*options, *_FAST, bad, "--cache_dir=cache"], what)
    if chance < 0.85:
        options = ["--data=sounds", "--model_dir=out", "--steps=2", *QUICK, bad]
        return Case("a2v_train", options, what)
    options = ["--model_dir=inputs/model", "--output=out.tflite", "--quantize"]
    few = ["--calibration_data=sounds", "--calibration_slices=8"]
    return Case("export_tflite", [*options, *few], what)


def flags(rng: random.Random, inputs: pathlib.Path, directory: pathlib.Path) -> Case:
    """Options drawn from a command's flags."""
    command, options, drawn = drawn_options(rng)
    return Case(command, options, "flags", must_work=not drawn)


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
    for make in (tflite, model_dir, results, tables, audio, corpora, flags, kills, full_disk)
}
LIGHT = ("tflite", "audio")  # kinds that need no TensorFlow

# Evaluation that takes the least time.
_FAST = ("--baselines=", "--protocols=knn")


def _recordings(
    rng: random.Random, inputs: pathlib.Path, folder: pathlib.Path
) -> tuple[list[str], list[str]]:
    """Write ten damaged recordings, of all formats; their names, and what is wrong with each."""
    folder.mkdir()
    formats, sounds = sorted((inputs / "formats").iterdir()), inputs / "sounds"
    sources = formats + 5 * sorted(path for path in sounds.rglob("*") if path.is_file())
    names, kinds = [], []
    for i in range(10):
        source = rng.choice(sources)
        what, content = damaged(rng, source.read_bytes())
        path = folder / f"{i}{source.suffix}"
        path.write_bytes(content)
        names.append(path.name)
        kinds.append(f"{source.name}: {what}")
    return names, kinds


def _change(rng: random.Random, inputs: pathlib.Path, path: pathlib.Path) -> str:
    """Damage a file of a model directory, or replace it by that of another model."""
    if path.name in ("config.json", "encoder.keras", "model.keras") and rng.random() < 0.15:
        other = rng.choice(["config.json", "encoder.keras", "model.keras"])
        shutil.copy(inputs / "levels_model" / other, path)
        return f"{path.name}: {other} of another model"
    return _damage(rng, path)


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
    '"99.0.0"',
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
