"""Write the golden files of the Android demo's Java tests: sounds and Python's results for them.

python android_demo/export_golden.py

Everything comes from seeds. `core` gets PCM and its log-mel, log-mel turned into sound, taught
sounds with queries and their nearest neighbours, and Matplotlib's colours; `runtime` gets int8
streaming models of an untrained encoder, PCM and the embeddings of every hop. Numbers are
little-endian: `.s16` int16, `.f32` float32. What else a test must know is in `index.properties`.
`damage.csv` has damaged copies of the models, and what Python's checks say of them.
"""

import json
import pathlib
import random
import re
import struct
import tempfile
from unittest import mock

import keras
import matplotlib
import numpy as np
from absl import app, flags
from flatbuffers.table import Table

from a2v_tf.evaluation import inversion
from a2v_tf.evaluation.saved_heads import Head, SavedHead, weights_key
from a2v_tf.export import build, convert, metadata
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import probe_signal
from a2v_tf.export.classifier import ClassifierPart
from a2v_tf.export.forms import MODES
from a2v_tf.export.gap import GapPart
from a2v_tf.export.part import Origin, Part
from a2v_tf.export.quantize import DEFAULT, Quantization
from a2v_tf.export.reconstruct import Reconstruct, open_decoder
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel, pcm_to_float
from a2v_tf.models.encoder import build_encoder
from a2v_tf.runtime.classifier import Classifier
from a2v_tf.runtime.embedder import Embedder, make_interpreter
from a2v_tf.runtime.flatbuffer import root, slot_of, tables
from a2v_tf.runtime.nearest import Examples
from a2v_tf.runtime.verify import flaw
from a2v_tf.specs import ENCODERS, EncoderConfig, InputStats, Slicing
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.task import Setup, find_tasks
from a2v_tf.training.model_dir import read_config, write_config

FLAGS = flags.FLAGS

HERE = pathlib.Path(__file__).parent
CORE = "core/src/test/resources/golden"
RUNTIME = "runtime/src/test/resources/golden"
KERNELS = ("xnnpack", "builtin")
INVERSION_ITERATIONS = 8
# Telephone, birds, bats, and the Fourier transform's own bins.
FRONT_ENDS = {
    "telephone": FrontEnd(8_000, 200, 80, 256, 64, 60.0, 3_900.0, 5e-3),
    "birds": FrontEnd(48_000, 960, 480, 1_024, 96, 500.0, 16_000.0, 2.4e-2),
    "bats": FrontEnd(96_000, 384, 192, 512, 64, 10_000.0, 46_800.0, 9.6e-3),
    "stft": FrontEnd(mel_bins=0),
}
SOUND_SAMPLES = 4_877  # 30 frames, and 77 samples that complete none
# The small encoder with half the channels: the same ops in a smaller file.
ENCODER = EncoderConfig(channels=(4, 8, 16, 32, 64), embedding_dim=128)
TINY = EncoderConfig(channels=(2, 2, 2, 4, 4), embedding_dim=8)
STATS = InputStats(-3.0, 4.0)
WINDOW_FRAMES, HOP_FRAMES, HOPS = 96, 8, 32  # 80 ms; the window is full after 12 hops
LABELS = ("kettle", 'the "old" door\\', "狗 🐕", "tap\tdrip")
LOUDEST_PCM = 32_767

# The model of which other parts are exported.
PART_ENCODER = EncoderConfig(channels=(4, 4, 4, 8, 8), embedding_dim=16)
PART_TASKS = ("cbow", "temporal_gap")
PART_SLICING = Slicing(frames=32, context=1, gap=2, max_frames=132)
PART_HOP_FRAMES = 2  # N + G is a multiple
PARTS = {"classifier": ClassifierPart, "gap": GapPart, "reconstruct": Reconstruct}
PART_LABELS = ("kettle", "door", "狗")
PART_SECOND = 21_000  # sample where the second window of a gap starts
PART_START = 7_003  # sample of the PCM

