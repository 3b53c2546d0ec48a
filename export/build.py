"""Build, check and write an exported file."""

import contextlib
import functools
import hashlib
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.saved_heads import SavedHead, read_head
from a2v_tf.export import arithmetic, check, convert, metadata, micro, onnx, streaming
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.classifier import ClassifierPart
from a2v_tf.export.forms import CALIBRATION_SLICES, FORMATS, INPUTS, MODES, PARTS, STATES, TARGETS
from a2v_tf.export.front_end import front_end_model
from a2v_tf.export.gap import GapPart
from a2v_tf.export.part import Origin, Part
from a2v_tf.export.quantize import Quantization
from a2v_tf.export.reconstruct import Layout, Reconstruct, open_decoder
from a2v_tf.export.rewrite import frames_of
from a2v_tf.files import checked_output, output_file
from a2v_tf.frontend import FRONT_END, FrontEnd, hann_window
from a2v_tf.pretrained import resolve
from a2v_tf.specs import (
    SOURCE_OPTIONS,
    AnyEncoder,
    BandLevels,
    InputStats,
    MultiscaleConfig,
    find_encoder,
)
from a2v_tf.training.model_dir import check_takes_audio, front_end_of, read_config

_CHECKED_HOPS, _CHECKED_FRAMES = 8, 256  # whichever is longer
_MAKE: dict[str, Callable[[Origin], Part]] = {  # a value for all PARTS
    Part.name: lambda _: Part(),
    Reconstruct.name: Reconstruct,
    GapPart.name: GapPart,
    ClassifierPart.name: ClassifierPart,
}


