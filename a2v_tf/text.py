"""Tables for a terminal and in Markdown, and names that can be printed."""

import os
import re
from collections.abc import Iterable, Sequence

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def align(lines: Sequence[Sequence[str]]) -> str:
    """Lay out lines of equally many cells; the first column is to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table whose rows have as many cells as its header."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def printable(name: str | os.PathLike[str]) -> str:
    r"""A path, or a text with one, as valid Unicode: bytes that are not UTF-8 become \xe9."""
    # Not by `os.fsencode`, which in an ASCII locale cannot take its own result again.
    text = os.fsdecode(name)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(text: str | os.PathLike[str]) -> str:
    r"""As `printable`, with control characters escaped: a line break in a name becomes \n."""
    return _CONTROL.sub(
        lambda found: found[0].encode("unicode_escape").decode("ascii"), printable(text)
    )
