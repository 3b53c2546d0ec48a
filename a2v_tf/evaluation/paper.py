"""The figures of the papers, to compare ours with.

Sources, by the names that the tables below carry:

- ICLR: "Learning audio representations with self-supervision", under review at ICLR 2020.
- SPL: the letter of the same title, IEEE Signal Processing Letters, manuscript of February 2020.
- Patent: US 2023/0085596 A1. Its Tables 1, 2 and 4 equal those of ICLR.

Models and data sets have this project's names; accuracies are fractions, not percentages.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
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
        "contrastive": "Contrastive",
        "transposition": "Transposition",
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


def _table(source: str, columns: Sequence[str], text: str) -> PaperTable:
    """Read rows of a model's name and a cell `value±margin(bracket%)` for each column."""
    figures = {}
    for line in text.strip().splitlines():
        model, *cells = line.split()
        figures[model] = dict(zip(columns, map(_figure, cells), strict=True))
    return PaperTable(source, figures)


def _figure(cell: str) -> Figure:
    parts = _CELL.fullmatch(cell)
    assert parts, cell
    value, margin, bracket = parts.groups()
    return Figure(
        float(value),
        None if margin is None else float(margin),
        None if bracket is None else int(bracket) / 100,
    )


_SIX = tuple(DATASETS)[:6]

ICLR_TABLE_2 = _table(
    "ICLR Table 2",
    _SIX,
    """
    spectrogram  .16±.01(+0%)   .28±.04(+0%)   .97±.01(+0%)     .74±.01(+0%)   .36±.03(+0%)   .65±.02(+0%)
    untrained    .16±.01(-1%)   .48±.04(+33%)  .54±.02(-1338%)  .93±.00(+77%)  .57±.03(+35%)  .70±.02(+31%)
    autoencoder  .28±.01(+21%)  .64±.04(+56%)  .99±.00(+55%)    .94±.00(+81%)  .59±.03(+38%)  .69±.02(+27%)
    cbow         .30±.01(+23%)  .57±.04(+47%)  .99±.00(+82%)    .98±.00(+97%)  .66±.03(+50%)  .71±.01(+40%)
    skip_gram    .28±.01(+21%)  .55±.04(+44%)  1.00±.00(+85%)   .98±.00(+98%)  .67±.03(+52%)  .69±.02(+28%)
    temporal_gap .23±.01(+12%)  .45±.04(+27%)  .97±.01(+11%)    .97±.00(+92%)  .63±.03(+44%)  .71±.01(+44%)
    triplet      .18±.01(+3%)   .62±.04(+55%)  1.00±.00(+96%)   .97±.00(+95%)  .73±.03(+61%)  .73±.01(+55%)
    multihead    .72±.01(+95%)  .82±.03(+88%)  1.00±.00(+99%)   .98±.00(+95%)  .94±.02(+96%)  .78±.01(+90%)
    supervised   .75±.01(+100%) .90±.03(+100%) 1.00±.00(+100%)  .99±.00(+100%) .97±.01(+100%) .79±.01(+100%)
    """,  # noqa: E501  as wide as the paper's table
)

# Trained on LibriSpeech; in brackets the change from AudioSet.
ICLR_TABLE_3 = _table(
    "ICLR Table 3",
    _SIX,
    """
    autoencoder  .27(-3%)   .65(+1%)   .96(-3%)   .87(-7%)  .56(-5%)   .67(-2%)
    cbow         .26(-13%)  .55(-3%)   .99(+0%)   .96(-2%)  .65(-1%)   .70(-1%)
    skip_gram    .23(-17%)  .65(+18%)  .99(-1%)   .97(-1%)  .66(-1%)   .71(+2%)
    temporal_gap .18(-21%)  .55(+22%)  .93(-4%)   .94(-3%)  .59(-6%)   .64(-9%)
    triplet      .10(-44%)  .34(-45%)  1.00(+0%)  .93(-4%)  .56(-23%)  .65(-10%)
    """,
)