def export_file(
    model_dir: pathlib.Path | str | None,
    output: pathlib.Path | str,
    *,
    part: str = Part.name,
    task: str | None = None,
    head: pathlib.Path | str | None = None,
    quantize: bool = False,
    mode: str = "streaming",
    state: str = "internal",
    input: str = "pcm",
    calibration: np.ndarray | None = None,
    calibration_data: str | None = None,
    calibration_slices: int = CALIBRATION_SLICES,
    seed: int = 0,
    hop_ms: float | None = None,
    activations: str = Quantization.activations,
    ranges: str = Quantization.ranges,
    described: Mapping[str, str] | None = None,
    format: str = "tflite",
    target: str = "any",
) -> dict[str, Any]:
    """Export the encoder, or another part, of a model directory to a TFLite file, and check it.

    All int8 files exported with the same calibration have the same weights and scales, because the
    quantised encoder is stored in the model directory and every file is derived from it.

    Args:
      model_dir: directory written by `a2v_train`, or one of `pretrained.names`; None for a head
        that has an encoder of its own.
      output: the file to write, `NAME.tflite` or `NAME.onnx`.
      part: what the file computes, one of `forms.PARTS`.
      task: of the part "reconstruct", which of the model's tasks; None for the first of
        `RECONSTRUCTING` that it learned.
      head: for a classifier, a directory that `a2v_evaluate --save_heads` wrote. Of a fine-tuned
        encoder it has the calibration slices, too.
      quantize: quantise the encoder to int8; the front end remains float.
      mode: "streaming" (an embedding of the last window every hop) or "window" (one per slice).
      state: state of a streaming model: "internal", with a signature `reset`, or "external", as
        inputs and outputs of `embed`.
      input: "pcm" or "log_mel". For a model of precomputed spectrograms, "log_mel" means its band
        levels.
      calibration: log-mel slices float32 `[n, N, F]` that determine the int8 ranges; None draws
        `calibration_slices` slices from `calibration_data`. To a decoder of several slices, each
        and those after it are neighbours.
      calibration_data: a source as in `a2v_train --data`; None for the training data.
      calibration_slices: number of slices to draw.
      seed: seed of the draw.
      hop_ms: milliseconds between two embeddings of a streaming model. None for the encoder's
        total pooling in time: 320 ms for small and large, 80 ms for vgg6. Other values are its
        halves, down to 10 ms, and some multiples; see `possible_hops`.
      activations: activations of a quantised encoder, "int8" or "int16"; weights are always int8.
      ranges: how the ranges of int8 activations are chosen, a key of `quantize.RANGES`.
      described: additional metadata of the file: any of `name`, `version`, `author` and `license`.
      format: "tflite", or "onnx" for ONNX Runtime, with external state if streaming; see `onnx`.
      target: "any", or "micro" for TFLite Micro: log-mel input, external state if streaming, no
        training configuration in the metadata; see `micro`.

    Returns:
      A summary, serialisable to JSON: `output`, `file_bytes`, `format`, `part`, `mode`, `state`,
      `input`, `quantized`, `activations`, `ranges`, `window_frames`, `window_ms`, `hop_ms`,
      `multiply_accumulates` (per call, of `front_end` and `encoder`),
      `multiply_accumulates_per_second` (per second of audio, if streaming), `embedding_dim`,
      `ops`, `states`, `state_bytes`, `weights_and_scales` and `exactness`; see `check`. With the
      format "onnx", also `onnx_runtime`, like `exactness` against the TFLite file; with the target
      "micro", also `micro`, see `micro.check`.

    Raises:
      A2vError: the directory, data or output cannot be used, the encoder cannot stream, or a check
        fails. No file is written then.
    """
    output = pathlib.Path(output)
    _check_choices(part, mode, state, input, format, target)
    if format == "onnx":
        onnx.check_possible(part, activations)
        state = "external"
    if target == "micro":
        micro.check_possible(part, format, quantize)
        state, input = "external", "log_mel"
    _check_output(output, f".{format}")
    saved = _read_head(part, head)
    model_dir = _model_dir(model_dir, head, saved)
    if saved and saved.slices is not None and calibration is None and not calibration_data:
        calibration = saved.slices
    config = read_config(model_dir)
    data: str = calibration_data or config.get("data", "")
    if quantize and calibration is None and not data:
        raise A2vError(f"no 'data' in {model_dir}/config.json: give --calibration_data")
    if input == "pcm":
        check_takes_audio(model_dir)
    front_end = front_end_of(model_dir)
    frames = _window_frames(config)
    trained = open_decoder(model_dir, task) if part == Reconstruct.name else None
    stride = Layout.of(trained.name, trained.slicing).stride if trained else 0
    hop = _hop_frames(hop_ms, mode, config, front_end, stride)
    draw: Callable[[], np.ndarray] | None = None
    crops: Callable[[int], np.ndarray] | None = None
    settings: dict[str, object] = {}
    if quantize and calibration is not None:
        draw = functools.partial(np.asarray, calibration)
        settings = {"slices_sha256": hashlib.sha256(calibration.tobytes()).hexdigest()}
    elif quantize:

        def crops(frames: int) -> np.ndarray:
            return draw_slices(data, frames, calibration_slices, seed, config, front_end)

        draw = functools.partial(crops, frames)
        settings = {"data": data, "slices": calibration_slices, "seed": seed}
    how = Quantization(ranges, activations, silent_and_loudest(front_end))
    window = convert.model_of(model_dir, draw, settings, how)
    made = _MAKE[part](Origin(model_dir, config, window, draw, how, crops, trained, saved))
    window = made.extended(window)
    model = build_form(
        window, mode=mode, state=state, input=input, hop_frames=hop, front_end=front_end
    )
    model = made.signed(model, mode)
    per_call = arithmetic.multiply_accumulates(model)
    seconds = front_end.period * hop if mode == "streaming" else None
    form = {
        "mode": mode,
        "state": state if mode == "streaming" else None,
        "input": input,
        "quantized": quantize,
        "activations": activations if quantize else "float32",
        "ranges": ranges if quantize and activations == "int8" else None,
        "window_ms": 1000 * front_end.seconds(frames),
        "hop_ms": 1000 * seconds if seconds else None,
    }
    facts = {
        **form,
        **made.facts,
        "encoder": config["encoder"],
        "task": config.get("task"),
        "front_end": vars(front_end),
        "weights_and_scales": check.fingerprint(window),
        "config": config if target == "any" else None,  # for less flash
    }
    metadata.attach(model, {**facts, **(described or {})})
    # Window and streaming files of the other encoders alone keep every byte.
    multiscale = isinstance(find_encoder(config["encoder"]), MultiscaleConfig)
    shared = part != Part.name or target == "micro" or multiscale
    content = fb.write(model, shared=shared)
    summary = {
        "output": str(output),
        "file_bytes": len(content),
        "format": format,
        "part": part,
        **form,
        "labels": made.facts.get("labels"),
        "calibration": settings or None,
        "multiply_accumulates": per_call,
        "multiply_accumulates_per_second": (
            {part: round(count / seconds) for part, count in per_call.items()} if seconds else None
        ),
        **_check_content(content, window, facts, hop, front_end, _levels(config, front_end)),
        **made.check(content),
    }
    if target == "micro":
        summary["micro"] = micro.check(content)
    if format == "onnx":
        converted = onnx.to_onnx(content)
        summary["onnx_runtime"] = onnx.check(converted, content, quantized=quantize)
        content = converted
        summary["file_bytes"] = len(content)
    with output_file(output) as partial:
        partial.write_bytes(content)
    return summary


