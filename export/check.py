"""Checks of an exported file: its ops, types and scales, and the embeddings that it computes."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.rewrite import STATE
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.runtime.classifier import Classifier
from a2v_tf.runtime.embedder import Embedder, make_interpreter
from a2v_tf.specs import InputStats

FLOAT_TOLERANCE = 1e-5  # float kernels may sum in another order for another shape
SCORE_TOLERANCE = 1e-3  # a head's weights may be large
# For int8 from PCM. On the tested CPUs, a frame's log-mel does not depend on the number of frames
# computed with it. If it does on another CPU, a value between two int8 values may be rounded to the
# other one. Such files are accepted, and the summary says so.
PCM_TOLERANCE_STEPS = 4

_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
_ENCODER_OPS = _WEIGHTED | {"ADD", "PAD", "RESHAPE", "MAX_POOL_2D", "REDUCE_MAX", "RELU"}
_STATE_OPS = {
    "ASSIGN_VARIABLE",
    "CALL_ONCE",
    "CONCATENATION",
    "READ_VARIABLE",
    "SLICE",
    "VAR_HANDLE",
}
_CLASSIFIER_OPS = {"SOFTMAX"}  # of the signature `classify`; float, behind the dequantised logits
_STANDARDISE_OPS = {"SUB", "MUL"}
_STATISTICS_OPS = {"ADD", "CONCATENATION", "MEAN", "MUL", "RESHAPE", "SQRT", "SQUARED_DIFFERENCE"}
_FLOAT_STATES = {f"{STATE}{name}" for name in ("pcm", "log_mel")}
_FRONT_END_OPS = {
    "ADD",
    "CONCATENATION",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "GATHER",
    "LOG",
    "PAD",
    "RESHAPE",
    "SLICE",
    "SQRT",
    "SQUARE",
    "SUM",
    "TRANSPOSE",
}


# Ops, types and scales ---------------------------------------------------------------------------


def check_file(model: fb.Model, *, quantized: bool) -> dict:
    """Check ops, types and scales of an exported file.

    Args:
      model: the content of the file.
      quantized: whether the encoder must be int8, or int16 with int8 weights.

    Returns:
      `ops` (counts by name), `states` (name, shape, dtype, scale, zero point and bytes of each),
      `state_bytes`, and `weights_and_scales`, a fingerprint that is the same for all files of a
      quantised encoder.

    Raises:
      A2vError: the file has an unexpected op, a float op inside an int8 encoder, or a state whose
        scales differ between input and output.
    """
    graph = embed_graph(model)
    encoder = encoder_ops(graph)
    _check_ops(model, graph, encoder, quantized=quantized)
    if quantized:
        _check_integers(graph, encoder)
    states = _states(model, graph)
    for name, (before, after) in states.items():
        _check_state(name, before, after, quantized)
    return {
        "ops": dict(sorted(Counter(fb.kind(model, op) for op in graph.subgraph.operators).items())),
        "states": [_describe(name, before) for name, (before, _) in states.items()],
        "state_bytes": sum(fb.state_bytes(before) for before, _ in states.values()),
        "weights_and_scales": fingerprint(model),
    }


def fingerprint(model: fb.Model) -> str:
    """Hash of all weights, biases and scales of the encoder, in the order of its layers.

    It does not depend on what differs between the forms of an encoder: shapes, states, front end.
    """
    graph = embed_graph(model)
    return fingerprint_of_ops(graph, encoder_ops(graph), _statistics_constants(graph))


def fingerprint_of_ops(
    graph: fb.Graph, ops: Iterable[fb.Op], more: Iterable[np.ndarray] = ()
) -> str:
    """Hash of the weights, biases and scales of some ops of a graph, and of more constants."""
    digest = hashlib.sha256()
    for op in ops:
        kind = fb.kind(graph.model, op)
        if kind not in _WEIGHTED | {"ADD"}:
            continue
        digest.update(kind.encode())
        for index in [*op.inputs, *op.outputs]:
            if index < 0:
                continue
            tensor = graph.tensor(index)
            value = fb.constant(graph.model, tensor)
            digest.update(b"" if value is None else value.tobytes())
            digest.update(repr(fb.scales(tensor)).encode())
    for value in more:
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]


def _statistics_constants(graph: fb.Graph) -> Iterator[np.ndarray]:
    """Constants of the float log-mel statistics beside the encoder."""
    found = False
    for op in graph.subgraph.operators:
        kind = fb.kind(graph.model, op)
        found |= kind == "SQUARED_DIFFERENCE"
        if found and kind in ("ADD", "MUL"):
            values = (fb.constant(graph.model, graph.tensor(int(i))) for i in op.inputs)
            yield from (value for value in values if value is not None)


def embed_graph(model: fb.Model) -> fb.Graph:
    """The graph behind the signature `embed`.

    Raises:
      A2vError: there is no such signature.
    """
    return fb.Graph(model, model.subgraphs[fb.signature(model, "embed").subgraphIndex])


def encoder_ops(graph: fb.Graph) -> list[fb.Op]:
    """Ops of the encoder after `standardise`: all that depend on the first convolution's input."""
    operators = graph.subgraph.operators
    first = next(op for op in operators if fb.kind(graph.model, op) == "CONV_2D")
    made_by = {int(out): op for op in operators for out in op.outputs}
    start = int(first.inputs[0])
    # Back through ops that only rearrange, to the QUANTIZE (int8) or the standardised log-mel.
    while start in made_by and fb.kind(graph.model, made_by[start]) in (
        "RESHAPE",
        "PAD",
        "CONCATENATION",
    ):
        start = _computed_input(graph, made_by[start])
    reached, found = {start}, []
    for op in operators:
        if reached.intersection(map(int, op.inputs)):
            reached.update(map(int, op.outputs))
            found.append(op)
    return found


