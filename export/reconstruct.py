"""Files that reconstruct: `export_tflite --part=reconstruct` (patent claim 18, paragraphs 81-83).

The encoder and the decoder of a model trained on cbow, skip_gram or autoencoder. A file has the
signatures of the encoder's file, with the same embeddings, and

  window      reconstruct(pcm [1, samples]) -> log_mel [1, K, N, F]
  streaming   reconstruct(embeddings [1, S, d]) -> log_mel [1, K, N, F]

The S input slices and the K predicted ones lie where they did in training; the facts in the file's
metadata say where. In a window file, samples that belong to no input slice are not used. In a
stream, `embed` gives an embedding every hop, of which the caller keeps those of the last few
seconds; the decoder runs only when it is asked.
"""

import copy
import dataclasses
import math
import pathlib
from typing import Any

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.settings import RECONSTRUCTING, begins
from a2v_tf.export import arithmetic, check, convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.decoder import decoder_model
from a2v_tf.export.front_end import front_end_model
from a2v_tf.export.part import Origin, Part
from a2v_tf.export.rewrite import TIME
from a2v_tf.frontend import FrontEnd
from a2v_tf.runtime.embedder import make_interpreter
from a2v_tf.specs import InputStats, Slicing
from a2v_tf.training.model_dir import load_encoder
from a2v_tf.training.trained_task import TrainedTask, open_task