DAMAGED = ("internal.tflite", "external.tflite", "log_mel.tflite", "reconstruct_streaming.tflite")
DAMAGED_COPIES = 100  # of each
TABLES_BYTES = 24_000  # at the end of a file: the tables, and few weights
EXTREMES = (0, 1, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x0000FFFF, 0x7F800000)

Files = dict[str, bytes]


def golden_files() -> Files:
    """Every file, by its path in `android_demo/`."""
    parts = {
        CORE: {
            **front_end_files(),
            **other_front_end_files(),
            **inversion_files(),
            **neighbour_files(),
            **colour_files(),
        },
        RUNTIME: runtime_files(),
    }
    return {f"{folder}/{name}": part[name] for folder, part in parts.items() for name in part}


# The front end ------------------------------------------------------------------------------------


def sounds() -> dict[str, np.ndarray]:
    """int16 `[SOUND_SAMPLES]` each, from the quietest to the loudest possible PCM."""
    rng = np.random.default_rng(11)
    time = np.arange(SOUND_SAMPLES) / FRONT_END.sample_rate
    click = np.zeros(SOUND_SAMPLES)
    click[2_400] = 1.0
    waves = {
        "silence": np.zeros(SOUND_SAMPLES),
        "sine": np.sin(2 * np.pi * 1_000 * time),
        "square": np.sign(np.sin(2 * np.pi * 440 * time + 0.1)),
        "sweep": 0.5 * np.sin(2 * np.pi * (60 * time + 12_800 * time**2)),
        "noise": 0.1 * rng.standard_normal(SOUND_SAMPLES),
        "quiet_noise": 2e-4 * rng.standard_normal(SOUND_SAMPLES),
        "click": click,
    }
    return {name: as_int16(wave) for name, wave in waves.items()}


def as_int16(wave: np.ndarray) -> np.ndarray:
    """PCM of a wave in [-1, 1]."""
    return np.round(LOUDEST_PCM * np.clip(wave, -1, 1)).astype("<i2")


def stream_log_mel(pcm: np.ndarray, spec: FrontEnd = FRONT_END) -> np.ndarray:
    """Log-mel of a stream of int16 PCM from its start, float32 `[samples // 160, 64]`."""
    return log_mel(pcm_to_float(np.pad(pcm, (spec.overlap, 0))), spec).numpy()


def front_end_files() -> Files:
    files = {"front_end/index.properties": properties(sounds=",".join(sounds()))}
    for name, pcm in sounds().items():
        files[f"front_end/{name}.s16"] = pcm.tobytes()
        files[f"front_end/{name}.f32"] = as_bytes(stream_log_mel(pcm))
    return files


def other_front_end_files() -> Files:
    """A sweep through the whole band with some noise, and its frames, by other front ends."""
    files = {"front_ends/index.properties": properties(names=",".join(FRONT_ENDS))}
    for name, spec in FRONT_ENDS.items():
        samples = 20 * spec.hop_length + 7
        time = np.arange(samples) / spec.sample_rate
        sweep = np.sin(np.pi * spec.sample_rate / 2 / time[-1] * time**2)
        noise = 1e-3 * np.random.default_rng(16).standard_normal(samples)
        pcm = as_int16(0.9 * sweep + noise)
        files[f"front_ends/{name}.json"] = json.dumps({"front_end": vars(spec)}).encode()
        files[f"front_ends/{name}.s16"] = pcm.tobytes()
        files[f"front_ends/{name}.f32"] = as_bytes(stream_log_mel(pcm, spec))
    return files


def inversion_files() -> Files:
    """The sweep's log-mel as sound, and two steps towards it.

    `magnitudes.f32`, `[frames, 257]`, are those of the mel magnitudes, with frames added at both
    ends. `griffin_lim.f32` is the sound of them after a few iterations, in float64: after all of
    them, the last bits of the window would decide.
    """
    frames = stream_log_mel(sounds()["sweep"])
    mel = np.maximum(np.exp(frames) - FRONT_END.log_offset, 0)
    margin = inversion.MARGIN
    found = inversion.magnitudes(np.pad(mel, ((margin, margin), (0, 0)), mode="edge"))
    sound = inversion.griffin_lim(found.astype(np.float64), iterations=INVERSION_ITERATIONS)
    return {
        "inversion/index.properties": properties(iterations=INVERSION_ITERATIONS),
        "inversion/magnitudes.f32": as_bytes(found.T),
        "inversion/griffin_lim.f32": as_bytes(sound),
        "inversion/sound.f32": as_bytes(inversion.invert(frames)),
    }


