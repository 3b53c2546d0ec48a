"""Pack a trained encoder as `pretrained`, or another name, in `a2v_tf/pretrained/`.

  python recipes/debian_audio/pack.py --choice=work/choice.json --work=work
  python recipes/debian_audio/pack.py --choice=work/choice.json --work=work \\
      --name=pretrained_self_supervised
  python recipes/debian_audio/pack.py --model_dir=work/models/cbow --work=work --output=elsewhere

The folder then has `config.json` and `encoder.keras`, as a model directory without checkpoints;
`streaming.tflite` (int8, an embedding every 80 ms, internal state) and `window.tflite` (int8); the
quantised encoder that both are made from, so that `export_tflite --model_dir=pretrained --quantize`
makes every other form with the same weights and scales; and `golden.npz`, the embeddings of a
synthetic sound by all of them. `card.py` adds the model card and the checksums. An encoder with too
many weights for its name, or a teacher whose licence does not allow commercial use, is refused.
"""

import json
import pathlib
import shutil
import tempfile
import zipfile
from typing import Any

import numpy as np
from absl import flags
from shipped import check_licence, check_weights, foreign_teachers

from a2v_tf import pretrained
from a2v_tf.audio.read import SLICE_SAMPLES, windows
from a2v_tf.errors import A2vError, run_app
from a2v_tf.evaluation.heads import kernel_weights
from a2v_tf.export import build, convert
from a2v_tf.export.check import probe_signal
from a2v_tf.export.quantize import Quantization
from a2v_tf.files import write_json
from a2v_tf.frontend import FRONT_END, log_mel, pcm_to_float
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.teachers import find_teacher
from a2v_tf.training.model_dir import CONFIG, ENCODER, INITIAL_RUN, load_encoder, read_config

FLAGS = flags.FLAGS

DATA = "debian_audio"  # name of the data in config.json
HOP_MS = 80.0
LICENSE = "Apache-2.0"
_OF_THIS_MACHINE = ("model_dir", "validation_data", "probe", "cache")
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("model_dir", None, "Model directory of a2v_train.")
    flags.DEFINE_string("choice", None, "JSON written by choose.py, which names that directory.")
    flags.DEFINE_string("work", None, "Directory of cut.py, for calibration.", required=True)
    flags.DEFINE_string("name", pretrained.NAME, "Name of the encoder, pretrained...")
    flags.DEFINE_string("output", None, "Folder to fill. Default: that of --name in the package.")
    flags.mark_flags_as_mutual_exclusive(["model_dir", "choice"], required=True)


def main(_: list[str]) -> None:
    if not FLAGS.name.startswith(pretrained.NAME):
        raise A2vError(f"--name={FLAGS.name}: expected a name that begins with {pretrained.NAME}")
    model_dir = pathlib.Path(FLAGS.model_dir or _chosen(pathlib.Path(FLAGS.choice), FLAGS.name))
    output = pathlib.Path(FLAGS.output or pretrained.folder(FLAGS.name))
    calibration = pathlib.Path(FLAGS.work) / "corpus/unlabelled"
    check_weights(FLAGS.name, kernel_weights(load_encoder(model_dir)))
    for name in foreign_teachers(read_config(model_dir)):
        check_licence(name, find_teacher(name).licence)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stage = pathlib.Path(folder)
        pack(model_dir, str(calibration), stage, FLAGS.name)
        for path in sorted(stage.iterdir()):
            shutil.copyfile(path, output / path.name)
            print(f"{path.stat().st_size:>9,} bytes  {output / path.name}")


def _chosen(choice: pathlib.Path, name: str) -> str:
    try:
        content = json.loads(choice.read_text())
        directories, chosen = content["directories"], content["choices"]
    except (OSError, ValueError, KeyError) as error:
        raise A2vError(f"--choice={str(choice)!r}: expected the JSON of choose.py") from error
    if name not in chosen:
        raise A2vError(f"--name={name}: {choice} has no choice for it; expected {list(chosen)}")
    return directories[chosen[name]]


