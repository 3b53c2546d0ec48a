"""Embed audio as it arrives, as a phone would: the `a2v_stream` command.

  a2v_stream --model=pretrained --audio=song.flac
  a2v_stream --model=mine.tflite                                 # the microphone, until Ctrl-C
  a2v_stream --model=mine.tflite --audio=day.flac --plot=day.png --examples=sounds/
  arecord -t raw -f S16_LE -r 16000 | a2v_stream --model=mine.tflite --audio=- --format=jsonl

The model is a streaming file of export_tflite, or 'pretrained'. Each line is one embedding: the end
of its window, in seconds of audio; its Euclidean distance from the embedding 320 ms earlier; of a
classifier (export_tflite --part=classifier), the label with the greatest score, and its score; with
--examples, the most frequent label among the ten nearest examples, and the distance to the nearest
example with that label; and a strip with a character for each dimension, from ' ' (far below the
dimension's running mean) to '@' (far above). --format=jsonl prints the numbers. A summary follows
on standard error. Ctrl-C ends the stream.
"""

import collections
import contextlib
import dataclasses
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
from absl import flags

from a2v_tf.audio.live import Microphone, raw_blocks
from a2v_tf.audio.read import audio_blocks
from a2v_tf.commands.flag_types import define_channels
from a2v_tf.ending import no_hurry
from a2v_tf.errors import A2vError, require, run_app
from a2v_tf.files import checked_output
from a2v_tf.pretrained import in_words
from a2v_tf.runtime.classifier import PART as CLASSIFIER
from a2v_tf.runtime.classifier import Classified, Classifier
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.runtime.nearest import Examples, Nearest, embed_examples
from a2v_tf.runtime.stream_picture import StreamPicture

FLAGS = flags.FLAGS

_SHADES = " .:-=+*#%@"
# Changes are over 320 ms, or one hop if that is longer, so that they compare between hops.
_CHANGE_SECONDS = 0.32


@dataclasses.dataclass(frozen=True)
class StreamEmbedding:
    """One embedding of a stream.

    Attributes:
      start_s: start of its window, in seconds of audio; 0 while the first window fills up.
      end_s: end of its window.
      change: Euclidean distance from the embedding 320 ms earlier; None if there is none yet.
      embedding: float32 `[d]`.
      nearest: result of comparing it with the labelled examples, if there are any.
      classified: of a classifier, the label and the scores of the window.
    """

    start_s: float
    end_s: float
    change: float | None
    embedding: np.ndarray
    nearest: Nearest | None
    classified: Classified | None = None


class StreamEmbedder:
    """Embeds a stream, block by block.

    Attributes:
      samples: number of samples taken so far.
      steps: number of embeddings so far.
      seconds: computing time so far.
    """

    def __init__(self, embedder: Embedder, examples: Examples | None = None) -> None:
        """Start a new stream.

        Args:
          embedder: a streaming model; it is reset.
          examples: labelled embeddings to compare each embedding with.
        """
        embedder.reset()
        self._embedder, self._examples = embedder, examples
        steps = max(1, round(_CHANGE_SECONDS * embedder.sample_rate) // embedder.stream_hop)
        self._before: collections.deque[np.ndarray] = collections.deque(maxlen=steps)
        self.samples, self.steps, self.seconds = 0, 0, 0.0

    def push(self, pcm: np.ndarray) -> Iterator[StreamEmbedding]:
        """Take the next samples, float32 `[any number]`; yield the embeddings they complete."""
        start = time.perf_counter()
        results = self._results(pcm)
        self.seconds += time.perf_counter() - start
        self.samples += len(pcm)
        for embedding, classified in results:
            self.steps += 1
            end = self.steps * self._embedder.stream_hop
            rate = self._embedder.sample_rate
            full = len(self._before) == self._before.maxlen
            yield StreamEmbedding(
                max(0, end - self._embedder.span) / rate,
                end / rate,
                float(np.linalg.norm(embedding - self._before[0])) if full else None,
                embedding,
                self._examples.nearest(embedding) if self._examples else None,
                classified,
            )
            self._before.append(embedding)

    def _results(self, pcm: np.ndarray) -> list[tuple[np.ndarray, Classified | None]]:
        if isinstance(self._embedder, Classifier):
            return [(found.embedding, found) for found in self._embedder.classify_stream(pcm)]
        return [(embedding, None) for embedding in self._embedder.stream(pcm)]


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "model",
        None,
        "Streaming .tflite file of export_tflite, any hop and state, also a classifier; or an "
        f"encoder that comes with this package, with a hop of 80 ms: {in_words()}.",
        required=True,
    )
    flags.DEFINE_string(
        "audio",
        None,
        "Audio file, or '-' for raw 16-bit little-endian samples, mono, on standard input, at the "
        "model's sample rate, usually 16 kHz. "
        "Default: the microphone.",
    )
    flags.DEFINE_string(
        "examples",
        None,
        "Directory of labelled audio, DIR/LABEL/*.wav, to compare each embedding with.",
    )
    flags.DEFINE_enum(
        "format",
        "text",
        ["text", "jsonl"],
        "text: lines for a terminal; jsonl: one JSON object per line.",
    )
    flags.DEFINE_string(
        "plot", None, "PNG file to write when the stream ends: embeddings and changes over time."
    )
    define_channels()