# Taught sounds ------------------------------------------------------------------------------------


def neighbour_files() -> Files:
    """Taught sounds in the app's format, queries, and a line for each with the expected result."""
    rng = np.random.default_rng(12)
    centres = 2 * rng.standard_normal((len(LABELS), 16))
    taught = {
        label: as_float32(centre + rng.standard_normal((count, 16)))
        for label, centre, count in zip(LABELS, centres, (12, 1, 7, 5), strict=True)
    }
    taught[LABELS[3]][0] = taught[LABELS[2]][0]  # two labels at the same distance of everything
    queries = [*as_float32(2.5 * rng.standard_normal((40, 16))), taught[LABELS[2]][0]]
    labels = [label for label, embeddings in taught.items() for _ in embeddings]
    examples = Examples(np.concatenate(list(taught.values())), labels, labels)
    means = {label: embeddings.mean(axis=0) for label, embeddings in taught.items()}
    lines = []
    for query in queries:
        nearest = examples.nearest(query)
        distances = {label: float(np.linalg.norm(query - mean)) for label, mean in means.items()}
        prototype = min(distances, key=distances.get)
        found = [LABELS.index(nearest.label), nearest.votes, nearest.of, nearest.distance]
        lines.append([*found, LABELS.index(prototype), distances[prototype]])
    return {
        "neighbours/taught.json": taught_json(taught),
        "neighbours/queries.f32": as_bytes(np.stack(queries)),
        # label, votes, of, distance; nearest prototype, its distance. Labels by index.
        "neighbours/nearest.csv": "".join(
            ",".join(map(str, line)) + "\n" for line in lines
        ).encode(),
    }


def taught_json(taught: dict[str, np.ndarray]) -> bytes:
    """The JSON of `Neighbours.toJson`, apart from the digits of its numbers."""
    sounds = [
        {"label": label, "embeddings": embeddings.tolist()} for label, embeddings in taught.items()
    ]
    content = {
        "format": "a2v_tf taught sounds",
        "version": 1,
        "unknownAbove": 4.5,
        "sounds": sounds,
    }
    return json.dumps(content).encode()


def colour_files() -> Files:
    """Matplotlib's colour maps: 256 colours of red, green and blue, one byte each."""
    return {
        f"colours/{name}.rgb": matplotlib.colormaps[name](range(256), bytes=True)[:, :3].tobytes()
        for name in ("magma", "viridis")
    }


# The runtime --------------------------------------------------------------------------------------


def runtime_files() -> Files:
    """Models, PCM and embeddings `[hops, d]`, which are the same for both kinds of state.

    `window.tflite` and `log_mel.tflite` are exported files that the app has to refuse.
    """
    window = window_model(ENCODER)
    models = {state: streaming_file(window, state) for state in build.STATES}
    pcm = runtime_pcm()
    files = {"pcm.s16": pcm.tobytes()}
    for kernels in KERNELS:
        files[f"embeddings_{kernels}.f32"] = as_bytes(embeddings(models, pcm, kernels))
    hop = HOP_FRAMES * FRONT_END.hop_length
    files["index.properties"] = properties(
        hop_samples=hop, embedding_dim=ENCODER.embedding_dim, hops=HOPS, kernels=",".join(KERNELS)
    )
    files |= {f"{state}.tflite": content for state, content in models.items()}
    tiny = window_model(TINY)
    files["window.tflite"] = file_of(tiny, mode="window", state=None, input="pcm")
    files["log_mel.tflite"] = file_of(tiny, mode="streaming", state="internal", input="log_mel")
    files |= part_files(pcm)
    files["damage.csv"] = damage_csv(files)
    return files


