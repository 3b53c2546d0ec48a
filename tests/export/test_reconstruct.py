"""`--part=reconstruct`: encoder and decoder in one file."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.export import build, reconstruct
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import probe_levels, probe_signal
from a2v_tf.export.decoder import folded
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.models.decoder import build_decoder
from a2v_tf.runtime import metadata
from a2v_tf.runtime.embedder import KERNELS, Embedder, make_interpreter
from a2v_tf.runtime.reconstructor import Reconstructor
from a2v_tf.specs import ENCODERS, InputStats, Slicing
from tests.export.conftest import randomise_batch_norm, write_trained
from tests.tiny_models import SLICING, STATS, THIRD_OCTAVES

N = SLICING.frames
TASKS = ["cbow", *(pytest.param(x, marks=pytest.mark.slow) for x in ("skip_gram", "autoencoder"))]
SLICE = FRONT_END.samples(N)


def run(content: bytes, kernels: str = "xnnpack", **values: np.ndarray) -> np.ndarray:
    """What `reconstruct` gives, `[K, N, F]`."""
    runner = make_interpreter(content, kernels).get_signature_runner("reconstruct")
    return runner(**{name: value[None] for name, value in values.items()})["log_mel"][0]


def excerpt_of(layout: reconstruct.Layout) -> np.ndarray:
    return probe_signal(FRONT_END.samples(layout.frames))


# Where slices lie --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "inputs", "predicted"),
    [
        ("cbow", [0, 98, 294, 392], [196]),
        ("skip_gram", [0], [-196, -98, 98, 196]),
        ("autoencoder", [0], [0]),
    ],
)
def test_layout_of_the_papers(task: str, inputs: list[int], predicted: list[int]) -> None:
    layout = reconstruct.Layout.of(task, Slicing())
    assert (layout.inputs, layout.predicted) == (inputs, predicted)
    assert layout.frames == inputs[-1] + 96


def test_layout_of_a_prediction_from_the_past_ends_before_what_is_predicted() -> None:
    past = Slicing(context_before=2, context_after=0)
    layout = reconstruct.Layout.of("cbow", past)
    assert (layout.inputs, layout.predicted, layout.frames) == ([0, 98], [196], 194)


# The decoder -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True], ids=["mirror", "dense"])
@pytest.mark.parametrize("encoder", ["small", "vgg6", "multiscale"])
def test_the_folded_decoder_is_the_decoder(encoder: str, dense: bool) -> None:
    keras.utils.set_random_seed(0)
    stats = InputStats(-3.0, 4.0)
    # Sizes that no pool divides: the decoder crops.
    decoder = build_decoder(ENCODERS[encoder], 12, 28, 29, 2, stats, dense=dense)
    randomise_batch_norm(decoder)
    z = np.random.default_rng(0).normal(0, 3, (1, 12)).astype(np.float32)
    expected = np.asarray(decoder(z))
    got = np.asarray(folded(decoder)(z)) * 2.0 - 3.0
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert np.std(expected) > 0.01


def test_the_decoder_is_int8_from_the_first_op_to_the_last(part_of: Callable) -> None:
    decoder = part_of("cbow", "int8").decoder
    graph = fb.single_graph(decoder)
    kinds = [fb.kind(decoder, op) for op in graph.subgraph.operators]
    first, last = kinds.index("QUANTIZE"), kinds.index("DEQUANTIZE")
    assert kinds[:first] == ["RESHAPE"]
    assert kinds[last + 1 :] == ["MUL", "ADD"]
    assert kinds.count("RESIZE_NEAREST_NEIGHBOR") == 5 + 1  # a pool each, and the global one
    for op in graph.subgraph.operators[first + 1 : last]:
        assert fb.dtype(graph.tensor(int(op.outputs[0]))) == "INT8"


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_float_equals_keras(model_of: Callable, part_of: Callable, file_of: Callable, task) -> None:
    layout = part_of(task, "float").layout
    pcm = excerpt_of(layout)
    frames = log_mel(pcm).numpy()
    slices = np.stack([frames[i : i + N] for i in layout.inputs])
    expected = model_of(task)[1].predict_on_batch(slices[None])[task][0]
    got = run(file_of(task, "float", "window"), pcm=pcm)
    assert got.shape == (len(layout.predicted), N, 64)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_int8_is_near_float(part_of: Callable, file_of: Callable, task: str) -> None:
    pcm = excerpt_of(part_of(task, "int8").layout)
    got, expected = (run(file_of(task, n, "window"), pcm=pcm) for n in ("int8", "float"))
    # Measured: 0.02 to 0.08 of the deviation, of untrained models on 8 calibration slices.
    assert np.abs(got - expected).mean() < 0.12 * np.std(expected)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("numbers", ["int8", "float"])
def test_samples_of_the_hidden_slice_change_no_bit(
    part_of: Callable, file_of: Callable, numbers: str, kernels: str
) -> None:
    layout, content = part_of("cbow", numbers).layout, file_of("cbow", numbers, "window")
    pcm = excerpt_of(layout)
    (first,) = layout.predicted
    start = first * FRONT_END.hop_length
    muted = pcm.copy()
    muted[start : start + SLICE] = np.random.default_rng(0).uniform(-1, 1, SLICE)
    expected = run(content, kernels, pcm=pcm)
    np.testing.assert_array_equal(run(content, kernels, pcm=muted), expected)
    muted[start - 480] += 0.5  # of the slice before
    assert not np.array_equal(run(content, kernels, pcm=muted), expected)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("state", ["internal", "external"])
@pytest.mark.parametrize("task", TASKS)
def test_stream_equals_window(
    part_of: Callable, file_of: Callable, task: str, state: str, kernels: str
) -> None:
    """Embeddings of slices that each begin a stream reconstruct what the window file does."""
    layout = part_of(task, "int8").layout
    pcm = excerpt_of(layout)
    pcm[: FRONT_END.overlap] = 0.0  # as before a stream
    window = file_of(task, "int8", "window")
    streaming = file_of(task, "int8", "streaming", "pcm", state)
    embedder = Embedder(streaming, kernels)
    embeddings = []
    for first in layout.inputs:
        start = first * FRONT_END.hop_length
        pcm[start : start + FRONT_END.overlap] = 0.0
        embedder.reset()
        rest = pcm[start + FRONT_END.overlap : start + SLICE]
        embeddings.append(embedder.stream(rest)[-1])
    got = run(streaming, kernels, embeddings=np.stack(embeddings))
    np.testing.assert_array_equal(got, run(window, kernels, pcm=pcm))


@pytest.mark.parametrize("kernels", KERNELS)
def test_stream_equals_offline(part_of: Callable, file_of: Callable, kernels: str) -> None:
    part, hop = part_of("cbow", "int8"), 4
    steps = part.layout.frames // hop + 9
    pcm = probe_signal(steps * hop * FRONT_END.hop_length)
    whole = np.concatenate([np.zeros(FRONT_END.overlap, np.float32), pcm])
    offline = build.build_offline(part.window, steps, input="pcm", hop_frames=hop)
    embed = make_interpreter(fb.write(offline), kernels).get_signature_runner("embed")
    offline_embeddings = embed(pcm=whole[None])["embedding"]
    streaming = file_of("cbow", "int8", "streaming")
    embedder = Embedder(streaming, kernels)
    for _ in range(2):  # the second time after `reset`
        streamed = np.concatenate([embedder.stream(x) for x in np.array_split(pcm, 7)])
        rows = [(first + N) // hop - 1 for first in part.layout.inputs]
        for late in (0, 5, 9):
            z, expected = (e[np.add(rows, late)] for e in (streamed, offline_embeddings))
            got = run(streaming, kernels, embeddings=z)
            alone = run(fb.write(part.decoder), kernels, embeddings=expected)
            np.testing.assert_array_equal(got, alone)
        embedder.reset()


def test_embeddings_are_those_of_the_encoders_file(part_of: Callable, file_of: Callable) -> None:
    part = part_of("cbow", "int8")
    for mode in ("window", "streaming"):
        form = build.build_form(part.window, mode=mode, input="pcm", hop_frames=4)
        encoder, ours = (Embedder(x) for x in (fb.write(form), file_of("cbow", "int8", mode)))
        pcm = probe_signal(encoder.input_shape[0])
        np.testing.assert_array_equal(ours.embed(pcm), encoder.embed(pcm))


def test_a_file_may_take_log_mel(part_of: Callable, file_of: Callable) -> None:
    pcm = excerpt_of(part_of("cbow", "float").layout)
    got = run(file_of("cbow", "float", "window", "log_mel"), log_mel=log_mel(pcm).numpy())
    expected = run(file_of("cbow", "float", "window"), pcm=pcm)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


# The export --------------------------------------------------------------------------------------


def test_export(
    model_of: Callable, part_of: Callable, short_calibration: np.ndarray, tmp_path: pathlib.Path
) -> None:
    directory, _ = model_of("cbow")
    output = tmp_path / "m.tflite"
    made = build.export_file(
        directory, output, part="reconstruct", quantize=True, calibration=short_calibration
    )
    assert made["exactness"]["bit_exact"]
    assert made["reconstruct"]["exactness"]["bit_exact"]
    assert made["hop_ms"] == 40.0  # the longest that divides 2 (N + G) = 68 frames
    converted_before = part_of("cbow", "int8").facts["decoder_weights_and_scales"]
    assert made["reconstruct"]["decoder_weights_and_scales"] == converted_before
    described = metadata.read(output)
    facts = described["facts"]
    assert facts["part"] == "reconstruct"
    assert facts["head"] == facts["task"] == "cbow"
    assert (facts["slice_frames"], facts["gap_frames"]) == (N, 2)
    assert (facts["context_before"], facts["context_after"]) == (1, 1)
    assert (facts["input_frames"], facts["predicted_frames"]) == ([0, 68], [34])
    assert facts["front_end"]["log_offset"] == FRONT_END.log_offset
    assert described["description"].endswith("log-mel slices that the task cbow predicts.")


def refused(directory: pathlib.Path | str, output: pathlib.Path, **more: object) -> str:
    with pytest.raises(A2vError) as error:
        build.export_file(directory, output, part="reconstruct", **more)
    assert not output.exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_exported(model_of: Callable, tmp_path: pathlib.Path) -> None:
    directory, _ = model_of("cbow")
    output = tmp_path / "m.tflite"
    message = refused(directory, output, hop_ms=80)
    assert message.startswith("--hop_ms=80: expected one of 40, 20, 10, which divide the 680 ms")
    message = refused(directory, output, task="skip_gram", mode="window")
    assert message.endswith("was trained on cbow: expected a model of skip_gram")
    message = refused(directory, output, task="triplet")
    assert message == "--task=triplet: expected one of cbow, skip_gram, autoencoder"
    message = refused("pretrained", output)
    assert message.endswith("expected a model of cbow or skip_gram or autoencoder")


def test_a_whitened_encoder_is_refused(tmp_path: pathlib.Path) -> None:
    model = write_trained(tmp_path, "autoencoder")
    encoder = model.get_layer("encoder")
    last = encoder.get_layer("embedding")
    last.set_weights([2 * weights for weights in last.get_weights()])
    encoder.save(tmp_path / "encoder.keras")
    message = refused(tmp_path, tmp_path / "m.tflite")
    assert message.endswith("expected a model trained without --whiten")


@pytest.mark.slow  # converts 8 models
@pytest.mark.parametrize(
    ("tasks", "config"),
    [
        (["cbow"], {"encoder": "large"}),
        (["skip_gram"], {"encoder": "vgg6"}),
        (["cbow"], {"encoder": "multiscale"}),
        (["cbow"], {"slice_decoder": "dense"}),
        (["skip_gram"], {"slice_decoder": "dense", "encoder": "multiscale"}),
        (["autoencoder"], {"variant": "denoising"}),
        (["autoencoder"], {"variant": "variational"}),
        (["temporal_gap", "skip_gram", "autoencoder"], {"task": "autoencoder"}),
    ],
    ids=lambda x: "-".join(x if isinstance(x, list) else x.values()),
)
@pytest.mark.parametrize("mode", ["window", "streaming"])
def test_every_model(
    tmp_path: pathlib.Path,
    short_calibration: np.ndarray,
    tasks: list[str],
    config: dict,
    mode: str,
) -> None:
    task = config.get("task", tasks[0])
    options = {name: value for name, value in config.items() if name != "task"}
    model = write_trained(tmp_path, *tasks, **options)
    results = {}
    for quantize in (True, False):
        output = tmp_path / f"{quantize}.tflite"
        made = build.export_file(
            tmp_path,
            output,
            part="reconstruct",
            task=task,
            mode=mode,
            quantize=quantize,
            calibration=short_calibration if quantize else None,
        )
        assert made["reconstruct"]["head"] == task
        if quantize:
            assert made["exactness"]["bit_exact"]
            assert made["reconstruct"]["exactness"]["bit_exact"]
        if mode == "window":
            pcm = probe_signal(FRONT_END.samples(made["reconstruct"]["input_frames"][-1] + N))
            results[quantize] = run(output.read_bytes(), pcm=pcm)
    if mode == "window":
        frames = log_mel(pcm).numpy()
        taken = np.stack([frames[i : i + N] for i in made["reconstruct"]["input_frames"]])
        shape = model.input_shape[1:]
        given = np.zeros((1, *shape), np.float32)
        # Slices of other heads stand behind those of this one, or before: all are the same here.
        given[0, :] = taken[0] if len(taken) < shape[0] else taken
        expected = model.predict_on_batch(given)[task][0]
        np.testing.assert_allclose(results[False], expected, rtol=1e-2, atol=1e-2)
        # Measured: up to 0.11 of the deviation (variational), of untrained models on 8 slices.
        assert np.abs(results[True] - results[False]).mean() < 0.15 * np.std(results[False])


@pytest.mark.slow
def test_band_levels(tmp_path: pathlib.Path) -> None:
    model = write_trained(tmp_path, "cbow", bins=29, front_end=THIRD_OCTAVES)
    output = tmp_path / "m.tflite"
    build.export_file(tmp_path, output, part="reconstruct", mode="window", input="log_mel")
    levels = probe_levels(100, 29, STATS)
    reconstructor = Reconstructor(output)
    slices = np.stack([levels[i : i + N] for i in reconstructor.input_frames])
    expected = model.predict_on_batch(slices[None])["cbow"][0]
    np.testing.assert_allclose(reconstructor.of_excerpt(levels), expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(A2vError, match="the file takes log-mel"):
        reconstructor.feed(np.zeros(100, np.float32))


@pytest.mark.slow
def test_int16_is_nearer_to_float(
    model_of: Callable,
    part_of: Callable,
    file_of: Callable,
    short_calibration: np.ndarray,
    tmp_path: pathlib.Path,
) -> None:
    output = tmp_path / "m.tflite"
    build.export_file(
        model_of("cbow")[0],
        output,
        part="reconstruct",
        mode="window",
        quantize=True,
        activations="int16",
        calibration=short_calibration,
    )
    pcm = excerpt_of(part_of("cbow", "float").layout)
    expected, int8 = (run(file_of("cbow", n, "window"), pcm=pcm) for n in ("float", "int8"))
    int16 = run(output.read_bytes(), pcm=pcm)
    # What is left is the error of the weights, which are int8 in both.
    assert np.abs(int16 - expected).mean() < 0.5 * np.abs(int8 - expected).mean()