def _computed_input(graph: fb.Graph, op: fb.Op) -> int:
    """The last input that is not constant; for a CONCATENATION, the one after the state."""
    computed = [int(i) for i in op.inputs if not fb.is_constant(graph.model, graph.tensor(i))]
    return computed[-1]


def _check_ops(model: fb.Model, graph: fb.Graph, encoder: list[fb.Op], *, quantized: bool) -> None:
    inside = {id(op) for op in encoder}
    for op in graph.subgraph.operators:
        kind = fb.kind(model, op)
        if kind.startswith("CUSTOM"):
            raise A2vError(f"the file has the custom op {kind}: expected built-in ops only")
        if id(op) in inside:
            # int16 encoders have a QUANTIZE from one scale to another before a CONCATENATION.
            more = {"QUANTIZE", "DEQUANTIZE"} if quantized else _STATISTICS_OPS
            more |= _CLASSIFIER_OPS if _classifies(model) else set()
            allowed = _ENCODER_OPS | _STATE_OPS | more
        else:
            in_front = _FRONT_END_OPS | _STANDARDISE_OPS | _STATISTICS_OPS
            allowed = in_front | _STATE_OPS | {"QUANTIZE"}
        if kind not in allowed:
            where = "encoder" if id(op) in inside else "front end"
            raise A2vError(f"the file has the op {kind} in its {where}: expected {sorted(allowed)}")


def _classifies(model: fb.Model) -> bool:
    return any(fb.text(entry.signatureKey) == "classify" for entry in model.signatureDefs)


def _check_integers(graph: fb.Graph, encoder: list[fb.Op]) -> None:
    """Check that every computed tensor of the encoder, except the result, has an integer type."""
    kinds = Counter(fb.kind(graph.model, op) for op in graph.subgraph.operators)
    quantized = sum(_is_float(graph, op.inputs[0]) for op in _ops(graph, "QUANTIZE"))
    inputs = 2 if kinds["SQUARED_DIFFERENCE"] else 1  # log-mel, and its statistics
    results = 2 if _classifies(graph.model) else 1  # the embedding, and the logits
    # An int16 head has a scale of its own, so it starts from the float embedding.
    inputs += results - 1 if _int16(graph) else 0
    if (quantized, kinds["DEQUANTIZE"]) != (inputs, results):
        raise A2vError(
            f"the file has {quantized} QUANTIZE of float values and {kinds['DEQUANTIZE']} "
            f"DEQUANTIZE: expected {inputs} before the encoder and {results} after it"
        )
    for op in encoder:
        kind = fb.kind(graph.model, op)
        if kind in _CLASSIFIER_OPS or (kind == "QUANTIZE" and _classifies(graph.model)):
            continue
        ends = [] if kind == "DEQUANTIZE" else op.outputs
        for index in [*op.inputs, *ends]:
            if index >= 0 and _is_float(graph, index):
                name = fb.text(graph.tensor(index).name)
                raise A2vError(f"the quantised encoder has a float {kind}: tensor {name!r}")