FLOAT_TOLERANCE = 1e-4  # float kernels may sum in another order for several slices at once
NAME = "reconstruct"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the slices of a task lie, in frames from the beginning of the first input slice.

    Attributes:
      inputs: where the input slices begin, in ascending order.
      predicted: where the predicted slices begin; some may lie outside the input.
      frames: from the first frame to the last of the input slices.
    """

    inputs: list[int]
    predicted: list[int]
    frames: int

    @classmethod
    def of(cls, task: str, slicing: Slicing) -> "Layout":
        """The layout of a task of `RECONSTRUCTING`."""
        inputs, predicted = (begins(kind, 0, slicing) for kind in RECONSTRUCTING[task])
        first, end = inputs[0], inputs[-1] + slicing.frames
        return cls([i - first for i in inputs], [i - first for i in predicted], end - first)

    @property
    def stride(self) -> int:
        """Frames that divide all distances between input slices; 0 if there is only one."""
        return math.gcd(*self.inputs)


def open_decoder(model_dir: pathlib.Path, task: str | None) -> TrainedTask:
    """Open a model for one of its decoders.

    Args:
      model_dir: a model directory.
      task: whose decoder; None for the first of `RECONSTRUCTING` that the model learned.

    Raises:
      A2vError: the model has no such decoder, or its encoder is not that of encoder.keras.
    """
    if task and task not in RECONSTRUCTING:
        raise A2vError(f"--task={task}: expected one of {', '.join(RECONSTRUCTING)}")
    trained = open_task(model_dir, [task] if task else list(RECONSTRUCTING))
    if not trained.goes_with(load_encoder(model_dir, for_audio=False)):
        raise A2vError(
            f"{str(model_dir)!r}: the decoder was trained on other embeddings than those of "
            "encoder.keras (--whiten changes them): expected a model trained without --whiten"
        )
    return trained


class Reconstruct(Part):
    """The encoder and a decoder behind it."""

    name = NAME

    def __init__(self, origin: Origin) -> None:
        """Convert the decoder of `origin.trained`."""
        trained = origin.trained
        assert trained  # by `open_decoder`
        self.task, self.slicing = trained.name, trained.slicing
        self.layout = Layout.of(self.task, self.slicing)
        self.window, self.quantized = origin.window, origin.slices is not None
        self.front_end = trained.front_end
        self.stats = InputStats(origin.config["input_mean"], origin.config["input_variance"])
        self.decoder = decoder_model(
            trained.model.get_layer(f"{self.task}_decoder"),
            len(self.layout.inputs),
            origin.window,
            _embeddings(origin, self.layout, self.slicing.frames),
            origin.how,
        )

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "part": self.name,
            "head": self.task,
            "slice_frames": self.slicing.frames,
            "gap_frames": self.slicing.gap,
            "context_before": self.slicing.before,
            "context_after": self.slicing.after,
            "input_frames": self.layout.inputs,
            "predicted_frames": self.layout.predicted,
            "decoder_weights_and_scales": _fingerprint(fb.single_graph(self.decoder)),
        }

    def signed(self, form: fb.Model, mode: str) -> fb.Model:
        form = copy.deepcopy(form)  # the window model itself is a form
        graph = fb.Graph.new(form, NAME)
        if mode == "streaming":
            self._on_embeddings(graph)
        else:
            self._on_audio(graph)
        return form

    def _on_embeddings(self, graph: fb.Graph) -> None:
        signature = fb.signature(self.decoder, NAME)
        inside = fb.insert(graph, self.decoder, {})
        inputs, outputs = (
            {name: inside[index] for name, index in fb.names(ends).items()}
            for ends in (signature.inputs, signature.outputs)
        )
        fb.set_signature(graph, NAME, inputs, outputs)

    def _on_audio(self, graph: fb.Graph) -> None:
        """PCM or log-mel of the excerpt -> slices -> embeddings -> predicted slices."""
        inputs = fb.names(fb.signature(graph.model, "embed").inputs)
        frames, count = self.slicing.frames, len(self.layout.inputs)
        if "pcm" in inputs:
            given = graph.computed("pcm", [1, self.front_end.samples(self.layout.frames)])
            slices = [self._log_mel(graph, given, first) for first in self.layout.inputs]
        else:
            bins = fb.shape(_input(self.window))[-1]
            given = graph.computed("log_mel", [1, self.layout.frames, bins])
            slices = [
                graph.cut(f"slice_{first}", given, TIME, first, frames) if count > 1 else given
                for first in self.layout.inputs
            ]
        log_mel = graph.concatenate("slices", slices, 0) if count > 1 else slices[0]
        encoder = batched(self.window, count)
        embed = fb.signature(encoder, "embed")
        inside = fb.insert(graph, encoder, {fb.names(embed.inputs)["log_mel"]: log_mel})
        z = inside[fb.names(embed.outputs)["embedding"]]
        z = graph.reshape("embeddings", z, [1, count, -1])
        signature = fb.signature(self.decoder, NAME)
        inside = fb.insert(graph, self.decoder, {fb.names(signature.inputs)["embeddings"]: z})
        made = inside[fb.names(signature.outputs)["log_mel"]]
        fb.set_signature(graph, NAME, {next(iter(inputs)): given}, {"log_mel": made})
        graph.tensor(made).name = f"{NAME}_predicted"  # the input may be log-mel too

    def _log_mel(self, graph: fb.Graph, pcm: int, first: int) -> int:
        """Log-mel of the slice that begins at frame `first`."""
        spec, frames = self.front_end, self.slicing.frames
        assert isinstance(spec, FrontEnd)  # as the file takes PCM
        if frames < self.layout.frames:
            samples = spec.samples(frames)
            pcm = graph.cut(f"pcm_{first}", pcm, 1, first * spec.hop_length, samples)
        front_end = front_end_model(frames, spec)
        ends = fb.single_graph(front_end).subgraph
        return fb.insert(graph, front_end, {ends.inputs[0]: pcm})[ends.outputs[0]]

    def check(self, content: bytes) -> dict[str, Any]:
        """Compare the file's reconstruction with the decoder's of the slices' embeddings."""
        model = fb.read(content)
        signature = fb.signature(model, NAME)
        graph = fb.Graph(model, model.subgraphs[signature.subgraphIndex])
        ours = fb.single_graph(self.decoder)
        if _fingerprint(graph, len(ours.subgraph.operators)) != _fingerprint(ours):
            raise A2vError("the file's decoder is not the converted one: please report this bug")
        log_mel = graph.tensor(fb.names(signature.outputs)["log_mel"])
        return {
            NAME: {
                **self.facts,
                "input": next(iter(fb.names(signature.inputs))),
                "shape": list(fb.shape(log_mel)),
                "multiply_accumulates": arithmetic.of_graph(graph),
                "exactness": _exactness(content, self),
            }
        }


