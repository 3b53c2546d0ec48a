"""Embed sound while it comes, as a phone would: the `a2v_stream` command.

  a2v_stream --model=mine.tflite                                 # the microphone, until Ctrl-C
  a2v_stream --model=mine.tflite --audio=day.flac --plot=day.png --examples=sounds/
  arecord -t raw -f S16_LE -r 16000 | a2v_stream --model=mine.tflite --audio=- --format=jsonl

The model is a streaming file of export_tflite. Each line is one embedding: where its window ends,
in seconds of sound heard; its Euclidean distance from the one 320 ms before; with --examples, the
label that most of the ten nearest examples have, and the distance of the nearest of these; and a
strip with a character for each dimension, from ' ' (far below the dimension's mean so far) to '@'
(far above). --format=jsonl gives the numbers. A summary follows on the error output. Ctrl-C ends
the stream.
"""

import collections
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from absl import flags

from a2v_tf.audio.live import Microphone, file_blocks, raw_blocks
from a2v_tf.errors import A2vError, require, run_app
from a2v_tf.frontend import FRONT_END
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.runtime.nearest import Examples, Nearest, embed_examples
from a2v_tf.runtime.stream_picture import StreamPicture

FLAGS = flags.FLAGS

_SHADES = " .:-=+*#%@"
_RATE = FRONT_END.sample_rate
# Whatever the hop, changes are over 320 ms (or one hop, if that is longer), so that they compare.
_CHANGE_SAMPLES = 5_120


@dataclasses.dataclass(frozen=True)
class Heard:
    """One embedding of a stream.

    Attributes:
      start_s: where its window starts, seconds of sound heard; 0 while the first is filling up.
      end_s: where it ends.
      change: Euclidean distance from the embedding 320 ms before; None where there is none yet.
      embedding: float32 `[d]`.
      nearest: of the labelled examples, if there are any.
    """

    start_s: float
    end_s: float
    change: float | None
    embedding: np.ndarray
    nearest: Nearest | None


class Listener:
    """Embeds a stream, block by block.

    Attributes:
      samples: heard so far.
      steps: embeddings so far.
      seconds: of computing so far.
    """

    def __init__(self, embedder: Embedder, examples: Examples | None = None) -> None:
        """Start a new stream.

        Args:
          embedder: a streaming model; is reset.
          examples: to compare each embedding with.
        """
        embedder.reset()
        self._embedder, self._examples = embedder, examples
        steps = max(1, _CHANGE_SAMPLES // embedder.stream_hop)
        self._before: collections.deque[np.ndarray] = collections.deque(maxlen=steps)
        self.samples, self.steps, self.seconds = 0, 0, 0.0

    def hear(self, pcm: np.ndarray) -> Iterator[Heard]:
        """Take the next samples, float32 `[any number]`; give what they complete."""
        start = time.perf_counter()
        embeddings = self._embedder.stream(pcm)
        self.seconds += time.perf_counter() - start
        self.samples += len(pcm)
        for embedding in embeddings:
            self.steps += 1
            end = self.steps * self._embedder.stream_hop
            full = len(self._before) == self._before.maxlen
            yield Heard(
                max(0, end - self._embedder.span) / _RATE,
                end / _RATE,
                _distance(self._before[0], embedding) if full else None,
                embedding,
                self._examples.nearest(embedding) if self._examples else None,
            )
            self._before.append(embedding)


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "model",
        None,
        "Streaming .tflite file of export_tflite, any hop and state; or 'pretrained', an encoder "
        "that comes with this package, every 80 ms.",
        required=True,
    )
    flags.DEFINE_string(
        "audio",
        None,
        "Audio file, or '-' for raw 16-bit little-endian samples, mono, 16 kHz, on standard input. "
        "Default: the microphone.",
    )
    flags.DEFINE_string(
        "examples", None, "Directory of labelled sounds, DIR/LABEL/*.wav, to compare with."
    )
    flags.DEFINE_enum(
        "format", "text", ["text", "jsonl"], "text: a line to look at; jsonl: a JSON object a line."
    )
    flags.DEFINE_string("plot", None, "PNG to draw when the stream ends: embeddings and changes.")
    flags.register_validator(
        "plot", lambda path: path is None or path.endswith(".png"), "expected a name in .png"
    )


def main(argv: list[str]) -> None:
    del argv
    plot = _checked_plot(FLAGS.plot)
    embedder = open_stream(FLAGS.model)
    examples = embed_examples(FLAGS.examples, embedder) if FLAGS.examples else None
    listener = Listener(embedder, examples)
    picture = StreamPicture() if plot else None
    show = json_line if FLAGS.format == "jsonl" else Lines(examples)
    with contextlib.ExitStack() as stack:
        microphone = stack.enter_context(Microphone()) if FLAGS.audio is None else None
        blocks = microphone or _blocks(FLAGS.audio)
        try:
            _follow(blocks, microphone, listener, show, picture)
        except KeyboardInterrupt:
            if microphone is None:  # cut off; the microphone has no other end
                raise
        except BrokenPipeError:  # whoever read the lines has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            if listener.samples or microphone:
                _summarise(listener, embedder, microphone)
            if plot and picture is not None and listener.steps:
                picture.save(plot)