def main(_: list[str]) -> None:
    plot = FLAGS.plot and checked_output("plot", FLAGS.plot, ".png")
    if plot:
        require("matplotlib", f"--plot={FLAGS.plot!r}")
    embedder = open_stream(FLAGS.model)
    examples = embed_examples(FLAGS.examples, embedder, FLAGS.channels) if FLAGS.examples else None
    stream = StreamEmbedder(embedder, examples)
    picture = StreamPicture() if plot else None
    labels = embedder.labels if isinstance(embedder, Classifier) else ()
    show = json_line if FLAGS.format == "jsonl" else Lines(examples, labels)
    with contextlib.ExitStack() as stack:
        microphone = (
            stack.enter_context(Microphone(embedder.sample_rate)) if FLAGS.audio is None else None
        )
        blocks = microphone or _blocks(FLAGS.audio, embedder.sample_rate)
        try:
            _follow(blocks, microphone, stream, show, picture, embedder.sample_rate)
        except KeyboardInterrupt:
            if microphone is None:  # the microphone has no other end than Ctrl-C
                raise
            no_hurry()
        except BrokenPipeError:  # the reader of the lines stopped
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            if stream.samples or microphone:
                _summarise(stream, embedder, microphone)
            if plot and picture is not None and stream.steps:
                picture.save(plot)


def open_stream(path: str) -> Embedder:
    """Open a file that embeds a stream of audio; a `Classifier` if it is one.

    Raises:
      A2vError: there is no such file, or it takes windows or band levels instead of audio.
    """
    embedder = Embedder(path)
    if not embedder.streaming:
        raise A2vError(
            f"--model={path!r} takes single windows: expected a file of export_tflite "
            "--mode=streaming"
        )
    if embedder.front_end is None:
        raise A2vError(
            f"--model={path!r} takes spectrograms of {embedder.input_shape[1]} bands, no audio: "
            "expected a file of export_tflite --input=pcm"
        )
    return Classifier(path) if embedder.facts.get("part") == CLASSIFIER else embedder


def json_line(embedded: StreamEmbedding) -> str:
    """JSON with the fields of `StreamEmbedding`; the numbers keep every bit of float32.

    Of a classifier: `label`, `score` and `scores`.
    """
    fields = dataclasses.asdict(dataclasses.replace(embedded, classified=None))
    del fields["classified"]
    fields["embedding"] = _numbers(embedded.embedding)
    if embedded.classified:
        fields["label"], scores = embedded.classified.label, _numbers(embedded.classified.scores)
        fields |= {"score": max(scores), "scores": scores}
    return json.dumps(fields)


