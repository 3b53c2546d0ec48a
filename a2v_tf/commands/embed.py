"""Turn audio into embeddings: the `a2v_embed` command.

  a2v_embed --model=models/mine --audio=song.flac --output=song.npz
  a2v_embed --model=models/mine --audio=recordings/ --hop_ms=100 --output=embeddings.parquet
  a2v_embed --model=encoder.tflite --audio=recordings/ --output=embeddings.csv

A directory as --model uses its Keras encoder; a .tflite file runs in the TFLite interpreter, as on
a phone. Every row says which stretch of which file it describes.
"""

import pathlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import tqdm
from absl import flags, logging

from a2v_tf.audio.find import find_audio
from a2v_tf.audio.read import read_audio, windows
from a2v_tf.data import demo
from a2v_tf.errors import A2vError, run_app
from a2v_tf.files import whole_file
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.training.model_dir import load_encoder, load_stream_encoder

FLAGS = flags.FLAGS


DEFAULT_HOP_MS = 320.0
_BATCH = 256
WRITERS = {".npz", ".csv", ".parquet"}

# From the PCM of a clip to the samples where each embedding's stretch starts and ends, and the
# embeddings `[n, d]`.
EmbedClip = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "model",
        None,
        "Model directory of a2v_train, a .tflite file, or 'pretrained', a directory that comes "
        "with this package.",
        required=True,
    )
    flags.DEFINE_string(
        "audio",
        None,
        "Audio file, a directory searched recursively, or 'demo' for the labelled demo clips.",
        required=True,
    )
    flags.DEFINE_string("output", None, "File to write: .npz, .csv or .parquet.", required=True)
    flags.DEFINE_float(
        "hop_ms",
        None,
        "Milliseconds between embeddings. Default 320; a streaming file has its own hop.",
        lower_bound=0.0,
    )
    flags.DEFINE_bool(
        "stream",
        False,
        "With a model directory: compute what a streaming file computes, each embedding in the "
        "light of all that came before, instead of windows on their own.",
    )
    flags.DEFINE_float(
        "max_bad_fraction",
        0.1,
        "Fraction of the files of a directory that may be unreadable.",
        lower_bound=0.0,
        upper_bound=1.0,
    )


def main(argv: list[str]) -> None:
    del argv
    output = pathlib.Path(FLAGS.output)
    if output.suffix not in WRITERS:
        raise A2vError(f"--output={FLAGS.output!r}: expected a .npz, .csv or .parquet file")
    if not output.absolute().parent.is_dir():
        raise A2vError(f"--output={FLAGS.output!r}: no directory {str(output.parent)!r}")
    audio = demo.ensure() / "labelled" if FLAGS.audio == "demo" else pathlib.Path(FLAGS.audio)
    files = audio_files(audio)
    embed_clip = open_model(FLAGS.model, FLAGS.hop_ms, FLAGS.stream)
    table = embed_files(files, embed_clip, FLAGS.max_bad_fraction)
    write_table(table, output)
    print(f"{output}: {len(table)} embeddings of {table['path'].nunique()} files")


def audio_files(audio: pathlib.Path) -> list[pathlib.Path]:
    """The audio files that --audio names, sorted.

    Raises:
      A2vError: there are none.
    """
    return [audio] if audio.is_file() else find_audio(audio, "--audio")


def open_model(model: str, hop_ms: float | None, stream: bool = False) -> EmbedClip:
    """Open a model directory or a TFLite file.

    Args:
      model: path.
      hop_ms: milliseconds between embeddings; None for the model's own, or 320.
      stream: with a model directory, embed as a streaming file does.

    Raises:
      A2vError: no such model, or one that cannot have this hop.
    """
    if not model.endswith(".tflite"):
        return _keras_stream(model, hop_ms) if stream else _keras_windows(model, hop_ms)
    if stream:
        raise A2vError("--stream goes with a model directory, not a .tflite file")
    embedder = Embedder(model)
    if embedder.input == "log_mel" and embedder.input_shape[1] != FRONT_END.bins:
        raise A2vError(f"{model!r} takes spectrograms of {embedder.input_shape[1]} bands, no audio")
    if embedder.streaming:
        _check_hop(hop_ms, embedder.hop, model)
        return lambda pcm: _stream_clip(embedder, pcm)

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.stack([embedder.embed_window(window) for window in batch])

    return lambda pcm: _window_clip(embed, pcm, _hop_samples(hop_ms), embedder.window)


def _keras_windows(model_dir: str, hop_ms: float | None) -> EmbedClip:
    encoder = load_encoder(model_dir)
    window = FRONT_END.samples(encoder.input_shape[1])

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.asarray(encoder(log_mel(batch), training=False))

    return lambda pcm: _window_clip(embed, pcm, _hop_samples(hop_ms), window)