# The large encoder; in brackets the change from the small one.
ICLR_TABLE_4 = _table(
    "ICLR Table 4",
    _SIX,
    """
    autoencoder  .35(+24%)  .62(-3%)   1.00(+1%)  .96(+2%)  .65(+10%)  .70(+1%)
    skip_gram    .46(+64%)  .81(+47%)  1.00(+0%)  .99(+1%)  .78(+16%)  .76(+10%)
    temporal_gap .37(+60%)  .77(+71%)  1.00(+3%)  .98(+1%)  .73(+15%)  .74(+4%)
    triplet      .30(+66%)  .73(+17%)  1.00(+0%)  .99(+2%)  .81(+10%)  .76(+4%)
    """,
)

# A head of two layers; in brackets the change from one.
ICLR_TABLE_5 = _table(
    "ICLR Table 5",
    _SIX,
    """
    autoencoder  .46(+58%)  .85(+32%)  1.00(+2%)  .98(+4%)  .83(+45%)  .76(+11%)
    skip_gram    .33(+13%)  .60(+9%)   1.00(+1%)  .99(+1%)  .89(+30%)  .76(+7%)
    temporal_gap .28(+16%)  .60(+1%)   .99(+2%)   .99(+2%)  .83(+31%)  .76(+7%)
    triplet      .22(+9%)   .37(-44%)  1.00(+0%)  .99(+2%)  .92(+27%)  .76(+5%)
    """,
)

# k nearest neighbours of windows; in brackets the normalised accuracy.
PATENT_TABLE_3 = _table(
    "Patent Table 3",
    _SIX,
    """
    spectrogram  .02±.01(+0%)   .39±.02(+0%)   .00±.00(+0%)   .10±.01(+0%)   .11±.01(+0%)   .49±.02(+0%)
    untrained    .08±.01(+9%)   .38±.02(-3%)   .04±.01(+3%)   .87±.01(+88%)  .41±.02(+41%)  .68±.02(+77%)
    autoencoder  .24±.02(+30%)  .44±.02(+20%)  .03±.01(+3%)   .68±.02(+67%)  .52±.02(+55%)  .67±.02(+70%)
    cbow         .14±.02(+17%)  .43±.02(+16%)  .10±.01(+10%)  .94±.01(+96%)  .52±.02(+55%)  .69±.02(+81%)
    skip_gram    .12±.01(+14%)  .43±.02(+15%)  .26±.02(+27%)  .96±.01(+99%)  .60±.02(+67%)  .70±.02(+84%)
    temporal_gap .10±.01(+11%)  .37±.02(-10%)  .35±.02(+36%)  .92±.01(+93%)  .55±.02(+60%)  .70±.02(+84%)
    triplet      .09±.01(+10%)  .25±.02(-59%)  .69±.02(+71%)  .96±.01(+99%)  .70±.02(+80%)  .72±.02(+91%)
    multihead    .69±.02(+91%)  .52±.02(+52%)  .86±.02(+89%)  .95±.01(+97%)  .75±.02(+88%)  .75±.02(+102%)
    supervised   .76±.02(+100%) .63±.02(+100%) .97±.01(+100%) .97±.01(+100%) .84±.02(+100%) .74±.02(+100%)
    """,  # noqa: E501  as wide as the patent's table
)

# Normalised accuracy, the mean over all of `DATASETS`: frozen or fine-tuned encoder, full data or
# 1,000 examples.
SPL_COLUMNS = ("frozen full", "frozen 1k", "fine-tuned full", "fine-tuned 1k")
SPL_TABLE_1 = _table(
    "SPL Table I",
    SPL_COLUMNS,
    """
    audioset      .40±.09  .48±.09   .98±.02  1.02±.04
    autoencoder   .47±.06  .55±.07   .99±.01   .99±.02
    cbow          .58±.06  .68±.05  1.00±.01  1.07±.03
    skip_gram     .53±.07  .63±.06  1.00±.01  1.04±.02
    arrow_of_time .10±.03  .12±.05   .97±.02   .95±.05
    temporal_gap  .48±.06  .55±.06   .97±.02   .97±.04
    triplet       .46±.07  .46±.08   .95±.05   .98±.06
    """,
)
