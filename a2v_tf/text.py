"""Tables for a terminal."""

from collections.abc import Sequence


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
