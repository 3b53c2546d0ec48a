"""The register of fidelity: what it names is there, and nothing of the sources is missing."""

import ast
import functools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs/fidelity.md"
REFERENCE = re.compile(r"`([\w./-]+)(?:: ([\w.]+))?`")
WHY = ("Otherwise: ", "Open: ")


def rows() -> list[list[str]]:
    """The cells of all rows: source, statement, code, held by."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "source"]


@functools.cache
def names_of(path: pathlib.Path) -> set[str]:
    """What a module defines: functions, classes, constants, and members as Class.member."""
    found = set()

    def add(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                add(node.body, f"{prefix}{node.name}.")
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            for target in targets:
                for part in getattr(target, "elts", [target]):
                    if isinstance(part, ast.Name):
                        found.add(prefix + part.id)

    add(ast.parse(path.read_text()).body, "")
    return found


def problem(folder: str, path: str, name: str) -> str | None:
    """What is wrong with a reference, or None."""
    places = [place for place in (ROOT / folder / path, ROOT / path) if place.exists()]
    if not places:
        return f"no {path} in {folder} or the repository"
    if name and name not in names_of(places[0]):
        return f"no {name} in {path}"
    return None


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}: {row[1]}"[:60])
def test_what_a_row_names_is_there(row):
    source, statement, code, held = row
    assert source
    assert statement
    wrong = [problem("a2v_tf", *found) for found in REFERENCE.findall(code)]
    tests = [found for found in REFERENCE.findall(held) if "test_" in found[0]]
    wrong += [problem("tests", *found) for found in tests]
    assert not list(filter(None, wrong))
    if held.startswith(WHY):
        assert len(held) > 20
    else:
        assert REFERENCE.findall(code)
        assert tests


def test_a_name_that_is_gone_is_found():
    assert problem("tests", "docs/test_fidelity.py", "rows") is None
    assert problem("a2v_tf", "evaluation/settings.py", "Settings.judge") is None
    assert problem("tests", "docs/test_fidelity.py", "test_gone") == (
        "no test_gone in docs/test_fidelity.py"
    )
    assert problem("a2v_tf", "gone.py", "") == "no gone.py in a2v_tf or the repository"


def test_every_numbered_item_of_the_sources_has_a_row():
    text = "\n".join(row[0] for row in rows())
    expected = {
        "Claim": range(1, 21),
        "ICLR Table": range(1, 6),
        "ICLR Figure": range(1, 4),
        "SPL Figure": range(1, 4),
        "figure": range(1, 6),
        "Patent figure": (7, 8, 9),
    }
    for what, numbers in expected.items():
        for number in numbers:
            assert re.search(rf"{what} {number}\b", text), f"{what} {number}"
    for item in ("SPL formula (1)", "SPL Table I", "figure 6A", "figures 6B, 6C", "Patent 73"):
        assert item in text
    for number in (1, 2, 3, 4):
        assert re.search(rf"[Pp]atent (\d+, )?Table {number}\b", text), number