def build_form(
    window: fb.Model,
    *,
    mode: str,
    state: str = "internal",
    input: str,
    hop_frames: int | None = None,
    front_end: FrontEnd | BandLevels = FRONT_END,
) -> fb.Model:
    """Derive an export form from the window model.

    Args:
      window: the window model, `embed(log_mel) -> embedding`.
      mode: one of `MODES`.
      state: one of `STATES`, for a streaming model.
      input: one of `INPUTS`.
      hop_frames: frames between two embeddings of a streaming model.
      front_end: of the model's frames; of audio, if the input is PCM.

    Raises:
      A2vError: the model cannot stream.
    """
    if mode == "window":
        if input == "log_mel":
            return window
        return _with_front_end(window, front_end, stream=False)
    assert hop_frames  # as `mode` is streaming
    model = streaming.to_streaming(window, hop_frames)
    if input == "pcm":
        model = _with_front_end(model, front_end, stream=True)
    return streaming.with_internal_state(model) if state == "internal" else model


def build_offline(
    window: fb.Model,
    steps: int,
    *,
    input: str,
    hop_frames: int,
    front_end: FrontEnd | BandLevels = FRONT_END,
) -> fb.Model:
    """Derive the offline form, which computes `steps` hops of a stream at once, as a reference.

    Its PCM input starts with the silence that precedes a stream, `front_end.overlap` samples.

    Raises:
      A2vError: the model cannot stream.
    """
    model = streaming.to_offline(window, steps * hop_frames, hop_frames)
    return _with_front_end(model, front_end, stream=False) if input == "pcm" else model


def _with_front_end(model: fb.Model, front_end: FrontEnd | BandLevels, *, stream: bool) -> fb.Model:
    assert isinstance(front_end, FrontEnd)  # of a model that takes audio
    graph = front_end_model(frames_of(model), front_end)
    return streaming.with_pcm_input(model, graph, front_end.overlap if stream else 0)