def _keras_stream(model_dir: str, hop_ms: float | None) -> EmbedClip:
    encoder, step_frames, frames = load_stream_encoder(model_dir)
    hop = step_frames * FRONT_END.hop_length
    _check_hop(hop_ms, hop, model_dir)
    before = FRONT_END.overlap
    # What came more than two windows ago changes nothing: so a long clip goes in blocks.
    history = 2 * frames // step_frames

    def embed_block(heard: np.ndarray, first: int, last: int) -> np.ndarray:
        start = max(0, first - history)
        pcm = heard[np.newaxis, start * hop : before + last * hop]
        return np.asarray(encoder(log_mel(pcm), training=False))[0, first - start :]

    def embed_clip(pcm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        steps = max(1, len(pcm) // hop)
        heard = np.zeros(before + steps * hop, np.float32)
        heard[before : before + len(pcm)] = pcm[: steps * hop]
        blocks = [
            embed_block(heard, first, min(first + _BATCH, steps))
            for first in range(0, steps, _BATCH)
        ]
        return *_stream_times(steps, hop, FRONT_END.samples(frames)), np.concatenate(blocks)

    return embed_clip


def _window_clip(
    embed: Callable[[np.ndarray], np.ndarray], pcm: np.ndarray, hop: int, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cut = windows(pcm, hop, window)
    batches = [embed(cut[i : i + _BATCH]) for i in range(0, len(cut), _BATCH)]
    starts = hop * np.arange(len(cut))
    return starts, starts + window, np.concatenate(batches)


def _stream_clip(embedder: Embedder, pcm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embed a clip as a stream that begins with it; one shorter than a hop is padded to one."""
    embedder.reset()
    embeddings = embedder.stream(np.pad(pcm, (0, max(0, embedder.hop - len(pcm)))))
    return *_stream_times(len(embeddings), embedder.hop, embedder.span), np.stack(embeddings)


def _stream_times(steps: int, hop: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    ends = hop * np.arange(1, steps + 1)
    return np.maximum(0, ends - window), ends


def _hop_samples(hop_ms: float | None) -> int:
    hop = round((hop_ms or DEFAULT_HOP_MS) * FRONT_END.sample_rate / 1000)
    if hop < 1:
        raise A2vError(f"--hop_ms={hop_ms}: expected at least one sample, 0.0625 ms")
    return hop


def _check_hop(hop_ms: float | None, hop: int, model: str) -> None:
    own = 1000 * hop / FRONT_END.sample_rate
    if hop_ms is not None and hop_ms != own:
        raise A2vError(f"--hop_ms={hop_ms:g}: the stream of {model!r} has a hop of {own:g} ms")


def embed_files(
    files: list[pathlib.Path], embed_clip: EmbedClip, max_bad_fraction: float
) -> pd.DataFrame:
    """Embed files; one that cannot be read is logged, counted and left out.

    Returns:
      A row an embedding: path, start_s, end_s, e0, e1, ...

    Raises:
      A2vError: more than `max_bad_fraction` of the files are bad; a single file is.
    """
    tables, bad = [], []
    for path in tqdm.tqdm(files, unit="file", disable=len(files) < 2):
        try:
            pcm = read_audio(path)
        except A2vError as error:
            bad.append(str(error))
            logging.warning("skipped %s", error)
            continue
        tables.append(_table(path, *embed_clip(pcm)))
    if len(bad) > max_bad_fraction * len(files):
        raise A2vError(f"{len(bad)} of {len(files)} files cannot be used; the first: {bad[0]}")
    return pd.concat(tables, ignore_index=True)


def _table(
    path: pathlib.Path, starts: np.ndarray, ends: np.ndarray, embeddings: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame(embeddings, columns=[f"e{i}" for i in range(embeddings.shape[1])])
    table.insert(0, "end_s", ends / FRONT_END.sample_rate)
    table.insert(0, "start_s", starts / FRONT_END.sample_rate)
    table.insert(0, "path", str(path))
    return table


def write_table(table: pd.DataFrame, output: pathlib.Path) -> None:
    """Write the rows of `embed_files`.

    An .npz holds `path`, `start_s` and `end_s` `[n]`, and `embeddings` float32 `[n, d]`.

    Raises:
      A2vError: the file cannot be written.
    """
    try:
        with whole_file(output) as partial:
            if output.suffix == ".csv":
                table.to_csv(partial, index=False)
            elif output.suffix == ".parquet":
                table.to_parquet(partial, index=False)
            else:
                np.savez_compressed(partial, **arrays(table))
    except OSError as error:
        raise A2vError(f"cannot write {str(output)!r}: {error.strerror}") from error


def arrays(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The arrays of an .npz file."""
    keys = {name: table[name].to_numpy() for name in ("start_s", "end_s")}
    embeddings = table.drop(columns=["path", "start_s", "end_s"]).to_numpy(np.float32)
    return {"path": table["path"].to_numpy(str), **keys, "embeddings": embeddings}


def run() -> None:
    """Entry point of `a2v_embed`."""
    define_flags()
    run_app(main)


if __name__ == "__main__":
    run()
