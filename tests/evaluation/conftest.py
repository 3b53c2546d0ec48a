"""A downstream task that is easy: low tones and high tones, some seconds of each."""

import pathlib

import numpy as np
import pytest
import soundfile


def write_task(folder: pathlib.Path, name: str = "tones", clips: int = 7) -> pathlib.Path:
    """Write clips of two classes and their CSV, splits train, val and test; return the CSV."""
    rng = np.random.default_rng(0)
    rows = ["path,label,split"]
    (folder / "clips").mkdir(exist_ok=True)
    for label, hz in (("low", 300), ("high", 3_000)):
        for i in range(clips):
            t = np.arange(24_000) / 16_000
            tone = 0.3 * np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * t)
            path = f"clips/{name}_{label}{i}.wav"
            noisy = tone + 0.003 * rng.standard_normal(len(t))
            soundfile.write(folder / path, noisy, 16_000)
            rows.append(f"{path},{label},{'train' if i < 4 else 'val' if i < 5 else 'test'}")
    csv_path = folder / f"{name}.csv"
    csv_path.write_text("\n".join(rows) + "\n")
    return csv_path


@pytest.fixture(scope="session")
def task_csv(tmp_path_factory) -> pathlib.Path:
    return write_task(tmp_path_factory.mktemp("task"))
