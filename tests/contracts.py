"""Proof, by `make lint`, that this package's own data classes meet the protocols for plug-ins.

mypy reads this file; no test runs it.
"""

from a2v_tf.data.folder import FolderSource
from a2v_tf.data.labelled import LabelledData
from a2v_tf.data.labelled_csv import CsvData
from a2v_tf.data.labelled_tfds import TfdsData
from a2v_tf.data.sources import ManyCropsSource, Source
from a2v_tf.data.spectrogram import SpectrogramSource
from a2v_tf.data.tfds_source import TfdsSource


def sources(folder: FolderSource, tfds: TfdsSource, levels: SpectrogramSource) -> list[Source]:
    return [folder, tfds, levels]


def source_of_many_crops(tfds: TfdsSource) -> ManyCropsSource:
    return tfds


def labelled_data(csv: CsvData, tfds: TfdsData) -> list[LabelledData]:
    return [csv, tfds]