def draw_slices(
    data: str,
    frames: int,
    count: int,
    seed: int,
    config: dict[str, Any],
    front_end: FrontEnd | BandLevels = FRONT_END,
) -> np.ndarray:
    """Draw calibration slices, float32 `[count, frames, bins]`.

    Slices start at random frames. The receptive field of a slice's first columns includes the zero
    padding, as after a reset. From 62 frames on it does not, as later in a stream.

    Raises:
      A2vError: the source cannot be used, or its front end is not `front_end`.
    """
    from a2v_tf.data.sources import one_line_errors, open_source
    from a2v_tf.training.batches import log_mel_crops

    batch = min(count, 32)
    batches_wanted = -(-count // batch)
    options = {name: config[name] for name in SOURCE_OPTIONS if name in config}
    if isinstance(front_end, FrontEnd):
        options["front_end"] = front_end
    if config.get("task") == "supervised" and data == config["data"]:
        options = {name: options[name] for name in ("channels", "front_end") if name in options}
        return _labelled_slices(data, frames, batch, seed, batches_wanted, options)[:count]
    source = open_source(data, **options)
    if source.front_end != front_end:
        raise A2vError(
            f"--calibration_data={data}: has the front end {source.front_end}, expected that of "
            f"the training data, {front_end}"
        )
    source.check(front_end.samples(frames))
    with one_line_errors(source):
        batches = log_mel_crops(source, frames, batch_size=batch, seed=seed, round_index=0)
        drawn = [crops for crops, _ in batches.take(batches_wanted).as_numpy_iterator()]
    return np.concatenate(drawn)[:count]


def _labelled_slices(
    data: str, frames: int, batch: int, seed: int, batches: int, options: Mapping[str, Any]
) -> np.ndarray:
    """Draw slices of the train clips of labelled data sets, as for training a classifier."""
    from a2v_tf.data.labelled import open_labelled
    from a2v_tf.training.batches import labelled_batches

    datasets = open_labelled(data, **options)
    share = -(-batch // len(datasets)) * len(datasets)
    crops = labelled_batches(datasets, frames, batch_size=share, seed=seed)(0)
    return np.concatenate([x for x, *_ in crops.take(batches).as_numpy_iterator()])


def _window_frames(config: dict[str, Any]) -> int:
    return int(config.get("frames") or convert.ANY_LENGTH)


def _check_choices(part: str, mode: str, state: str, input: str, format: str, target: str) -> None:
    for name, value, choices in (
        ("part", part, PARTS),
        ("mode", mode, MODES),
        ("state", state, STATES),
        ("input", input, INPUTS),
        ("format", format, FORMATS),
        ("target", target, TARGETS),
    ):
        if value not in choices:
            raise A2vError(f"{name} is {value!r}: expected one of {', '.join(choices)}")


def _read_head(part: str, head: pathlib.Path | str | None) -> SavedHead | None:
    """Read the head of a classifier; None for the other parts."""
    if head is None and part == ClassifierPart.name:
        raise A2vError(
            f"--part={part}: expected --head, a directory that a2v_evaluate --save_heads wrote"
        )
    if head is not None and part != ClassifierPart.name:
        raise A2vError(f"--head={head}: is for --part={ClassifierPart.name} only, not {part}")
    return None if head is None else read_head(head)


def _model_dir(
    model_dir: pathlib.Path | str | None, head: pathlib.Path | str | None, saved: SavedHead | None
) -> pathlib.Path:
    """The model directory with the encoder: a fine-tuned head's own, or the one given."""
    if saved and head and saved.has_encoder:
        if model_dir is not None:
            raise A2vError(
                f"--model_dir={model_dir}: --head={head} has an encoder of its own, fine-tuned "
                "with it; expected no --model_dir"
            )
        return pathlib.Path(head)
    if model_dir is None:
        whose = f" of the encoder on which --head={head} was trained" if head else ""
        raise A2vError(f"expected --model_dir{whose}: a directory that a2v_train wrote")
    return resolve(model_dir)


def _check_output(output: pathlib.Path, suffix: str) -> None:
    """Check that the output can be written, before the work that takes a minute."""
    with contextlib.suppress(OSError):
        output.parent.mkdir(parents=True, exist_ok=True)
    checked_output("output", str(output), suffix)


def _check_content(
    content: bytes,
    window: fb.Model,
    facts: dict[str, Any],
    hop: int,
    front_end: FrontEnd | BandLevels,
    levels: InputStats | None,
) -> dict[str, Any]:
    """Check a file's content against the requested form, `facts`; `hop` is in frames."""
    model = fb.read(content)
    found = check.check_file(model, quantized=facts["quantized"])
    if found["weights_and_scales"] != facts["weights_and_scales"]:
        raise A2vError(
            f"the file's weights and scales {found['weights_and_scales']} differ from the "
            f"encoder's {facts['weights_and_scales']}: please report this bug"
        )
    embedding = fb.names(fb.signature(model, "embed").outputs)["embedding"]
    return {
        "window_frames": frames_of(window),
        "embedding_dim": fb.shape(model.subgraphs[0].tensors[embedding])[-1],
        **found,
        "exactness": _exactness(content, window, facts, hop, front_end, levels),
    }


def _exactness(
    content: bytes,
    window: fb.Model,
    facts: dict[str, Any],
    hop: int,
    front_end: FrontEnd | BandLevels,
    levels: InputStats | None,
) -> dict[str, Any] | None:
    """Compare a file with the offline form; None for a window model that cannot stream."""
    steps = max(_CHECKED_HOPS, _CHECKED_FRAMES // hop)
    if facts["mode"] == "window":
        steps, remainder = divmod(frames_of(window), hop)
        if remainder:
            return None
    try:
        model = build_offline(
            window, steps, input=facts["input"], hop_frames=hop, front_end=front_end
        )
        offline = fb.write(model)
    except A2vError:
        return None
    quantized = facts["quantized"]
    return check.check_exactness(content, offline, steps, quantized=quantized, levels=levels)


def silent_and_loudest(front_end: FrontEnd | BandLevels) -> tuple[float, float] | None:
    """Bounds of log-mel values: of silence and above a full-scale square wave; None for levels."""
    if isinstance(front_end, BandLevels):
        return None
    loudest = 2 * hann_window(front_end).sum() + front_end.log_offset
    return math.log(front_end.log_offset), math.log(loudest)


def possible_hops(encoder: AnyEncoder, window_frames: int) -> list[int]:
    """The hops, in frames, at which an encoder can stream, in descending order.

    These are the encoder's total pooling in time, the multiples of it that divide the window, and
    its halves, at which some pools have stride 1 (see `streaming`).
    """
    step = encoder.step_frames
    multiples = [n for n in range(window_frames, step, -step) if window_frames % n == 0]
    return [*multiples, *(step >> i for i in range(step.bit_length()))]


def _hop_frames(
    hop_ms: float | None,
    mode: str,
    config: dict[str, Any],
    front_end: FrontEnd | BandLevels,
    stride: int = 0,
) -> int:
    """The hop in frames; one that divides `stride`, so that embeddings lie that far apart."""
    step = find_encoder(config["encoder"]).step_frames
    if mode == "window":
        return step
    period_ms = 1000 * front_end.period
    possible = possible_hops(find_encoder(config["encoder"]), _window_frames(config))
    hops = [hop for hop in possible if stride % hop == 0]
    if hop_ms is None:
        return next(hop for hop in hops if hop <= step)
    for hop in hops:
        if math.isclose(hop * period_ms, hop_ms):
            return hop
    choices = ", ".join(f"{hop * period_ms:g}" for hop in hops)
    why = (
        f", which divide the {stride * period_ms:g} ms from one input slice to the next (N + G of "
        "the training)"
        if len(hops) < len(possible)
        else ""
    )
    raise A2vError(f"--hop_ms={hop_ms:g}: expected one of {choices}{why}")


def _levels(config: dict[str, Any], front_end: FrontEnd | BandLevels) -> InputStats | None:
    """Statistics of the band levels that the encoder takes; None if it takes audio."""
    if isinstance(front_end, FrontEnd):
        return None
    return InputStats(config["input_mean"], config["input_variance"])
