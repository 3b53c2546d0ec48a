"""The figures of the papers, to compare ours with.

Sources, by the names that the tables below carry:

- ICLR: "Learning audio representations with self-supervision", under review at ICLR 2020.
- SPL: the letter of the same title, IEEE Signal Processing Letters, manuscript of February 2020.
- Patent: US 2023/0085596 A1. Its Tables 1, 2 and 4 equal those of ICLR.

Models and data sets have this project's names; accuracies are fractions, not percentages.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from types import MappingProxyType

# The papers' abbreviations of the downstream data sets, in the order of their tables.
DATASETS = MappingProxyType(
    {
        "speech_commands": "SPC",
        "spoken_language": "LID",
        "librispeech_speakers": "LSP",
        "musan": "MUS",
        "tut_urban_2018": "TUT",
        "bird_audio_detection": "BSD",
        "nsynth_pitch": "NPI",
        "nsynth_family": "NIF",
    }
)
# The papers' names of the models, in the order of their tables: first two baselines, then
# self-supervised tasks, then supervised baselines.
MODELS = MappingProxyType(
    {
        "spectrogram": "Spectrogram",
        "untrained": "Untrained",
        "autoencoder": "AutoEncoder",
        "cbow": "A2V(CBoW)",
        "skip_gram": "A2V(SG)",
        "arrow_of_time": "ArrowOfTime",
        "temporal_gap": "TemporalGap",
        "triplet": "TripletLoss",
        "multihead": "MultiHead",
        "supervised": "Supervised",
    }
)
# How the papers trained, for comparing figures (ICLR section 4, SPL section IV).
CONDITIONS = (
    "The papers' models were trained on AudioSet unless a table says otherwise, with batches of "
    "256, for 1.3 to 1.8 million steps (ICLR, patent) or 3 million (SPL). Where data sets have no "
    "official splits, they used their own."
)
AUDIOSET_SUPERVISED = "audioset"  # SPL Table I: an encoder trained on AudioSet's labels


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of a table.

    Attributes:
      value: accuracy, in SPL normalised accuracy.
      margin: the number after the sign ±, half of a 95 % interval; None if there is none.
      bracket: the number in brackets: the normalised accuracy in ICLR Table 2 and patent Table 3,
        the relative change in others; None if there is none.
    """

    value: float
    margin: float | None = None
    bracket: float | None = None


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
      source: the paper and the number of the table.
      figures: by model and column.
    """

    source: str
    figures: Mapping[str, Mapping[str, Figure]]

    def get(self, model: str, column: str) -> Figure | None:
        """A figure, or None where the table has none."""
        return self.figures.get(model, {}).get(column)


_CELL = re.compile(r"(-?[\d.]+)(?:±([\d.]+))?(?:\(([+-]\d+)%\))?")


def _read_tables() -> dict[str, PaperTable]:
    """The tables of `papers.txt`, by name."""
    text = pathlib.Path(__file__).with_name("papers.txt").read_text(encoding="utf-8")
    tables = {}
    for part in re.split(r"^\[", text, flags=re.MULTILINE)[1:]:
        lines = (line for line in part.splitlines() if line and not line.startswith("#"))
        name, (_, *columns), *rows = (re.split(" {2,}", line) for line in lines)
        source = name[0].removesuffix("]")
        figures = {
            model: dict(zip(columns, map(_figure, cells), strict=True)) for model, *cells in rows
        }
        tables[source] = PaperTable(source, figures)
    return tables


def _figure(cell: str) -> Figure:
    parts = _CELL.fullmatch(cell)
    assert parts, cell
    value, margin, bracket = parts.groups()
    return Figure(
        float(value),
        None if margin is None else float(margin),
        None if bracket is None else int(bracket) / 100,
    )


_TABLES = _read_tables()
ICLR_TABLE_2 = _TABLES["ICLR Table 2"]
ICLR_TABLE_3 = _TABLES["ICLR Table 3"]
ICLR_TABLE_4 = _TABLES["ICLR Table 4"]
ICLR_TABLE_5 = _TABLES["ICLR Table 5"]
PATENT_TABLE_3 = _TABLES["Patent Table 3"]
SPL_TABLE_1 = _TABLES["SPL Table I"]
SPL_COLUMNS = tuple(SPL_TABLE_1.figures["cbow"])