def runtime_pcm() -> np.ndarray:
    """int16 `[HOPS * hop]`: a sweep, bursts and silence, then noise up to full scale."""
    samples = HOPS * HOP_FRAMES * FRONT_END.hop_length
    quiet, loud = samples * 3 // 4, samples - samples * 3 // 4
    noise = np.random.default_rng(13).uniform(-1, 1, loud) * np.linspace(0, 1, loud)
    return as_int16(np.concatenate([probe_signal(quiet), noise]))


def window_model(config: EncoderConfig) -> fb.Model:
    """An untrained int8 encoder over a window of log-mel, calibrated on the golden PCM."""
    keras.utils.set_random_seed(14)
    encoder = build_encoder(config, WINDOW_FRAMES, FRONT_END.mel_bins, STATS)
    frames = stream_log_mel(runtime_pcm())
    slices = np.stack([frames[i : i + WINDOW_FRAMES] for i in range(0, len(frames) - 95, 20)])
    how = Quantization(loudest=build.silent_and_loudest(FRONT_END))
    return convert.window_model(encoder, slices, how)


def streaming_file(window: fb.Model, state: str) -> bytes:
    return file_of(window, mode="streaming", state=state, input="pcm")


def file_of(window: fb.Model, *, mode: str, state: str | None, input: str) -> bytes:
    """A file as written by `export_tflite`, with metadata."""
    form = {"mode": mode, "state": state, "input": input}
    model = build.build_form(window, **form, hop_frames=HOP_FRAMES)
    period_ms = 1000 * FRONT_END.period
    facts = {
        "encoder": "untrained",
        "front_end": vars(FRONT_END),
        "hop_ms": period_ms * HOP_FRAMES if mode == "streaming" else None,
        "quantized": True,
        "window_ms": 1000 * FRONT_END.seconds(WINDOW_FRAMES),
        **form,
    }
    metadata.attach(model, facts)
    return fb.write(model)


def embeddings(models: dict[str, bytes], pcm: np.ndarray, kernels: str) -> np.ndarray:
    """Embeddings of the PCM, float32 `[HOPS, d]`, the same for both kinds of state.

    Raises:
      ValueError: they differ.
    """
    wave = pcm_to_float(pcm).numpy()
    results = [np.stack(Embedder(model, kernels).stream(wave)) for model in models.values()]
    if not all(np.array_equal(result, results[0]) for result in results):
        raise ValueError(f"the models {list(models)} differ on {kernels} kernels")
    return results[0]


# Other parts --------------------------------------------------------------------------------------


def part_files(pcm: np.ndarray) -> Files:
    """Files of the other parts of an untrained model, and what they compute of the PCM."""
    wave = pcm_to_float(pcm).numpy()
    files = {}
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(ENCODERS, tiny=PART_ENCODER):
        origin = part_origin(pathlib.Path(folder))
        for part, make in PARTS.items():
            made = make(origin)
            for mode in MODES:
                content = part_file(made, origin, mode)
                files[f"{part}_{mode}.tflite"] = content
                for kernels in KERNELS:
                    result = result_of(content, wave, kernels)
                    files[f"{part}_{mode}_{kernels}.f32"] = as_bytes(result)
    return files


def part_origin(folder: pathlib.Path) -> Origin:
    """Write a model directory, and convert its encoder."""
    keras.utils.set_random_seed(16)
    setup = Setup(PART_ENCODER, PART_SLICING, FRONT_END.mel_bins, STATS)
    model = multi_head.build(find_tasks(PART_TASKS), setup)
    strengthen(model.get_layer("cbow_decoder"))
    model.get_layer("encoder").save(folder / "encoder.keras")
    model.save(folder / "model.keras")
    config = {
        **{"task": "multi_head", "heads": PART_TASKS, "encoder": "tiny"},
        **{"frames": PART_SLICING.frames, "bins": FRONT_END.mel_bins},
        **{"context": PART_SLICING.context, "gap": PART_SLICING.gap},
        **{"max_frames": PART_SLICING.max_frames},
        **{"input_mean": STATS.mean, "input_variance": STATS.variance},
        "front_end": vars(FRONT_END),
    }
    write_config(folder, config)
    frames = stream_log_mel(runtime_pcm())
    count = len(frames) // PART_SLICING.frames
    slices = frames[: count * PART_SLICING.frames].reshape(count, PART_SLICING.frames, -1)
    window = convert.model_of(folder, lambda: slices, {})
    return Origin(
        folder,
        read_config(folder),
        window,
        lambda: slices,
        DEFAULT,
        trained=open_decoder(folder, None),
        head=untrained_head(model.get_layer("encoder"), convert.embeddings_of(window, slices)),
    )


