"""A report as data, and how it becomes HTML and Markdown.

A report is a list of sections, a section a list of tables, pictures, paragraphs and folded texts.
Markdown has everything but the pictures, of which it has the captions.
"""

import dataclasses
import html
import re
from collections.abc import Sequence

BEST, WORSE = "best", "worse"  # marks of a cell


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      text: what stands in the cell.
      small: lines of small print that follow.
      paper: the figure of a paper to compare with.
      mark: `BEST`, `WORSE` or nothing.
    """

    text: str = ""
    small: Sequence[str] = ()
    paper: str = ""
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
      label: what stands in its first column.
      cells: what stands in the others.
      opens: whether a group of rows begins here.
    """

    label: str
    cells: Sequence[Cell]
    opens: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      title: above it.
      head: of each column but the first.
      rows: see there.
      notes: below it.
    """

    title: str
    head: Sequence[Cell]
    rows: Sequence[Row]
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Picture:
    """A drawing.

    Attributes:
      svg: an `<svg>` element, whose ink is `currentColor`.
      caption: below it.
      alt: what it shows, for those who cannot see it.
    """

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


# ---- Markdown ----


def to_markdown(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The report as GitHub's Markdown."""
    parts = [f"# {_plain(title)}", _plain(lead)]
    for section in sections:
        parts.append(f"## {_plain(section.title)}")
        parts += map(_block_markdown, section.blocks)
    return "\n\n".join(parts) + "\n"


def _block_markdown(block: Block) -> str:
    match block:
        case Table():
            return _table_markdown(block)
        case Picture():
            return f"*Picture, in the HTML report: {_plain(block.caption)}*"
        case Folded():
            fence = "````"  # longer than any in a JSON
            return f"{_plain(block.title)}\n\n{fence}\n{block.text}\n{fence}"
    return _plain(block)


def _table_markdown(table: Table) -> str:
    head = ["", *("<br>".join(map(_plain, (cell.text, *cell.small))) for cell in table.head)]
    rule = [":--", *["--:"] * len(table.head)]
    rows = [[_plain(row.label), *map(_cell_markdown, row.cells)] for row in table.rows]
    lines = ["| " + " | ".join(line) + " |" for line in (head, rule, *rows)]
    notes = [f"*{_plain(note)}*" for note in table.notes]
    return "\n\n".join([f"**{_plain(table.title)}**", "\n".join(lines), *notes])


def _cell_markdown(cell: Cell) -> str:
    text = _plain(cell.text)
    if cell.mark == BEST:
        text = f"**{text}**"
    own = " ".join([text, *map(_plain, cell.small)])
    return f"{own}<br>_{_plain(cell.paper)}_" if cell.paper else own


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


# ---- HTML ----

_STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1d2329; --muted: #5c6670;
  --line: #d5dae0; --soft: #f3f5f7; --link: #1f5fbf; --best: #0b6b45; --worse: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --ink: #e4e8ec; --muted: #9aa5b0;
  --line: #363e46; --soft: #1d2328; --link: #8ab4ff; --best: #6fd3a5; --worse: #ff8a80; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto;
  padding: 2rem 1rem 4rem; background: var(--ground); color: var(--ink); }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 1rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }
p { margin: .6rem 0; max-width: 50rem; }
a { color: var(--link); }
nav { margin: 1.2rem 0; } nav a { margin-right: 1.1rem; white-space: nowrap; }
h3 { font-size: 1rem; margin: 1.8rem 0 .5rem; }
.table { overflow-x: auto; margin: 0 0 .4rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; } thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
th:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 500; white-space: normal; min-width: 8rem; max-width: 15rem;
  position: sticky; left: 0; background: var(--ground); }
tbody tr.opens > * { border-top: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 1px solid var(--line); }
small { font-weight: 400; font-size: .82em; color: var(--muted); }
td small, th small, td i { display: block; }
td i { font-size: .82em; font-weight: 400; color: var(--muted); }
.best { font-weight: 700; color: var(--best); } .worse small { color: var(--worse); }
.note { font-size: .85rem; color: var(--muted); margin: .3rem 0; }
figure { margin: 1.6rem 0; } figure svg { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; color: var(--muted); margin-top: .4rem; max-width: 50rem; }
details { margin: .5rem 0; } summary { cursor: pointer; }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto;
  font-size: .8rem; line-height: 1.4; }
@page { size: landscape; margin: 12mm; }
@media print {
  :root { --ground: #fff; --ink: #000; --muted: #444; --line: #bbb; --soft: #f3f5f7;
    --best: #000; --worse: #000; color-scheme: light; }
  body { font-size: 11px; max-width: none; padding: 0; } nav { display: none; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .table { overflow: visible; }
  th, td { padding: .15rem .4rem; } thead th { white-space: normal; }
}
"""


def to_html(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The report as one page that needs no other file, no script and no network."""
    links = "".join(f'<a href="#{_anchor(s.title)}">{html.escape(s.title)}</a>' for s in sections)
    body = "".join(map(_section_html, sections))
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>\n<header><h1>{html.escape(title)}</h1>"
        f'<p>{html.escape(lead)}</p><nav aria-label="Sections">{links}</nav></header>\n'
        f"<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _section_html(section: Section) -> str:
    blocks = "\n".join(map(_block_html, section.blocks))
    anchor = _anchor(section.title)
    return (
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{html.escape(section.title)}</h2>\n'
        f"{blocks}\n</section>\n"
    )


def _block_html(block: Block) -> str:
    match block:
        case Table():
            return _table_html(block)
        case Picture():
            alt, caption = html.escape(block.alt), html.escape(block.caption)
            drawing = block.svg.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)
            return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"
        case Folded():
            title, text = html.escape(block.title), html.escape(block.text)
            return f"<details><summary>{title}</summary><pre>{text}</pre></details>"
    return f"<p>{html.escape(block)}</p>"


def _table_html(table: Table) -> str:
    title = html.escape(table.title)
    head = "".join(f'<th scope="col">{_content(cell)}</th>' for cell in table.head)
    rows = "\n".join(map(_row_html, table.rows))
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    return (
        f'<h3>{title}</h3><div class="table" role="region" tabindex="0" aria-label="{title}">'
        f'<table aria-label="{title}">\n<thead><tr><td></td>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>{notes}"
    )


def _row_html(row: Row) -> str:
    opens = ' class="opens"' if row.opens else ""
    cells = "".join(map(_cell_html, row.cells))
    return f'<tr{opens}><th scope="row">{html.escape(row.label)}</th>{cells}</tr>'


def _cell_html(cell: Cell) -> str:
    mark = f' class="{cell.mark}"' if cell.mark else ""
    return f"<td{mark}>{_content(cell)}</td>"


def _content(cell: Cell) -> str:
    small = "".join(f"<small>{html.escape(line)}</small>" for line in cell.small)
    paper = f"<i>{html.escape(cell.paper)}</i>" if cell.paper else ""
    return html.escape(cell.text) + small + paper


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
