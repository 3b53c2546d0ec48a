"""`benchmarks/teachers.py`: the cost of a teacher is CPU time for a slice."""

import pathlib
import time

import numpy as np
import pytest

from a2v_tf.teachers import Teacher
from tests.conftest import load_script


@pytest.fixture(scope="module")
def benchmark():
    return load_script(pathlib.Path(__file__).parents[2] / "benchmarks" / "teachers.py")


def busy(seconds: float) -> Teacher:
    """A teacher that takes as much CPU time for each slice."""

    def compute(pcm: np.ndarray) -> np.ndarray:
        end = time.process_time() + seconds * len(pcm)
        while time.process_time() < end:
            pass
        return pcm[:, :1]

    return Teacher("busy", 1, compute, "MIT", "here", "0")


def test_measures_cpu_time_of_a_slice_in_ms(benchmark):
    one, four = benchmark.measure([busy(0.001), busy(0.004)], slices=8)
    assert 1 <= one < 2
    assert 4 <= four < 6


def test_waiting_costs_nothing(benchmark):
    def sleep(pcm: np.ndarray) -> np.ndarray:
        time.sleep(0.1)
        return pcm[:, :1]

    (found,) = benchmark.measure([Teacher("idle", 1, sleep, "MIT", "here", "0")], slices=8)
    assert found < 5