def untrained_head(encoder: keras.Model, embeddings: np.ndarray) -> SavedHead:
    """A linear head, as `a2v_evaluate --save_heads` would keep it."""
    kernel = np.random.default_rng(18).normal(0, 1, (embeddings.shape[1], len(PART_LABELS)))
    kernel /= embeddings.std() * len(kernel) ** 0.5
    head = Head(PART_LABELS, ((as_float32(kernel), np.zeros(len(PART_LABELS), np.float32)),))
    facts = {"depends_on": {"encoder": weights_key(encoder)}}
    return SavedHead(head, facts, embeddings, None)


def strengthen(decoder: keras.Model) -> None:
    """Replace batch norm's statistics, without which the output would be almost constant."""
    rng = np.random.default_rng(17)
    for layer in decoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            shift = rng.normal(0, 0.3, shape)
            layer.set_weights([rng.uniform(0.5, 1.5, shape), shift, shift, np.full(shape, 0.1)])


def part_file(made: Part, origin: Origin, mode: str) -> bytes:
    """A file as written by `export_tflite --part`."""
    form = {"mode": mode, "state": "internal" if mode == "streaming" else None, "input": "pcm"}
    model = build.build_form(made.extended(origin.window), **form, hop_frames=PART_HOP_FRAMES)
    model = made.signed(model, mode)
    period_ms = 1000 * FRONT_END.period
    facts = {
        "encoder": "untrained",
        "front_end": vars(FRONT_END),
        "hop_ms": period_ms * PART_HOP_FRAMES if mode == "streaming" else None,
        "quantized": True,
        "window_ms": 1000 * FRONT_END.seconds(PART_SLICING.frames),
        **form,
        **made.facts,
    }
    metadata.attach(model, facts)
    return fb.write(model)


def result_of(content: bytes, wave: np.ndarray, kernels: str) -> np.ndarray:
    """What a file computes of the window or slices from `PART_START` on."""
    facts = metadata.read(content)["facts"]
    part, is_window = facts["part"], facts["mode"] == "window"
    end = PART_START + FRONT_END.samples(PART_SLICING.frames)
    if part == "classifier":
        classifier = Classifier(content, kernels)
        chunks = [wave[PART_START:end]] if is_window else hops(wave, end)
        return [classifier.classify(chunk).scores for chunk in chunks][-1]
    runner = make_interpreter(content, kernels).get_signature_runner(part)
    if part == "gap":
        ends = [end, end - PART_START + PART_SECOND]
        if is_window:
            given = [wave[i - (end - PART_START) : i] for i in ends]
        else:
            given = [embeddings_at(content, wave, [i], kernels)[0] for i in ends]
        return runner(first=given[0][np.newaxis], second=given[1][np.newaxis])["seconds"]
    ends = [end + first * FRONT_END.hop_length for first in facts["input_frames"]]
    if is_window:
        return runner(pcm=wave[np.newaxis, PART_START : ends[-1]])["log_mel"]
    return runner(embeddings=embeddings_at(content, wave, ends, kernels)[np.newaxis])["log_mel"]


def hops(wave: np.ndarray, end: int) -> np.ndarray:
    """The hops of a stream of which one ends at a sample, `[n, hop]`."""
    hop = PART_HOP_FRAMES * FRONT_END.hop_length
    return wave[end % hop : end].reshape(-1, hop)