def pack(
    model_dir: pathlib.Path, calibration: str, stage: pathlib.Path, name: str = pretrained.NAME
) -> None:
    """Fill an empty folder.

    Args:
      model_dir: as `a2v_train` leaves it.
      calibration: audio that sets the int8 ranges, as in `a2v_train --data`.
      stage: the folder.
      name: of the encoder.
    """
    config = read_config(model_dir)
    teachers = foreign_teachers(config)
    write_json(stage / CONFIG, _packed(config) | ({"taught_by": teachers} if teachers else {}))
    _compress(model_dir / ENCODER, stage / ENCODER)

    # ---- One quantised encoder for all files, as in an export from this folder
    settings = {"data": DATA, "slices": build.CALIBRATION_SLICES, "seed": 0}
    how = Quantization(loudest=build.silent_and_loudest(FRONT_END))

    def draw() -> np.ndarray:
        count = build.CALIBRATION_SLICES
        return build.draw_slices(calibration, config["frames"], count, 0, config)

    convert.model_of(stage, draw, settings, how)
    described = {"name": f"a2v_tf {name}", "license": LICENSE}
    form = {"quantize": True, "described": described}
    build.export_file(stage, stage / pretrained.STREAMING, hop_ms=HOP_MS, **form)
    build.export_file(stage, stage / pretrained.WINDOW, mode="window", **form)
    np.savez_compressed(stage / pretrained.GOLDEN, **golden(stage))


def _packed(config: dict[str, Any]) -> dict[str, Any]:
    """A `config.json` without what only this machine knows."""
    packed = {k: v for k, v in config.items() if k not in _OF_THIS_MACHINE} | {"data": DATA}
    if config.get("teachers"):
        packed["teachers"] = [_without_folder(teacher) for teacher in config["teachers"]]
    if config.get(INITIAL_RUN):
        packed["initial_encoder"] = pathlib.PurePath(config["initial_encoder"]).name
        packed[INITIAL_RUN] = _packed(config[INITIAL_RUN])
    return packed


def _without_folder(teacher: str) -> str:
    """`model:/home/me/large` as `model:large`: a path says nothing to others."""
    kind, colon, path = teacher.partition(":")
    return f"{kind}{colon}{pathlib.PurePath(path).name}" if "/" in path else teacher


def golden(directory: pathlib.Path) -> dict[str, np.ndarray]:
    """The embeddings of two seconds of a synthetic sound by the files of a folder.

    Returns:
      `pcm` int16 `[samples]`; the embeddings `float` `[n, d]` and `window` `[n, d]` of its windows,
      half a slice apart, and `streaming` `[hops, d]`; int8 files run on the reference kernels.
    """
    pcm = np.round(32_767 * probe_signal(2 * SLICE_SAMPLES)).astype(np.int16)
    wave = pcm_to_float(pcm).numpy()
    cut = windows(wave, SLICE_SAMPLES // 2)
    encoder = load_encoder(directory)
    window = Embedder(directory / pretrained.WINDOW, "reference")
    stream = Embedder(directory / pretrained.STREAMING, "reference")
    return {
        "pcm": pcm,
        "float": np.asarray(encoder(log_mel(cut), training=False)),
        "window": np.stack([window.embed(x) for x in cut]),
        "streaming": np.stack(stream.stream(wave)),
    }


def _compress(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a .keras file, which is an uncompressed ZIP archive, with compression."""
    try:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for entry in old.infolist():
                content = old.read(entry)
                name = zipfile.ZipInfo(entry.filename, _NO_DATE)
                new.writestr(name, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    except (OSError, zipfile.BadZipFile) as error:
        raise A2vError(f"cannot read {source}: {error}") from error


if __name__ == "__main__":
    run_app(main, define_flags)
