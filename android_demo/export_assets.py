"""Write the assets of the Android app: the model and its JSON file.

export_tflite --model_dir=models/mine --quantize --hop_ms=80 --output=mine.tflite \\
  --summary=mine.json
python android_demo/export_assets.py --model=mine.tflite --summary=mine.json --output=assets

`assets/model.tflite` is a copy of the file. `assets/model.json` contains the summary of the export
and the map's plane, in which the embeddings of some sounds vary most:
`{"projection": {"matrix": [[d numbers], [d numbers]], "mean": [d numbers]}, "summary": {...}}`.
--parts adds files of `export_tflite --part`, named by their parts, such as `assets/gap.tflite`.
With --check, some of the sounds and Python's embeddings of them are written to another folder, for
the JVM test of the app's inference, `-DexportedModel=FOLDER`. These embeddings come from
TensorFlow's interpreter of the same version as the app's runtime, because other versions round the
float front end differently in the last bits, which occasionally changes an int8 value.
"""

import json
import pathlib
import shutil

import numpy as np
import tensorflow as tf
from absl import flags

from a2v_tf.audio.read import read_audio
from a2v_tf.commands.embed import audio_files
from a2v_tf.errors import A2vError, run_app
from a2v_tf.frontend import pcm_to_float
from a2v_tf.runtime import metadata
from a2v_tf.runtime.clips import embed_files, tflite_clips
from a2v_tf.runtime.embedder import Embedder

FLAGS = flags.FLAGS

VERSIONS = pathlib.Path(__file__).with_name("versions.properties")
PARTS = ("classifier", "gap", "reconstruct")  # as in PartLibrary.java
CHECKED_SAMPLES = 60 * 16_000


def define_flags() -> None:
    """Define the command's flags; not on import, so that a test can import this file."""
    flags.DEFINE_string("model", None, "Streaming .tflite file that takes PCM.", required=True)
    flags.DEFINE_string("summary", None, "The JSON of its export.", required=True)
    flags.DEFINE_list(
        "parts",
        [],
        "Files of other parts, one for each of classifier, gap and "
        "reconstruct, that the app's page Explore uses; default: none.",
    )
    flags.DEFINE_string("output", None, "Folder to write.", required=True)
    flags.DEFINE_string("audio", "demo", "Sounds for the map: a file, a directory, or 'demo'.")
    flags.DEFINE_string("check", None, "Folder for what the JVM test compares; default: none.")


def main(_: list[str]) -> None:
    embedder = Embedder(FLAGS.model)
    if not embedder.streaming or embedder.input != "pcm":
        raise A2vError(f"--model={FLAGS.model!r}: the app needs a streaming file that takes PCM")
    parts = named_parts(FLAGS.parts)
    files = audio_files(FLAGS.audio)
    embeddings = embed(files)
    content = {
        "projection": projection(embeddings),
        "summary": summary(pathlib.Path(FLAGS.summary)),
    }
    output = pathlib.Path(FLAGS.output)
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(FLAGS.model, output / "model.tflite")
    (output / "model.json").write_text(json.dumps(content))
    for part in PARTS:
        (output / f"{part}.tflite").unlink(missing_ok=True)
    for part, path in parts.items():
        shutil.copyfile(path, output / f"{part}.tflite")
    if FLAGS.check:
        write_check(files, pathlib.Path(FLAGS.check))
    names = ", ".join(["the model", *parts])
    print(f"Wrote {output}: {names}, and a map from {len(embeddings)} embeddings")


def named_parts(paths: list[str]) -> dict[str, str]:
    """The files by their parts.

    Raises:
      A2vError: one is of another part, or two are of the same.
    """
    parts: dict[str, str] = {}
    for path in paths:
        facts = metadata.read(path)["facts"]
        part = facts.get("part", "encoder")
        if part not in PARTS or facts["input"] != "pcm":
            raise A2vError(
                f"--parts={path}: is of part {part} and takes {facts['input']}: expected one of "
                f"{', '.join(PARTS)} that takes pcm"
            )
        if part in parts:
            raise A2vError(f"--parts: {parts[part]} and {path} are both of part {part}")
        parts[part] = path
    return parts


def embed(files: list[pathlib.Path]) -> np.ndarray:
    """The embeddings of audio files, float32 `[n, d]`."""
    return embed_files(files, tflite_clips(FLAGS.model), max_bad_fraction=0.1).embeddings


def projection(embeddings: np.ndarray) -> dict[str, list]:
    """The plane of largest variance, in units of the deviation along its first axis."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    _, deviations, axes = np.linalg.svd(embeddings - mean, full_matrices=False)
    plane = axes[:2] * np.sign(axes[:2].sum(axis=1, keepdims=True))  # else of either sign
    scale = deviations[0] / np.sqrt(len(embeddings))
    return {"matrix": (plane / scale).round(6).tolist(), "mean": mean.round(6).tolist()}


def write_check(files: list[pathlib.Path], folder: pathlib.Path) -> None:
    """A minute of the sounds as one stream, int16, and Python's embeddings of it, float32.

    Raises:
      A2vError: this is not the TensorFlow whose TFLite the app has.
    """
    if tf.__version__ != runtime_version():
        raise A2vError(f"--check needs TensorFlow {runtime_version()}: this is {tf.__version__}")
    clips = [read_audio(path) for path in files[:: max(1, len(files) // 60)]]
    wave = np.concatenate(clips)[:CHECKED_SAMPLES]
    pcm = np.clip(np.round(32_768 * wave), -32_768, 32_767).astype(np.int16)
    embeddings = embed_in_tensorflow(pcm_to_float(pcm).numpy())
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(FLAGS.model, folder / "model.tflite")
    (folder / "pcm.s16").write_bytes(pcm.astype("<i2").tobytes())
    (folder / "embeddings.f32").write_bytes(embeddings.astype("<f4").tobytes())


def runtime_version() -> str:
    """The version of TensorFlow of the app's runtime."""
    lines = VERSIONS.read_text().splitlines()
    (version,) = (line for line in lines if line.startswith("tensorflowLite="))
    return version.split("=")[1].split("-")[0]


def embed_in_tensorflow(pcm: np.ndarray) -> np.ndarray:
    """Embeddings of a stream by TensorFlow's interpreter, float32 `[hops, d]`.

    Raises:
      A2vError: the file's state is outside.
    """
    interpreter = tf.lite.Interpreter(FLAGS.model, num_threads=1)
    if "reset" not in interpreter.get_signature_list():
        raise A2vError(f"--model={FLAGS.model!r}: --check needs a file with its state inside")
    interpreter.get_signature_runner("reset")(trigger=np.zeros(1, np.float32))
    run_embed = interpreter.get_signature_runner("embed")
    hop = run_embed.get_input_details()["pcm"]["shape"][1]
    starts = range(0, len(pcm) - hop + 1, hop)
    return np.stack([run_embed(pcm=pcm[None, i : i + hop])["embedding"][0] for i in starts])


def summary(path: pathlib.Path) -> dict:
    """The summary of the export, without the output path."""
    said = json.loads(path.read_text())
    said.pop("output", None)
    return said


if __name__ == "__main__":
    run_app(main, define_flags)
