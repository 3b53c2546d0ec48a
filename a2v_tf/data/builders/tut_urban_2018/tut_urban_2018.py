"""TUT Urban Acoustic Scenes 2018, development (Mesaros et al., DCASE 2018)."""

import csv
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from a2v_tf.data.builders import base

SCENES = (
    *("airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall"),
    *("street_pedestrian", "street_traffic", "tram"),
)

_FOLD = {"train": "fold1_train.txt", "test": "fold1_evaluate.txt"}
_ZENODO = "https://zenodo.org/record/1228142/files/TUT-urban-acoustic-scenes-2018-development"


class TutUrban2018(base.LabelledBuilder):
    """Ten seconds of one of ten urban scenes, in six European cities.

    Train and test are those of the official fold. Validation is a tenth of the train locations of
    each scene, rounded up and chosen by hash. No location is in two splits. The two channels
    (binaural, 48 kHz) are averaged.
    """

    name = "tut_urban_2018"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    the archives TUT-urban-acoustic-scenes-2018-development.audio.1.zip to audio.13.zip and
    .meta.zip of https://zenodo.org/record/1228142, or their content: audio/*.wav, meta.csv,
    evaluation_setup/fold1_train.txt and evaluation_setup/fold1_evaluate.txt.
    """
    URLS = (*(f"{_ZENODO}.audio.{i}.zip" for i in range(1, 14)), f"{_ZENODO}.meta.zip")
    HOMEPAGE = "https://zenodo.org/record/1228142"

    def labels(self) -> dict[str, tfds.features.ClassLabel]:
        """One of ten scenes."""
        return {"label": tfds.features.ClassLabel(names=SCENES)}

    def find(self, files: Sequence[pathlib.Path]) -> Iterator[tuple[str, base.ClipFile]]:
        """Split by the official fold, and train by location."""
        locations = read_locations(base.only_file(files, "meta.csv"))
        wavs = {path.name: path for path in files if path.suffix == ".wav"}
        fold = {split: read_fold(base.only_file(files, name)) for split, name in _FOLD.items()}
        if unknown := set(fold["train"]) - set(locations):
            raise ValueError(f"meta.csv: no line for {min(unknown)}, which {_FOLD['train']} lists")
        of_scene: dict[str, set[str]] = {}
        for name, scene in fold["train"].items():
            of_scene.setdefault(scene, set()).add(locations[name])
        held_out = {place for places in of_scene.values() for place in base.a_tenth(places)}
        for part, scenes in fold.items():
            for name, scene in scenes.items():
                is_held_out = part == "train" and locations[name] in held_out
                split = "validation" if is_held_out else part
                clip = base.ClipFile(name.removesuffix(".wav"), wavs.get(name), {"label": scene})
                yield split, clip


def read_locations(path: pathlib.Path) -> dict[str, str]:
    """Read meta.csv: the location, "CITY-NUMBER", by file name."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        if not {"filename", "identifier"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}: no columns filename and identifier in its header")
        return {row["filename"].rpartition("/")[2]: row["identifier"] for row in reader}


def read_fold(path: pathlib.Path) -> dict[str, str]:
    """Read a list of the evaluation setup: the scene by file name."""
    scenes = {}
    for line in path.read_text().splitlines():
        name, _, scene = line.strip().partition("\t")
        if scene not in SCENES:
            raise ValueError(
                f"{path}: cannot read the line {line!r}, expected audio/NAME<tab>SCENE"
            )
        scenes[name.rpartition("/")[2]] = scene
    return scenes