def embeddings_at(content: bytes, wave: np.ndarray, ends: list[int], kernels: str) -> np.ndarray:
    """Embeddings `[n, d]` of a stream at some samples, a whole number of hops apart."""
    hop = PART_HOP_FRAMES * FRONT_END.hop_length
    stream = np.stack(Embedder(content, kernels).stream(hops(wave, ends[-1]).ravel()))
    return stream[[end // hop - 1 for end in ends]]


# Damage -------------------------------------------------------------------------------------------

# Bytes that replace others, by their position.
Edits = dict[int, bytes]


def damage_csv(files: Files) -> bytes:
    """Lines of a model, the bytes of it that are left, edits as position:hex, and the verdict."""
    rng = random.Random(15)
    lines = []
    for name in DAMAGED:
        content = files[name]
        drawn = [drawn_damage(rng, len(content)) for _ in range(DAMAGED_COPIES)]
        for length, edits in [*((len(content), edits) for edits in aimed(content)), *drawn]:
            words = " ".join(f"{place}:{edits[place].hex()}" for place in edits)
            lines.append(f"{name},{length},{words},{verdict(damaged(content, length, edits))}\n")
    return "".join(lines).encode()


def damaged(content: bytes, length: int, edits: Edits) -> bytes:
    changed = bytearray(content[:length])
    for place, new in edits.items():
        changed[place : place + len(new)] = new
    return bytes(changed)


def verdict(content: bytes) -> str:
    """What has a flaw, in the words that both languages share; empty if nothing has."""
    return re.sub(r" (has|takes|is|cannot) .*", r" \1", flaw(content) or "")


def drawn_damage(rng: random.Random, size: int) -> tuple[int, Edits]:
    """The length that is left, and one to eight numbers that change, most within the tables."""
    if rng.random() < 0.05:
        return rng.randrange(size), {}
    edits = {}
    for _ in range(2 ** rng.randrange(4)):
        first = size - TABLES_BYTES if rng.random() < 0.9 else 0
        place = rng.randrange(first, size - 4) // 4 * 4
        number = rng.choice(EXTREMES) if rng.random() < 0.5 else rng.randrange(256)
        edits[place] = struct.pack("<I" if number > 255 or rng.random() < 0.5 else "<B", number)
    return size, edits


def aimed(content: bytes) -> list[Edits]:
    """Damage that chance seldom does: to the version, the signatures and the scale of an output."""
    model = root(content)
    graph = tables(model, slot_of(model, 2))[0]
    signature = tables(model, slot_of(model, 7))[-1]
    output = tables(signature, slot_of(signature, 1))[0]
    quantization = [
        Table(content, int(tensor.Indirect(tensor.Pos + slot_of(tensor, 4))))
        for tensor in tables(graph, slot_of(graph, 0))
        if slot_of(tensor, 4)
    ]
    scales = [table for table in quantization if slot_of(table, 2)][-1]
    return [
        {model.Pos + slot_of(model, 0): struct.pack("<I", 4)},
        {graph.Vector(slot_of(graph, 2)): struct.pack("<i", 0)},
        {signature.Pos + slot_of(signature, 4): struct.pack("<I", 7)},
        {output.Pos + slot_of(output, 1): struct.pack("<I", 70_000)},
        {scales.Vector(slot_of(scales, 2)): struct.pack("<f", 1e-20)},
    ]


# Writing ------------------------------------------------------------------------------------------


def as_float32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


def as_bytes(values: np.ndarray) -> bytes:
    return values.astype("<f4").tobytes()


def properties(**entries: object) -> bytes:
    """A file for java.util.Properties."""
    return "".join(f"{name}={value}\n" for name, value in entries.items()).encode()


def write(files: Files, folder: pathlib.Path) -> None:
    """Write the files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def define_flags() -> None:
    """Define the command's flags; not on import, so that a test can import this file."""
    flags.DEFINE_string("output", str(HERE), "Folder to write to, by default this file's own.")


def main(argv: list[str]) -> None:
    del argv
    files = golden_files()
    write(files, pathlib.Path(FLAGS.output))
    total = sum(map(len, files.values()))
    print(f"Wrote {len(files)} files, {total:,} bytes, below {FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
