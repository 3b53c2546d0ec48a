"""Export a trained encoder to a TFLite file.

  export_tflite --model_dir=models/mine --output=model.tflite --quantize
  export_tflite --model_dir=models/mine --output=window.tflite --quantize --mode=window
  export_tflite --model_dir=models/mine --output=npu.tflite --quantize --state=external \\
      --input=log_mel
  export_tflite --model_dir=models/mine --output=expect.tflite --quantize --mode=window \\
      --part=reconstruct

The file's ops, types and scales are checked before it is written, and its embeddings are compared
with those of the offline encoder.
"""

import textwrap
from typing import Any

from absl import flags

from a2v_tf.errors import run_app
from a2v_tf.evaluation.settings import RECONSTRUCTING
from a2v_tf.export.forms import CALIBRATION_SLICES, FORMATS, INPUTS, MODES, PARTS, STATES, TARGETS
from a2v_tf.export.part import Part
from a2v_tf.export.quantize import ACTIVATIONS, RANGES, Quantization
from a2v_tf.files import checked_output, write_json
from a2v_tf.pretrained import in_words

FLAGS = flags.FLAGS

_OF_QUANTIZE = ("calibration_data", "calibration_slices", "activations", "ranges")

_DESCRIBED = {
    "name": "name of the model",
    "author": "author of the model",
    "license": "licence of the model",
}


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string(
        "model_dir",
        None,
        f"Directory that a2v_train wrote, or {in_words()}. Not for a --head with its own encoder.",
    )
    flags.DEFINE_string("output", None, "File to write, NAME.tflite or NAME.onnx.", required=True)
    flags.DEFINE_enum(
        "format",
        "tflite",
        FORMATS,
        "tflite, or onnx for ONNX Runtime (extra a2v_tf[onnx]): states are then inputs state_* and "
        "outputs next_state_*.",
    )
    flags.DEFINE_enum(
        "target",
        "any",
        TARGETS,
        "any; or micro, a microcontroller with TFLite Micro: log-mel input and external state, and "
        "the memory that the file needs is printed (with the extra a2v_tf[micro]).",
    )
    flags.DEFINE_enum(
        "part",
        Part.name,
        PARTS,
        "What the file computes. encoder: embeddings of audio. The others have a signature more: "
        "reconstruct, the log-mel that the decoder of a model trained on cbow, skip_gram "
        "or autoencoder predicts; gap, how far apart two windows are, of a model of temporal_gap; "
        "classifier ('classify'), the scores of --head.",
    )
    flags.DEFINE_enum(
        "task",
        None,
        list(RECONSTRUCTING),
        "With --part=reconstruct: which task of a multi_head model predicts. Default: the first of "
        "these that the model was trained on.",
    )
    flags.DEFINE_string(
        "head",
        None,
        "With --part=classifier: directory of a head that a2v_evaluate --save_heads kept. A frozen "
        "encoder is taken from --model_dir; a fine-tuned one from --head itself.",
    )
    flags.DEFINE_bool(
        "quantize",
        False,
        "Quantise the encoder to int8: weights (per channel), activations and state. The PCM front "
        "end in the same file remains float.",
    )
    flags.DEFINE_enum(
        "mode",
        "streaming",
        MODES,
        "streaming: an embedding of the last window every --hop_ms; window: one per slice.",
    )
    flags.DEFINE_float(
        "hop_ms",
        None,
        "For a streaming model: milliseconds between two embeddings, 320, 160, 80, 40, 20 or 10. "
        "Default: the encoder's total pooling in time, 320 (vgg6: 80); to reconstruct from several "
        "slices, the longest hop that divides their distance. Nothing is computed twice, at any "
        "hop.",
    )
    flags.DEFINE_enum(
        "state",
        "internal",
        STATES,
        "For a streaming model. internal: in variables of the model, with a signature 'reset'; "
        "external: inputs state_* and outputs of the same names, which the caller feeds back, "
        "starting with each state's zero point.",
    )
    flags.DEFINE_enum(
        "input",
        "pcm",
        INPUTS,
        "pcm: float32 samples in [-1, 1], at the sample rate of the model's front end; log_mel: "
        "its frames, or band levels for a model of precomputed spectrograms.",
    )
    flags.DEFINE_string(
        "calibration_data",
        None,
        "With --quantize: audio that determines the int8 ranges, as in a2v_train --data. Default: "
        "the training data.",
    )
    flags.DEFINE_integer(
        "calibration_slices",
        CALIBRATION_SLICES,
        "With --quantize: number of calibration slices.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "activations",
        Quantization.activations,
        ACTIVATIONS,
        "With --quantize: int8; or int16 with int8 weights, which is nearly as exact as float but "
        "several times slower, since only TFLite's builtin kernels support it.",
    )
    flags.DEFINE_enum(
        "ranges",
        Quantization.ranges,
        sorted(RANGES),
        "With --quantize: the ranges of int8 activations. min_max: all calibration values; "
        "percentile: all but one value in 10,000 at each end; mse: the least squared error.",
    )
    flags.DEFINE_integer("seed", 0, "With --quantize: seed of the slices' draw.", lower_bound=0)
    for name, what in _DESCRIBED.items():
        flags.DEFINE_string(name, None, f"For the file's metadata: {what}.")
    flags.DEFINE_string("summary", None, "JSON file for the summary, for a2v_report.")

    @flags.multi_flags_validator(
        ["mode", "state", "hop_ms"], "--state and --hop_ms are for --mode=streaming only"
    )
    def _state_and_hop_need_streaming(values: dict[str, Any]) -> bool:
        given = FLAGS["state"].present or FLAGS["hop_ms"].present
        return values["mode"] == "streaming" or not given

    @flags.multi_flags_validator(["part", "task"], "--task is for --part=reconstruct only")
    def _task_needs_reconstruct(values: dict[str, Any]) -> bool:
        return values["part"] == "reconstruct" or not values["task"]

    @flags.multi_flags_validator(
        ["target", "state", "input"],
        "--target=micro has external state and takes log-mel: expected no other --state or --input",
    )
    def _micro_has_one_form(values: dict[str, Any]) -> bool:
        forms = {"state": "external", "input": "log_mel"}
        others = any(FLAGS[name].present and values[name] != form for name, form in forms.items())
        return values["target"] == "any" or not others

    @flags.multi_flags_validator(
        ["format", "state"], "--format=onnx has external state: expected no --state=internal"
    )
    def _onnx_has_external_state(values: dict[str, Any]) -> bool:
        internal = FLAGS["state"].present and values["state"] == "internal"
        return values["format"] == "tflite" or not internal

    @flags.multi_flags_validator(
        ["quantize", *_OF_QUANTIZE],
        f"{', '.join(f'--{name}' for name in _OF_QUANTIZE)} need --quantize",
    )
    def _these_need_quantize(values: dict[str, Any]) -> bool:
        return values["quantize"] or not any(FLAGS[name].present for name in _OF_QUANTIZE)

    @flags.multi_flags_validator(
        ["activations", "ranges"], "--ranges is for --activations=int8 only"
    )
    def _ranges_need_int8(values: dict[str, Any]) -> bool:
        return values["activations"] == "int8" or not FLAGS["ranges"].present


