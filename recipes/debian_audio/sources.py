"""The kinds of the unpacked recordings, and which of them belong together.

`files.csv` gives the kind of a recording by package and path:

  speaker     speech of one person; a group in the path's pattern identifies the person
  speech      speech of unidentified persons
  digit SPLIT an English digit spoken by a person, for that split of the spoken words
  music, sound; extra (sounds not used by any task); soundfont
  bird, event, background   parts of the mixtures of the bird task

A file may be of several kinds.
"""

import csv
import dataclasses
import functools
import hashlib
import pathlib
import re
from collections.abc import Iterable, Sequence

from download import WANTED

from a2v_tf.errors import A2vError

TABLE = pathlib.Path(__file__).with_name("files.csv")
SPLITS = ("train", "val", "test")
SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}
_TAKE = re.compile(r"[\d_.\-]*$")


@dataclasses.dataclass(frozen=True, order=True)
class Source:
    """A recording in a package.

    Attributes:
      name: PACKAGE/PATH, which identifies and orders it.
      path: of the file.
      digest: of its content; of identical files only the first is a source.
      kind: see above.
      label: the speaker or the digit.
      group: recordings of a group belong to the same split, such as takes of a sound.
    """

    name: str
    path: pathlib.Path = dataclasses.field(compare=False)
    digest: str = dataclasses.field(compare=False)
    kind: str = dataclasses.field(compare=False)
    label: str = dataclasses.field(compare=False)
    group: str = dataclasses.field(compare=False)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


def find_sources(unpacked: pathlib.Path, table: pathlib.Path = TABLE) -> dict[str, list[Source]]:
    """Find the sources of each kind, sorted by name.

    Args:
      unpacked: the folder of `download.py`.
      table: the CSV file of kinds.

    Raises:
      A2vError: a row of the table matches no file.
    """
    found: dict[str, list[Source]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            sources = list(_matches(unpacked, row))
            if not sources:
                raise A2vError(
                    f"{unpacked / row['package']} has no {row['kind']} at {row['path']!r}: "
                    "run download.py again"
                )
            found.setdefault(row["kind"], []).extend(sources)
    return {kind: sorted(_without_twins(sources)) for kind, sources in found.items()}


def _matches(unpacked: pathlib.Path, row: dict[str, str]) -> Iterable[Source]:
    folder = unpacked / row["package"]
    wanted, unwanted = re.compile(row["path"]), re.compile(row["except"] or r"(?!)")
    for path, digest in _files(folder):
        relative = f"/{path.relative_to(folder)}"
        match = wanted.search(relative)
        if match is None or unwanted.search(relative):
            continue
        label = " ".join(filter(None, (row["name"], *match.groups())))
        name = f"{row['package']}{relative}"
        group = str(pathlib.PurePath(name).parent)
        if row["group"] != "folder":
            group += f"/{_TAKE.sub('', path.stem)}"
        yield Source(name, path, digest, row["kind"], label, group)


@functools.cache
def _files(folder: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    paths = (path for path in folder.rglob("*") if path.is_file() and WANTED.search(path.name))
    return [(path, hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(paths)]


def _without_twins(sources: Iterable[Source]) -> Iterable[Source]:
    seen: set[str] = set()
    for source in sources:
        if source.digest not in seen:
            seen.add(source.digest)
            yield source


# Choices determined by names ---------------------------------------------------------------------


def shuffled(sources: Iterable[Source], salt: str) -> list[Source]:
    """Sources in a pseudo-random order that depends only on their names and `salt`."""
    return sorted(sources, key=lambda s: hashlib.sha256(f"{salt} {s.name}".encode()).digest())


def split_groups(sources: Sequence[Source]) -> dict[str, list[Source]]:
    """Distribute sources to the splits without dividing groups.

    The largest groups come first, and each goes to the split that lacks most of its share.
    """
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(source.group, []).append(source)
    sizes = {name: sum(source.size for source in group) for name, group in groups.items()}
    splits: dict[str, list[Source]] = {split: [] for split in SPLITS}
    filled = dict.fromkeys(SPLITS, 0)
    for name in sorted(groups, key=lambda name: (-sizes[name], name)):
        total = sum(filled.values()) + sizes[name]
        split = max(SPLITS, key=lambda split: SHARES[split] * total - filled[split])
        splits[split] += groups[name]
        filled[split] += sizes[name]
    return splits


def by_label(sources: Iterable[Source]) -> dict[str, list[Source]]:
    """Sources by label, sorted by label."""
    labels: dict[str, list[Source]] = {}
    for source in sorted(sources, key=lambda source: (source.label, source.name)):
        labels.setdefault(source.label, []).append(source)
    return labels
