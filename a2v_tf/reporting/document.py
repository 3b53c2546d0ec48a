"""A report as data, and as HTML and Markdown: the templates are beside this module.

A report is a list of sections, a section a list of tables, pictures, paragraphs and folded texts.
Markdown has the captions of the pictures only.
"""

import dataclasses
import re
from collections.abc import Sequence

import jinja2

BEST, WORSE = "best", "worse"  # marks of a cell


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table: text, lines of small print, a paper's figure, `BEST` or `WORSE`."""

    text: str = ""
    small: Sequence[str] = ()
    paper: str = ""
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: its label, its cells, and whether a group of rows begins with it."""

    label: str
    cells: Sequence[Cell]
    opens: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; `about` says what it shows, `head` has the headings of all columns but the first."""

    title: str
    about: str
    head: Sequence[Cell]
    rows: Sequence[Row]
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Picture:
    """A plot: an `<svg>` element in `currentColor`, what it shows, and a text alternative."""

    svg: str
    caption: str
    alt: str


@dataclasses.dataclass(frozen=True)
class Folded:
    """A long text that opens on a click."""

    title: str
    text: str


Block = Table | Picture | Folded | str  # a str is a paragraph


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report with a title."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclasses.dataclass(frozen=True)
class Report:
    """A title, a first paragraph, and sections."""

    title: str
    lead: str
    sections: Sequence[Section]


def to_html(report: Report) -> str:
    """The report as one page that needs no other file, no script and no network."""
    return _render("page.html.jinja", report, autoescape=True)


def to_markdown(report: Report) -> str:
    """The report as GitHub's Markdown."""
    return _render("page.md.jinja", report, autoescape=False)


def _render(template: str, report: Report, *, autoescape: bool) -> str:
    loader = jinja2.PackageLoader("a2v_tf.reporting", "")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = _plain
    return environment.get_template(template).render(report=report)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)