def main(_: list[str]) -> None:
    summary_file = FLAGS.summary and checked_output("summary", FLAGS.summary)
    from a2v_tf.export.build import export_file

    summary = export_file(
        FLAGS.model_dir,
        FLAGS.output,
        part=FLAGS.part,
        task=FLAGS.task,
        head=FLAGS.head,
        quantize=FLAGS.quantize,
        mode=FLAGS.mode,
        state=FLAGS.state,
        input=FLAGS.input,
        calibration_data=FLAGS.calibration_data,
        calibration_slices=FLAGS.calibration_slices,
        seed=FLAGS.seed,
        hop_ms=FLAGS.hop_ms,
        activations=FLAGS.activations,
        ranges=FLAGS.ranges,
        format=FLAGS.format,
        target=FLAGS.target,
        described={name: str(FLAGS[name].value) for name in _DESCRIBED if FLAGS[name].value},
    )
    print(describe(summary))
    if summary_file:
        write_json(summary_file, summary)


def describe(summary: dict[str, Any]) -> str:
    """Format the summary of `export_file` for a terminal."""
    numbers = summary["activations"]
    form = f"{summary['state']} state, " if summary["state"] else ""
    labels = summary["labels"]
    result = f"embedding [{summary['embedding_dim']}]"
    if labels:
        result = f"scores [{len(labels)}], {result}"
    lines = {
        "model": f"{summary['mode']}, {form}{numbers}: {summary['input']} -> {result}",
        "size": f"{summary['file_bytes']:,} bytes",
    }
    if labels:
        lines["labels"] = ", ".join(labels)
    if summary["part"] == "gap":
        what = "windows" if summary["mode"] == "window" else "embeddings"
        lines["gap"] = f"of two {what}, 0 to {summary['greatest_seconds']:.2f} s"
    if summary["mode"] == "streaming":
        window = summary["window_ms"]
        states = ", ".join(map(_state, summary["states"]))
        lines["hop"] = f"{summary['hop_ms']:.0f} ms; an embedding is of the last {window:.0f} ms"
        lines["state"] = f"{summary['state_bytes']:,} bytes: {states}"
    lines["arithmetic"] = _arithmetic_line(summary)
    calibration = " and calibration" if summary["quantized"] else ""
    lines["ops"] = ", ".join(f"{kind}={count}" for kind, count in summary["ops"].items())
    lines["weights, scales"] = (
        f"{summary['weights_and_scales']}, as in every file of this encoder{calibration}"
    )
    if summary["ranges"]:
        lines["ranges"] = f"{summary['ranges']}, of the int8 activations"
    lines["exactness"] = _exactness_line(summary["exactness"])
    if reconstruct := summary.get("reconstruct"):
        lines["reconstruct"] = _reconstruct_line(reconstruct)
    if memory := summary.get("micro"):
        lines["microcontroller"] = _memory_line(memory)
    if summary["format"] == "onnx":
        lines["ONNX Runtime"] = _exactness_line(summary["onnx_runtime"], "the TFLite file's")
    rows = [
        textwrap.fill(text, 100, initial_indent=f"  {name:<17}", subsequent_indent=" " * 19)
        for name, text in lines.items()
    ]
    return "\n".join([f"Wrote {summary['output']}", *rows])