def open_stream(path: str) -> Embedder:
    """Open a file that embeds a stream of sound.

    Raises:
      A2vError: no such file, or one that takes windows, or spectrograms of another front end.
    """
    embedder = Embedder(path)
    if not embedder.streaming:
        raise A2vError(
            f"--model={path!r} takes single windows: expected a file of export_tflite "
            "--mode=streaming"
        )
    front_end = embedder.facts.get("front_end", vars(FRONT_END))
    if embedder.input == "log_mel" and (
        embedder.input_shape[1] != FRONT_END.bins or front_end != vars(FRONT_END)
    ):
        raise A2vError(
            f"--model={path!r} takes spectrograms that are not made here, {front_end}: expected "
            "a file of export_tflite --input=pcm"
        )
    return embedder


def json_line(heard: Heard) -> str:
    """JSON with the fields of `Heard`; its numbers are the embedding's float32 without loss."""
    fields = dataclasses.asdict(heard)
    fields["embedding"] = [float(f"{value:.9g}") for value in heard.embedding.tolist()]
    return json.dumps(fields)


class Lines:
    """Lines for a terminal, as wide as that is."""

    def __init__(self, examples: Examples | None) -> None:
        self._label_width = max(map(len, examples.labels)) if examples else 0
        self._count = 0
        self._mean: np.ndarray | float = 0.0
        self._greatest = 1e-9  # distance from the mean so far

    def __call__(self, heard: Heard) -> str:
        line = f"{heard.end_s:9.2f} s  change {heard.change or 0:5.2f}  "
        if heard.nearest:
            near = heard.nearest
            votes = f"{near.votes}/{near.of}"
            line += f"{near.label:<{self._label_width}} {votes:>5} at {near.distance:5.2f}  "
        columns = max(8, shutil.get_terminal_size().columns - len(line) - 2)
        return f"{line}|{self._strip(heard.embedding, columns)}|"

    def _strip(self, embedding: np.ndarray, columns: int) -> str:
        """A character a dimension; where the line is too short, one for the mean of several."""
        self._count += 1
        self._mean += (embedding - self._mean) / self._count
        parts = np.array_split(embedding - self._mean, min(columns, len(embedding)))
        values = np.array([part.mean() for part in parts])
        self._greatest = max(self._greatest, float(np.abs(values).max()))
        shades = np.rint((values / self._greatest + 1) / 2 * (len(_SHADES) - 1)).astype(int)
        return "".join(_SHADES[shade] for shade in shades)


def _checked_plot(plot: str | None) -> pathlib.Path | None:
    """Say that the picture cannot be written before the stream, not after it."""
    if plot is None:
        return None
    path = pathlib.Path(plot)
    if not path.absolute().parent.is_dir():
        raise A2vError(f"--plot={plot!r}: no directory {str(path.parent)!r}")
    require("matplotlib", f"--plot={plot!r}")
    return path


def _blocks(audio: str) -> Iterator[np.ndarray]:
    if audio != "-":
        return file_blocks(audio)
    return raw_blocks(cast(io.BufferedReader, sys.stdin.buffer))  # typed as any binary file


def _follow(
    blocks: Iterator[np.ndarray] | Microphone,
    microphone: Microphone | None,
    listener: Listener,
    show: Callable[[Heard], str],
    picture: StreamPicture | None,
) -> None:
    """Print what is heard until the sound ends."""
    told, told_at = 0, -1
    for pcm in blocks:
        for heard in listener.hear(pcm):
            print(show(heard), flush=True)
            if picture is not None:
                label = heard.nearest.label if heard.nearest else None
                picture.add(heard.end_s, heard.embedding, heard.change or 0.0, label)
        second = listener.samples // _RATE
        if microphone is not None and microphone.overruns > told and second > told_at:
            told, told_at = microphone.overruns, second  # no more than one line a second
            _tell(f"overrun {told}: sound was lost about {second} s in")


def _summarise(listener: Listener, embedder: Embedder, microphone: Microphone | None) -> None:
    heard, hop = listener.samples / _RATE, 1000 * embedder.stream_hop / _RATE
    if not listener.steps:
        _tell(f"heard {heard:.2f} s, less than a hop of {hop:g} ms: no embedding")
    else:
        _tell(
            f"heard {heard:.2f} s: {listener.steps} embeddings of {embedder.embedding_dim} "
            f"numbers, one every {hop:g} ms; computing them took {listener.seconds:.2f} s, "
            f"{100 * listener.seconds / heard:.2g} % of that"
        )
    if microphone is not None:
        lost = "; the times count what was heard" if microphone.overruns else ""
        _tell(f"overruns: {microphone.overruns}{lost}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _distance(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.linalg.norm(after - before))


def run() -> None:
    """Entry point of `a2v_stream`."""
    define_flags()
    run_app(main)


if __name__ == "__main__":
    run()
