"""Small distributions in the original layout of each data set."""

import pathlib
import zlib
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds

from a2v_tf.data.builders import BUILDERS

Prepared = dict[str, dict[str, dict]]


def pcm_of(name: str, samples: int = 1_600) -> np.ndarray:
    """int16 noise `[samples]`, unique to the file name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.integers(-9_000, 9_000, samples).astype(np.int16)


@pytest.fixture
def distribution(tmp_path: pathlib.Path) -> pathlib.Path:
    """An empty folder for a distribution."""
    folder = tmp_path / "manual"
    folder.mkdir()
    return folder


@pytest.fixture
def clip(distribution: pathlib.Path) -> Callable[..., None]:
    """Write a file with the PCM of `pcm_of(its stem)`."""

    def clip(name: str, samples: int = 1_600, rate: int = 16_000, channels: int = 1) -> None:
        path = distribution / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pcm = pcm_of(path.stem, samples)
        soundfile.write(path, np.stack([pcm] * channels, axis=1), rate, subtype="PCM_16")

    return clip


@pytest.fixture
def prepare(tmp_path: pathlib.Path, distribution: pathlib.Path) -> Callable[[str], Prepared]:
    """Prepare a data set from `distribution`: examples by split and id, labels as names."""

    def prepare(name: str) -> Prepared:
        builder = BUILDERS[name](data_dir=tmp_path / "data")
        config = tfds.download.DownloadConfig(manual_dir=distribution)
        builder.download_and_prepare(download_config=config)
        features = builder.info.features
        prepared: Prepared = {}
        for split in builder.info.splits:
            for example in tfds.as_numpy(builder.as_dataset(split=split)):
                for key, value in example.items():
                    if isinstance(features[key], tfds.features.ClassLabel):
                        example[key] = features[key].int2str(int(value))
                prepared.setdefault(split, {})[example["id"].decode()] = example
        return prepared

    return prepare


def check_audio(prepared: Prepared, file_of: Callable[[str], str] = lambda id: id) -> None:
    """Check that every clip has the samples of its file and is in only one split."""
    ids = [id for clips in prepared.values() for id in clips]
    assert len(ids) == len(set(ids))
    for clips in prepared.values():
        for id, example in clips.items():
            assert example["audio"].dtype == np.int16
            np.testing.assert_array_equal(example["audio"], pcm_of(file_of(id)), err_msg=id)


def labels(clips: dict[str, dict], feature: str = "label") -> dict[str, str]:
    """The labels of the clips by id."""
    return {id: example[feature] for id, example in clips.items()}


def disjoint(groups: Iterable[set]) -> bool:
    """Whether the sets are pairwise disjoint."""
    groups = list(groups)
    return len(set().union(*groups)) == sum(map(len, groups))
