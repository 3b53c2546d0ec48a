"""Which of the unpacked files are what, and which of them stay together.

`files.csv` says by package and path what a recording is:

  speaker     speech of one person; a group in the path's pattern tells several apart
  speech      speech of persons that are not told apart
  digit SPLIT an English digit said by a person, for that split of the spoken words
  music, sound; extra (sounds that no task uses); soundfont
  bird, event, background   what the mixtures of the bird task are made of

A file may be several of these.
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
      name: PACKAGE/PATH, which orders and identifies it.
      path: where it lies.
      digest: of its content; of several equal files only the first is a source.
      kind: see above.
      label: who speaks, or the digit.
      group: recordings of one group belong to one split: takes of one sound, tracks of one song.
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
    """Find the sources of each kind, in the order of their names.

    Args:
      unpacked: the folder of `download.py`.
      table: what is what.

    Raises:
      A2vError: a row of the table finds nothing.
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


# Choices that nothing but names decides ----------------------------------------------------------


def shuffled(sources: Iterable[Source], salt: str) -> list[Source]:
    """Sources in an order that looks random and depends on nothing but their names and `salt`."""
    return sorted(sources, key=lambda s: hashlib.sha256(f"{salt} {s.name}".encode()).digest())


def split_groups(sources: Sequence[Source]) -> dict[str, list[Source]]:
    """Deal sources to the splits, none of whose groups is ever divided.

    The groups go by size, the largest first, each to the split that lacks most of its share.
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
    """Sources by label, in the labels' order."""
    labels: dict[str, list[Source]] = {}
    for source in sorted(sources, key=lambda source: (source.label, source.name)):
        labels.setdefault(source.label, []).append(source)
    return labels