def _int16(graph: fb.Graph) -> bool:
    return any(
        fb.dtype(graph.tensor(int(op.outputs[0]))) == "INT16" for op in _ops(graph, "QUANTIZE")
    )


def _ops(graph: fb.Graph, kind: str) -> list[fb.Op]:
    return [op for op in graph.subgraph.operators if fb.kind(graph.model, op) == kind]


def _is_float(graph: fb.Graph, index: int) -> bool:
    return fb.dtype(graph.tensor(index)) in ("FLOAT32", "FLOAT16")


def _states(model: fb.Model, graph: fb.Graph) -> dict[str, tuple[fb.Tensor, fb.Tensor]]:
    """Input and output tensor of each state by name, for internal and external state."""
    signature = fb.signature(model, "embed")
    outputs = fb.names(signature.outputs)
    found = {
        name: (graph.tensor(index), graph.tensor(outputs[name]))
        for name, index in fb.names(signature.inputs).items()
        if name.startswith(STATE)
    }
    ends: dict[str, dict[str, fb.Tensor]] = {}
    names = {}
    for op in graph.subgraph.operators:
        kind = fb.kind(model, op)
        if kind == "VAR_HANDLE":
            names[int(op.outputs[0])] = fb.text(op.builtinOptions.sharedName)
        elif kind == "READ_VARIABLE":
            ends[names[int(op.inputs[0])]] = {"in": graph.tensor(op.outputs[0])}
        elif kind == "ASSIGN_VARIABLE":
            ends[names[int(op.inputs[0])]]["out"] = graph.tensor(op.inputs[1])
    return found | {name: (both["in"], both["out"]) for name, both in ends.items()}


def _check_state(name: str, before: fb.Tensor, after: fb.Tensor, quantized: bool) -> None:
    ends = [(fb.shape(end), fb.dtype(end), fb.scales(end)) for end in (before, after)]
    if ends[0] != ends[1]:
        raise A2vError(f"{name}: the input is {ends[0]}, but the output is {ends[1]}")
    integers = quantized and name not in _FLOAT_STATES
    expected = ("INT8", "INT16") if integers else ("FLOAT32",)
    if fb.dtype(before) not in expected:
        raise A2vError(f"{name} is {fb.dtype(before)}: expected {' or '.join(expected)}")


def _describe(name: str, tensor: fb.Tensor) -> dict:
    scale, zero_point = (next(iter(values), None) for values in fb.scales(tensor))
    return {
        "name": name,
        "shape": list(fb.shape(tensor)),
        "dtype": fb.dtype(tensor).lower(),
        "scale": scale,
        "zero_point": zero_point,
        "bytes": fb.state_bytes(tensor),
    }


# Embeddings --------------------------------------------------------------------------------------


def probe_signal(samples: int) -> np.ndarray:
    """A deterministic test signal, float32 `[samples]` in [-1, 1].

    It contains silence and full scale, the extremes of a microphone signal, and a sweep across the
    mel bins: at another rate than 16 kHz, it is faster or slower.
    """
    rng = np.random.default_rng(0)
    time = np.arange(samples) / FRONT_END.sample_rate
    sweep = 0.3 * np.sin(2 * np.pi * (100 * time + 1500 * time**2))
    bursts = rng.normal(0, 0.5, samples) * np.exp(-20 * (time % 0.4))
    audible = (time % 1.1) < 0.8
    return np.clip((sweep + bursts) * audible, -1, 1).astype(np.float32)


def probe_levels(frames: int, bins: int, stats: InputStats) -> np.ndarray:
    """Deterministic band levels with twice the usual deviation, float32 `[frames, bins]`.

    Like `probe_signal`, they exceed the int8 range at both ends.
    """
    noise = np.random.default_rng(0).normal(0, 2, (frames, bins))
    return (stats.mean + np.sqrt(stats.variance) * noise).astype(np.float32)


