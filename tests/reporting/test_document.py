"""Reports as HTML and Markdown."""

import html.parser
import re

import pytest

from a2v_tf.reporting import document, plots
from a2v_tf.reporting.document import (
    Cell,
    Folded,
    Picture,
    Report,
    Row,
    Section,
    Table,
)

TABLE = Table(
    "A <b> title",
    "What it shows.",
    [Cell("one", ("3 classes",)), Cell("two")],
    [
        Row("<mine>", [Cell("0.5 ± .1", ("(+3%)",), "0.4 (+1%)", "best"), Cell("a|b_c")]),
        Row("other", [Cell("1"), Cell("2", (), "", "worse")], opens=True),
    ],
    ["a note"],
)
REPORT = Report(
    "T & T",
    "lead",
    [
        Section("First part", [TABLE, "a < b"]),
        Section(
            "Second", [Picture('<svg width="1"></svg>', "what", 'a "plot"'), Folded("f", "{}")]
        ),
    ],
)


class Parser(html.parser.HTMLParser):
    """Checks that tags nest."""

    VOID = ("meta", "path", "use", "image")

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_html():
    text = document.to_html(REPORT)
    parser = Parser()
    parser.feed(text)
    assert parser.open == []
    assert "&lt;mine&gt;" in text
    assert "<mine>" not in text
    tags = dict(parser.tags)
    assert tags["html"] == {"lang": "en"}
    (label,) = [a["aria-label"] for _, a in parser.tags if a.get("role") == "img"]
    assert label == 'a "plot"'
    assert '<p class="about">What it shows.</p>' in text
    assert "<p>a &lt; b</p>" in text
    assert [a["href"] for tag, a in parser.tags if tag == "a"] == ["#first-part", "#second"]
    assert [a["id"] for tag, a in parser.tags if tag == "h2"] == ["first-part", "second"]
    assert [a["scope"] for tag, a in parser.tags if tag == "th"] == ["col", "col", "row", "row"]
    assert '<td class="best">0.5 ± .1<small>(+3%)</small><i>0.4 (+1%)</i></td>' in text
    assert not re.search(r"<script|https?://|src=", text)


def test_markdown():
    text = document.to_markdown(REPORT)
    assert text.splitlines()[0] == "# T & T"
    assert "\n\nWhat it shows.\n\n|  | one<br>3 classes | two |" in text
    assert "| \\<mine\\> | **0.5 ± .1** (+3%)<br>_0.4 (+1%)_ | a\\|b\\_c |" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {4}
    assert "*Picture, in the HTML report: what*" in text


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted(map(luminance, (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_everything_can_be_told_from_the_ground(theme):
    """WCAG 2.1: 4.5 for text, 3 for graphics."""
    variables = re.findall(r"--(\w+): (#\w+)", document.to_html(REPORT))
    values = {name: [v for n, v in variables if n == name][theme] for name, _ in variables}
    ground = values["ground"]
    for name in ("ink", "muted", "link", "best", "worse"):
        assert contrast(values[name], ground) >= 4.5, name
    for colour in plots.COLOURS:
        assert contrast(colour, ground) >= 3, colour
