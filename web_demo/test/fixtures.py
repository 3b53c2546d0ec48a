"""Write what the tests of the web demo compare with: sounds, and Python's results for them.

PYTHONPATH=. python web_demo/test/fixtures.py DIRECTORY
PYTHONPATH=. python web_demo/test/fixtures.py DIRECTORY --embed=PCM --model=MODEL

The second form embeds one sound that a page captured, float32 samples, as a stream into
DIRECTORY/embedded.f32. Numbers are little-endian float32 (`.f32`) or int16 (`.s16`); index.json
lists what belongs together.
"""

import argparse
import json
import pathlib

import numpy as np
import soxr

from a2v_tf import pretrained
from a2v_tf.frontend import FRONT_END, log_mel, pcm_to_float
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.runtime.nearest import Examples, _embed_clip
from tests.front_ends import OTHERS

ROOT = pathlib.Path(__file__).parents[2]
JAVA = ROOT / "android_demo/runtime/src/test/resources/golden"
GOLDEN = ROOT / "tests/golden"
RATE = FRONT_END.sample_rate
WINDOW = 15_600
DEVICE_RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 44_099)


class Folder:
    """A folder of arrays, with an index."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.index: dict[str, list[dict]] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def add(self, part: str, entry: dict) -> None:
        """Add an entry to a part of the index; its arrays become files."""
        entries = self.index.setdefault(part, [])
        for key, value in entry.items():
            if isinstance(value, np.ndarray):
                kind = {"float32": "f32", "int16": "s16"}[value.dtype.name]
                name = f"{part}_{len(entries)}_{key}.{kind}"
                (self.directory / name).write_bytes(value.tobytes())
                entry[key] = {"file": name, "shape": value.shape}
        entries.append(entry)

    def close(self) -> None:
        (self.directory / "index.json").write_text(json.dumps(self.index, indent=1))


def sound(seconds: float, rate: int = RATE, seed: int = 0, top: float = 6_000) -> np.ndarray:
    """Noise, a sweep up to `top` Hz and a syllable-like envelope, float32."""
    time = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    sweep = np.sin(2 * np.pi * (100 * time + (top - 100) * time**2 / (2 * seconds)))
    noise = rng.standard_normal(round((seconds + 0.1) * 2 * top))
    noise = soxr.resample(noise, 2 * top, rate)[: len(time)]
    loudness = 0.3 + 0.3 * np.sin(2 * np.pi * 4 * time)
    return (loudness * (0.6 * sweep + 0.2 * noise)).astype(np.float32).clip(-1, 1)


def add_embeddings(folder: Folder) -> None:
    """Every file that LiteRT.js can run, on the golden sound and on others."""
    files = [
        pretrained.folder(name) / file
        for name in pretrained.names()
        for file in ("streaming.tflite", "window.tflite", "quantized_core.tflite")
    ]
    files += [JAVA / name for name in ("internal.tflite", "window.tflite", "log_mel.tflite")]
    with np.load(pretrained.folder("pretrained") / pretrained.GOLDEN) as arrays:
        golden = pcm_to_float(arrays["pcm"]).numpy()
    for path in files:
        embedder = Embedder(path)
        for name, pcm in (("golden", golden), ("4 s", sound(4.0))):
            entry = {
                "model": str(path.relative_to(ROOT)),
                "takes": embedder.input,
                "sound": name,
                "pcm": pcm,
            }
            if embedder.streaming and embedder.input == "pcm":
                embedder.reset()
                found = embedder.stream(pcm)
            else:
                found, taken = embed_parts(embedder, pcm)
                entry["inputs"] = np.stack(taken)
            folder.add("embeddings", {**entry, "embeddings": np.stack(found)})


def embed_parts(embedder: Embedder, pcm: np.ndarray) -> tuple[list, list]:
    """What `embed` gives for the windows or hops of a sound, and what it took."""
    if embedder.streaming:
        size, hop = embedder.stream_hop + FRONT_END.overlap, embedder.stream_hop
        pcm = np.concatenate([np.zeros(FRONT_END.overlap, np.float32), pcm])
    else:
        size, hop = WINDOW, WINDOW // 2
    embedder.reset()
    parts = [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, hop)]
    if embedder.input == "log_mel":
        parts = [log_mel(part).numpy() for part in parts]
    return [embedder.embed(part) for part in parts], parts


def add_front_ends(folder: Folder) -> None:
    """The golden vectors of the front end."""
    for file, of_name in (("frontend.npz", {}), ("front_ends.npz", OTHERS)):
        with np.load(GOLDEN / file) as arrays:
            for name in sorted({key.split(".")[0] for key in arrays}):
                spec = of_name.get(name, FRONT_END)
                pcm = pcm_to_float(arrays[f"{name}.pcm"]).numpy()
                folder.add(
                    "front_ends",
                    {
                        "name": name,
                        "spec": vars(spec),
                        "pcm": pcm,
                        "log_mel": arrays[f"{name}.log_mel"],
                    },
                )


def add_neighbours(folder: Folder) -> None:
    """Taught sounds, queries and their nearest neighbours; ties included."""
    rng = np.random.default_rng(3)
    examples = np.float32(rng.integers(0, 3, (40, 4)))
    labels = [f"sound {i % 3}" for i in range(len(examples))]
    for size in (1, 7, 40):
        taught = Examples(examples[:size], labels[:size], [""] * size)
        queries = np.float32(rng.integers(0, 3, (30, 4)))
        found = [taught.nearest(query) for query in queries]
        results = [
            {"label": n.label, "votes": n.votes, "of": n.of, "distance": n.distance} for n in found
        ]
        folder.add(
            "neighbours",
            {
                "labels": labels[:size],
                "examples": examples[:size],
                "queries": queries,
                "results": results,
            },
        )


def add_clips(folder: Folder) -> None:
    """Examples of clips, shorter than a window to long."""
    embedder = Embedder("pretrained")
    for seconds in (0.03, 0.5, 0.975, 1.7, 3.0):
        pcm = sound(seconds, seed=5)
        folder.add("clips", {"pcm": pcm, "embeddings": np.stack(_embed_clip(embedder, pcm))})


def add_resampled(folder: Folder) -> None:
    """Sound of every usual device, and what soxr's default makes of it."""
    for rate in DEVICE_RATES:
        pcm = sound(1.0, rate, seed=rate, top=min(rate, RATE) / 2 * 0.85)
        folder.add("resampled", {"rate": rate, "pcm": pcm, "soxr": soxr.resample(pcm, rate, RATE)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--embed", type=pathlib.Path, help="samples that a page captured")
    parser.add_argument("--model", default="pretrained")
    args = parser.parse_args()
    if args.embed:
        pcm = np.fromfile(args.embed, np.float32)
        embeddings = np.stack(Embedder(args.model).stream(pcm))
        (args.directory / "embedded.f32").write_bytes(embeddings.tobytes())
        return
    folder = Folder(args.directory)
    add_embeddings(folder)
    add_front_ends(folder)
    add_neighbours(folder)
    add_clips(folder)
    add_resampled(folder)
    folder.close()


if __name__ == "__main__":
    main()