def check_exactness(
    content: bytes,
    offline: bytes,
    steps: int,
    *,
    quantized: bool,
    levels: InputStats | None = None,
) -> dict:
    """Compare the embeddings of a file with those of the offline form, on a test signal.

    Scores of a classifier are compared too, if its embeddings are equal: they follow from these.

    Args:
      content: the exported file, streaming or window.
      offline: the offline form with the same input; for a window file, with one window's frames.
      steps: number of embeddings that `offline` computes. A window file must give the last one.
      quantized: require bit-exactness, apart from the float front end of files with PCM input.
      levels: statistics of the band levels that the encoder takes; None if it takes log-mel.

    Returns:
      `steps`, `max_abs_difference`, `bit_exact`, and the allowed `tolerance`.

    Raises:
      A2vError: they differ by more than the tolerance.
    """
    embedder = Classifier(content) if _classifies(fb.read(content)) else Embedder(content)
    reference = make_interpreter(offline).get_signature_runner("embed")
    shape = reference.get_input_details()[embedder.input]["shape"]
    if levels is None:
        values = _signal_for(shape, embedder)
    else:
        _, frames, bins = map(int, shape)
        values = probe_levels(frames, bins, levels)
    outputs = reference(**{embedder.input: values[None]})
    results = _results(embedder, values, steps)
    got = results["embedding"]
    expected = outputs["embedding"][-len(got) :]
    difference = float(np.abs(got - expected).max())
    if quantized and embedder.input == "log_mel":
        tolerance = 0.0
    elif quantized:
        tolerance = PCM_TOLERANCE_STEPS * smallest_step(expected)
    else:
        tolerance = FLOAT_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if difference > tolerance:
        raise A2vError(
            f"the file differs from the offline encoder by {difference:.3g}: "
            f"expected at most {tolerance:.3g}"
        )
    bit_exact = bool(np.array_equal(got, expected))
    if "scores" in results:
        scores = outputs["scores"][-len(got) :]
        apart = float(np.abs(results["scores"] - scores).max())
        allowed = 0.0 if quantized else SCORE_TOLERANCE
        if apart > allowed and (bit_exact or not quantized):
            raise A2vError(f"scores differ from those of the offline encoder by {apart:.3g}")
        bit_exact &= bool(np.array_equal(results["scores"], scores))
    return {
        "steps": len(got),
        "max_abs_difference": difference,
        "bit_exact": bit_exact,
        "tolerance": tolerance,
    }


def _signal_for(shape: np.ndarray, embedder: Embedder) -> np.ndarray:
    """The test signal as input of `embed`; PCM starts with the silence before a stream."""
    front_end, is_pcm = embedder.front_end, embedder.input == "pcm"
    assert front_end  # as it takes no band levels
    samples = int(shape[1]) if is_pcm else front_end.samples(int(shape[1]))
    silence = np.zeros(front_end.overlap, np.float32)
    pcm = np.concatenate([silence, probe_signal(samples - len(silence))])
    return pcm if is_pcm else log_mel(pcm, front_end).numpy()


def _results(embedder: Embedder, values: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """Embeddings of a window file `[1, d]`, or of every step of a streaming file `[steps, d]`.

    Of a classifier the scores, too.
    """
    chunks = [values]
    if embedder.streaming:
        start = 0
        if embedder.input == "pcm":
            assert embedder.front_end
            start = embedder.front_end.overlap
        chunks = np.split(values[start:], steps)
    embedder.reset()
    if not isinstance(embedder, Classifier):
        return {"embedding": np.stack([embedder.embed(chunk) for chunk in chunks])}
    found = [embedder.classify(chunk) for chunk in chunks]
    return {
        name: np.stack([getattr(each, name) for each in found]) for name in ("embedding", "scores")
    }


def smallest_step(embeddings: np.ndarray) -> float:
    """The quantisation step of dequantised values: their smallest nonzero distance."""
    distances = np.diff(np.unique(embeddings))
    return float(distances.min()) if distances.size else 0.0