def _state(state: dict[str, Any]) -> str:
    return f"{state['name']} {state['dtype']}[{','.join(map(str, state['shape']))}]"


def _arithmetic_line(summary: dict[str, Any]) -> str:
    parts = summary["multiply_accumulates_per_second"] or summary["multiply_accumulates"]
    each = "second of audio" if summary["multiply_accumulates_per_second"] else "window"
    counted = [f"{parts['encoder'] / 1e6:,.1f}M in the encoder"]
    if parts["front_end"]:
        counted.append(f"{parts['front_end'] / 1e6:,.1f}M in the front end")
    return f"{' and '.join(counted)}, multiply-accumulates for each {each}"


def _memory_line(memory: dict[str, Any]) -> str:
    flash = f"{memory['flash_bytes']:,} bytes of flash for the file, without code"
    if memory["arena_bytes"] is None:
        return f"{flash}; the arena was not measured: pip install 'a2v_tf[micro]'"
    same = "equal" if memory["max_steps"] == 0 else f"within {memory['max_steps']} step of"
    return (
        f"{flash}; an arena of {memory['arena_bytes']:,} bytes (64-bit); embeddings in TFLite "
        f"Micro {same} the reference kernels'"
    )


def _exactness_line(
    exactness: dict[str, Any] | None, reference: str = "the offline encoder's"
) -> str:
    if exactness is None:
        return "not compared: this encoder has no offline form"
    count = exactness["steps"]
    subject = "its embedding equals" if count == 1 else f"{count} steps equal"
    if exactness["bit_exact"]:
        return f"{subject} {reference} bit for bit"
    return (
        f"{subject} {reference} within {exactness['max_abs_difference']:.2g} "
        f"(allowed: {exactness['tolerance']:.2g})"
    )


def _reconstruct_line(made: dict[str, Any]) -> str:
    inputs, predicted = (
        ", ".join(map(str, made[name])) for name in ("input_frames", "predicted_frames")
    )
    exact = "bit for bit" if made["exactness"]["bit_exact"] else "within the tolerance"
    return (
        f"{made['head']}: {made['input']} -> log_mel {made['shape']}, from slices at the frames "
        f"{inputs} those at {predicted}; {made['multiply_accumulates'] / 1e6:,.1f}M "
        f"multiply-accumulates for each call; equals the decoder alone {exact}"
    )


def run() -> None:
    run_app(main, define_flags)


if __name__ == "__main__":
    run()