def _numbers(values: np.ndarray) -> list[float]:
    return [float(f"{value:.9g}") for value in values.tolist()]


class Lines:
    """Lines for a terminal, as wide as it is."""

    def __init__(self, examples: Examples | None, labels: Sequence[str] = ()) -> None:
        self._label_width = max(map(len, examples.labels)) if examples else 0
        self._class_width = max(map(len, labels), default=0)
        self._count = 0
        self._mean: np.ndarray | float = 0.0
        self._greatest = 1e-9  # greatest distance from the mean so far

    def __call__(self, embedded: StreamEmbedding) -> str:
        line = f"{embedded.end_s:9.2f} s  change {embedded.change or 0:5.2f}  "
        if embedded.classified:
            found = embedded.classified
            line += f"{found.label:<{self._class_width}} {found.score:4.2f}  "
        if embedded.nearest:
            near = embedded.nearest
            votes = f"{near.votes}/{near.of}"
            line += f"{near.label:<{self._label_width}} {votes:>5} at {near.distance:5.2f}  "
        columns = max(8, shutil.get_terminal_size().columns - len(line) - 2)
        return f"{line}|{self._strip(embedded.embedding, columns)}|"

    def _strip(self, embedding: np.ndarray, columns: int) -> str:
        """One character for each dimension, or for the mean of several if the line is too short."""
        self._count += 1
        self._mean += (embedding - self._mean) / self._count
        parts = np.array_split(embedding - self._mean, min(columns, len(embedding)))
        values = np.array([part.mean() for part in parts])
        self._greatest = max(self._greatest, float(np.abs(values).max()))
        shades = np.rint((values / self._greatest + 1) / 2 * (len(_SHADES) - 1)).astype(int)
        return "".join(_SHADES[shade] for shade in shades)


def _blocks(audio: str, sample_rate: int) -> Iterator[np.ndarray]:
    if audio != "-":
        return audio_blocks(audio, FLAGS.channels, sample_rate)
    if sys.stdin is None:  # closed, as by <&-
        raise A2vError("--audio=-: standard input is closed")
    # Typed as any binary file.
    return raw_blocks(cast(io.BufferedReader, sys.stdin.buffer), sample_rate)


def _follow(
    blocks: Iterator[np.ndarray] | Microphone,
    microphone: Microphone | None,
    stream: StreamEmbedder,
    show: Callable[[StreamEmbedding], str],
    picture: StreamPicture | None,
    sample_rate: int,
) -> None:
    """Print the embeddings until the audio ends."""
    reported, reported_at = 0, -1
    for pcm in blocks:
        for embedded in stream.push(pcm):
            print(show(embedded), flush=True)
            if picture is not None:
                named = embedded.nearest or embedded.classified
                label = named.label if named else None
                picture.add(embedded.end_s, embedded.embedding, embedded.change or 0.0, label)
        second = stream.samples // sample_rate
        if microphone is not None and microphone.overruns > reported and second > reported_at:
            reported, reported_at = microphone.overruns, second  # at most one line a second
            _tell(f"overrun {reported}: audio was lost after about {second} s")


def _summarise(stream: StreamEmbedder, embedder: Embedder, microphone: Microphone | None) -> None:
    rate = embedder.sample_rate
    seconds, hop = stream.samples / rate, 1000 * embedder.stream_hop / rate
    if not stream.steps:
        _tell(f"{seconds:.2f} s of audio, less than a hop of {hop:g} ms: no embedding")
    else:
        _tell(
            f"{seconds:.2f} s of audio: {stream.steps} embeddings of {embedder.embedding_dim} "
            f"numbers, one every {hop:g} ms; computing them took {stream.seconds:.2f} s, "
            f"{100 * stream.seconds / seconds:.2g} % of that"
        )
    if microphone is not None:
        lost = "; the times leave out what was lost" if microphone.overruns else ""
        _tell(f"overruns: {microphone.overruns}{lost}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run() -> None:
    """Entry point of `a2v_stream`."""
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
