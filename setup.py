"""Package metadata. The `export/` folder installs as `a2v_tf.export`."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "a2v_tf/__init__.py").read_text())[1]

# An installed TensorFlow, such as a GPU build, stays: only `cpu`, `gpu` and `tf` bring one.
# `train` brings what training, export, evaluation and reports need besides TensorFlow.
TENSORFLOW = ">=2.16,<2.22"

ENCODER_FILES = ("*.keras", "*.json", "*.tflite", "*.npz", "*.md", "SHA256SUMS")
TRAIN = [
    "av>=17",  # MP3, M4A, Opus, WMA and others
    "etils",
    "importlib_resources",  # tensorflow-datasets imports it without asking for it
    "jinja2",
    "keras>=3.3",
    "matplotlib",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "tensorboard",
    "tensorflow-datasets>=4.9.7",
    "threadpoolctl",
]

COMMANDS = {
    "a2v_train": "a2v_tf.commands.train:run",
    "a2v_embed": "a2v_tf.commands.embed:run",
    "a2v_report": "a2v_tf.commands.report:run",
    "a2v_evaluate": "a2v_tf.commands.evaluate:run",
    "a2v_summary": "a2v_tf.commands.summary:run",
    "a2v_reconstruct": "a2v_tf.commands.reconstruct:run",
    "a2v_gap": "a2v_tf.commands.gap:run",
    "a2v_stream": "a2v_tf.commands.stream:run",
    "a2v_benchmark": "a2v_tf.export.benchmark.command:run",
    "export_tflite": "a2v_tf.export.export_tflite:run",
}

setup(
    name="a2v_tf",
    version=VERSION,
    description="Self-supervised audio embeddings for phones and embedded devices: training in "
    "Keras, bit-exact streaming in int8 TFLite, and a pretrained encoder.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["a2v_tf", "a2v_tf.*"]),
        "a2v_tf.export",
        "a2v_tf.export.benchmark",
    ],
    package_data={
        "a2v_tf": ["py.typed"],  # the type hints are for users, too
        "": ["CITATIONS.bib"],  # of the data sets
        "a2v_tf.evaluation": ["papers.txt"],
        "a2v_tf.reporting": ["*.jinja"],
        # `pretrained` itself, and the folders of the encoders beside it.
        "a2v_tf.pretrained": [f"{folder}{file}" for folder in ("", "*/") for file in ENCODER_FILES],
    },
    package_dir={"a2v_tf": "a2v_tf", "a2v_tf.export": "export"},
    # The light install: all that a2v_stream, a2v_embed and a2v_benchmark need for TFLite files.
    install_requires=[
        "absl-py>=1.0",
        "ai-edge-litert>=1.4",
        "flatbuffers>=23.5.26",
        "numpy>=1.23.2",
        "soundfile>=0.12",
        "soxr>=0.3.2",
        "tqdm>=4.64",
    ],
    extras_require={
        "train": TRAIN,
        "tf": [*TRAIN, f"tensorflow{TENSORFLOW}"],
        "cpu": [*TRAIN, f"tensorflow-cpu{TENSORFLOW}"],
        "gpu": [*TRAIN, f"tensorflow[and-cuda]{TENSORFLOW}"],
        # Newer tensorflow-metadata needs protobuf 5, TensorFlow 2.16 has 4.
        "tfio": [
            *TRAIN,
            "tensorflow==2.16.2",
            "tensorflow-io==0.37.1",
            "tensorflow-metadata<1.17",
        ],
        "formats": ["av>=17"],  # MP3, M4A, Opus, WMA and others in the light install
        "plot": ["matplotlib>=3.7"],  # a2v_stream --plot
        # export_tflite --target=micro measures with it; wheels for Linux on x86-64 only.
        "micro": ["tflite-micro; sys_platform == 'linux' and platform_machine == 'x86_64'"],
        "onnx": ["onnx>=1.16", "onnxruntime>=1.17", "tf2onnx>=1.17"],  # export_tflite --format=onnx
        "parquet": ["pyarrow>=14"],  # a2v_embed --output=NAME.parquet or NAME/
        "inversion": ["librosa>=0.10"],  # a2v_reconstruct: log-mel back to sound
        "beam": ["apache-beam>=2.77", "mlcroissant"],  # several machines
        "jax": ["jax"],
        "recipe": ["mido>=1.3", "pyopen-wakeword>=1.1"],  # recipes/debian_audio
        # What runs teachers (--teachers); their weights are fetched when first used.
        "teachers": ["ctranslate2>=4.5", "h5py", "pyopen-wakeword>=1.1"],
        "microphone": ["sounddevice"],  # a2v_stream without --audio
        "benchmark": ["pymicro-wakeword>=2.5", "pyopen-wakeword>=1.1"],  # peers
        "docs": ["mkdocs>=1.6", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.29"],
        "dev": [
            "build",
            "dill",  # tfds.testing needs it
            "fastapi",  # examples/web_service.py
            "httpx",  # its test client
            "hypothesis",
            "librosa",
            "mypy",
            "pytest",
            "pytest-xdist",
            "ruff",
            "twine",
        ],
    },
    entry_points={"console_scripts": [f"{name} = {target}" for name, target in COMMANDS.items()]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
    ],
)