def batched(window: fb.Model, count: int) -> fb.Model:
    """A window model for several slices: `embed(log_mel [count, N, F]) -> embedding [count, d]`.

    Raises:
      A2vError: a tensor of the model has no batch axis.
    """
    model = copy.deepcopy(window)
    if count == 1:
        return model
    graph = fb.single_graph(model)
    for tensor in graph.subgraph.tensors:
        if not fb.is_constant(model, tensor):
            one, *rest = fb.shape(tensor)
            if one != 1:
                name = fb.text(tensor.name)
                raise A2vError(f"cannot encode several slices: tensor {name!r} has no batch axis")
            tensor.shape = [count, *rest]
    for op in graph.subgraph.operators:
        if fb.kind(model, op) == "RESHAPE":
            result = graph.tensor(int(op.outputs[0]))
            size = np.array(fb.shape(result), np.int32)
            op.inputs[1] = graph.constant(f"{fb.text(result.name)}/shape", size)
            op.builtinOptions = fb.make("ReshapeOptionsT", newShape=size.tolist())
    return model


def _input(window: fb.Model) -> fb.Tensor:
    signature = fb.signature(window, "embed")
    return fb.single_graph(window).tensor(fb.names(signature.inputs)["log_mel"])


def _embeddings(origin: Origin, layout: Layout, frames: int) -> np.ndarray | None:
    """Calibration of the decoder: embeddings of the input slices, `[n, S * d]`; None if float."""
    if origin.slices is None:
        return None
    count = len(layout.inputs)
    if origin.crops is None:
        z = convert.embeddings_of(origin.window, origin.slices())
        return np.concatenate([np.roll(z, -i, axis=0) for i in range(count)], axis=1)
    crops = origin.crops(layout.frames)
    of_each = [
        convert.embeddings_of(origin.window, crops[:, first : first + frames])
        for first in layout.inputs
    ]
    return np.concatenate(of_each, axis=1)


def _fingerprint(graph: fb.Graph, last: int = 0) -> str:
    """Hash of the weights and scales of a graph's last ops; of all if `last` is 0."""
    return check.fingerprint_of_ops(graph, graph.subgraph.operators[-last:])


def _exactness(content: bytes, part: Reconstruct) -> dict[str, Any]:
    """Compare what a file reconstructs of a test signal with the decoder on its own embeddings.

    Raises:
      A2vError: they differ by more than the tolerance.
    """
    opened = make_interpreter(content)
    reconstruct = opened.get_signature_runner(NAME)
    decode = make_interpreter(fb.write(part.decoder)).get_signature_runner(NAME)
    ((name, detail),) = reconstruct.get_input_details().items()
    shape = tuple(map(int, detail["shape"]))
    if name == "embeddings":
        values = z = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    else:
        values = _test_input(name, shape, part.stats)
        embed = opened.get_signature_runner("embed")
        z = np.stack([embed(**{name: x})["embedding"] for x in _slices(values, part)], axis=1)
    got, expected = reconstruct(**{name: values})["log_mel"], decode(embeddings=z)["log_mel"]
    difference = float(np.abs(got - expected).max())
    tolerance = 0.0
    if not part.quantized:
        tolerance = FLOAT_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    elif name == "pcm":
        tolerance = check.PCM_TOLERANCE_STEPS * check.smallest_step(expected)
    if difference > tolerance:
        raise A2vError(
            f"the file's reconstruction differs from the decoder's by {difference:.3g}: expected "
            f"at most {tolerance:.3g}"
        )
    exact = bool(np.array_equal(got, expected))
    return {"max_abs_difference": difference, "bit_exact": exact, "tolerance": tolerance}


def _slices(values: np.ndarray, part: Reconstruct) -> list[np.ndarray]:
    """The input slices of PCM `[1, samples]` or of log-mel `[1, frames, F]`."""
    hop, length = 1, part.slicing.frames
    if values.ndim == 2:
        hop, length = part.front_end.hop_length, part.front_end.samples(length)
    return [values[:, i * hop : i * hop + length] for i in part.layout.inputs]


def _test_input(name: str, shape: tuple[int, ...], stats: InputStats) -> np.ndarray:
    if name == "pcm":
        return check.probe_signal(shape[1])[np.newaxis]
    return check.probe_levels(shape[1], shape[2], stats)[np.newaxis]
