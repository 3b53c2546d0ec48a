"""The part `gap`: how far apart in time two windows are, by the head of the task temporal_gap.

  a window file      gap(first pcm [1, 15600], second pcm [1, 15600]) -> seconds [1, 1]
  a streaming file   gap(first [1, d], second [1, d]) -> seconds [1, 1], of two embeddings that
                     `embed` gave, at any two moments of the stream

As `evaluation.gap` does, it averages the estimates for both orders of the two. The hidden layer is
quantised with the encoder; what follows the one logit is float.
"""

from typing import Any

import numpy as np
import scipy.special

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.gap import greatest
from a2v_tf.evaluation.saved_heads import Head
from a2v_tf.export import convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import probe_signal
from a2v_tf.export.part import Origin, Part
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.training.model_dir import load_encoder
from a2v_tf.training.trained_task import open_task

TASK = "temporal_gap"
_MOMENTS = 4  # of the check's signal
_TOLERANCE = {True: 0.1, False: 1e-4}  # of the greatest distance, by whether the file is int8


class GapPart(Part):
    """The distance of two windows."""

    name = "gap"

    def __init__(self, origin: Origin) -> None:
        """Convert the head.

        Raises:
          A2vError: the model has none, or its estimates are no seconds.
        """
        task = open_task(origin.model_dir, [TASK])
        if task.slicing.whole_clips:
            raise A2vError(
                f"{str(origin.model_dir)!r} was trained with --max_frames=clip, so it estimates "
                "fractions of a recording's length; expected a model with a number of frames"
            )
        if not task.goes_with(load_encoder(origin.model_dir, for_audio=False)):
            raise A2vError(
                f"{str(origin.model_dir)!r} has an encoder that is not that of its head (--whiten "
                "changes it): expected a model without"
            )
        self._greatest = greatest(task, 0)
        layers = [task.model.get_layer(f"{TASK}_{name}") for name in ("hidden", "output")]
        self._head = Head(("gap",), tuple(tuple(layer.get_weights()) for layer in layers))
        pairs = None
        if origin.slices is not None:
            one = convert.embeddings_of(origin.window, origin.slices())
            other = np.random.default_rng(0).permutation(one)
            pairs = np.concatenate([one, other], axis=1)
        self._model = convert.head_model(
            convert.dense_head(self._head.layers), origin.window, pairs, origin.how
        )
        self._quantized = origin.slices is not None

    @property
    def facts(self) -> dict[str, Any]:
        return {"part": self.name, "greatest_seconds": self._greatest}

    def signed(self, form: fb.Model, mode: str) -> fb.Model:
        encoder, form = form, fb.shallow_copy(form)
        graph = fb.Graph.new(form, "gap")
        embed = fb.signature(encoder, "embed")
        taken, made = fb.names(embed.inputs), fb.names(embed.outputs)
        source = encoder.subgraphs[embed.subgraphIndex].tensors
        if mode == "window":
            ((_, start),) = taken.items()
        else:
            start = made["embedding"]
        like = source[start]
        inputs = {name: graph.like(like, name, fb.shape(like)) for name in ("first", "second")}
        pair = list(inputs.values())
        if mode == "window":
            pair = [fb.insert(graph, encoder, {start: x})[made["embedding"]] for x in pair]
        one, other = (self._probability(graph, order) for order in (pair, pair[::-1]))
        half = graph.constant("half", np.array([[self._greatest / 2]], np.float32))
        seconds = graph.multiply("seconds", graph.sum_of("both", one, other), half)
        fb.set_signature(graph, "gap", inputs, {"seconds": seconds})
        return form

    def _probability(self, graph: fb.Graph, pair: list[int]) -> int:
        """The head's estimate as a fraction of the greatest distance."""
        signature = fb.signature(self._model, "embed")
        (z,), (y,) = (fb.names(maps).values() for maps in (signature.inputs, signature.outputs))
        both = graph.concatenate("pair", pair, axis=1)
        return graph.logistic("fraction", fb.insert(graph, self._model, {z: both})[y])

    def check(self, content: bytes) -> dict[str, Any]:
        """Compare distances between embeddings of the file with those of the head in NumPy."""
        self._check_integers(fb.read(content))
        embedder = Embedder(content)
        gap = embedder.interpreter.get_signature_runner("gap")
        given = self._values(embedder)
        embeddings = [embedder.embed(values) for values in given]
        if embedder.streaming:
            given = embeddings
        apart = 0.0
        for i, j in ((0, 1), (0, _MOMENTS - 1), (2, 3)):
            found, turned = (
                float(gap(first=given[a][None], second=given[b][None])["seconds"].item())
                for a, b in ((i, j), (j, i))
            )
            if found != turned:
                raise A2vError(f"gap depends on the order: {found:.6g} s and {turned:.6g} s")
            apart = max(apart, abs(found - self._in_numpy(embeddings[i], embeddings[j])))
        allowed = _TOLERANCE[self._quantized] * self._greatest
        if apart > allowed:
            raise A2vError(
                f"gap differs from the head by {apart:.3g} s: expected at most {allowed:.3g} s"
            )
        return {"greatest_seconds": self._greatest, "gap_difference": apart}

    def _in_numpy(self, one: np.ndarray, other: np.ndarray) -> float:
        orders = np.stack([np.concatenate([one, other]), np.concatenate([other, one])])
        return float(scipy.special.expit(self._head.logits(orders)).mean()) * self._greatest

    @staticmethod
    def _values(embedder: Embedder) -> list[np.ndarray]:
        """What `embed` takes, several times."""
        shape = (_MOMENTS, *embedder.input_shape)
        if embedder.input == "pcm":
            return list(probe_signal(int(np.prod(shape))).reshape(shape))
        return list(np.random.default_rng(0).normal(-3, 3, shape).astype(np.float32))

    def _check_integers(self, model: fb.Model) -> None:
        """Check that the head of an int8 file has integer weights."""
        graph = fb.Graph(model, model.subgraphs[fb.signature(model, "gap").subgraphIndex])
        dense = [op for op in graph.subgraph.operators if fb.kind(model, op) == "FULLY_CONNECTED"]
        heads = dense[-2 * len(self._head.layers) :]
        types = {fb.dtype(graph.tensor(int(op.inputs[1]))) for op in heads}
        if types != {"INT8" if self._quantized else "FLOAT32"}:
            raise A2vError(f"the head of the file has weights of the types {sorted(types)}")
