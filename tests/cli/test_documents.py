"""Tables in Markdown and LaTeX: nothing in a cell is taken for a mark or a command."""

from __future__ import annotations

import re

import pytest

from xmap.cli.documents import TEX, latex, markdown

COLUMNS, NUMBERS = ("class", "accuracy %"), (False, True)
# All that TeX knows of these: commands of the kernel and of booktabs, with no argument but {} or that of the frame.
COMMAND = re.compile(
    r"\\(?:[&%$#_{}]|(?:textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textquotedbl|textasciigrave"
    r"|textendash|textemdash|dots)\{\}|\\$)|\$(?:\\(?:pm|times|leq|geq|to)|-)\$"
)
NAMES = [
    *TEX, *(chr(code) for code in range(32, 127)), r"\input{/etc/passwd}", "a & b_c", "50 % | {x}", "^^M", "~user", "C#", "$HOME",
    "<b>", "--top-k", "[80.1, 82.3]", "*", "(x)", "81.25 ±1.02", "``quoted''", "?`", "a\nb", "\\", "\\\\", "\\|", "x\\", "&lt;",
    "[x](http://host)", "__init__", "~~x~~", "Zürich", "猫",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_latex_has_nothing_that_tex_would_run_or_miss(name: str) -> None:
    lines = list(latex(COLUMNS, NUMBERS, [(name, 1.5)]))
    assert lines[1:4] == [r"\begin{tabular}{lr}", r"\toprule", r"class & accuracy \% \\"]
    assert lines[4] == r"\midrule"
    assert lines[6:] == [r"\bottomrule", r"\end{tabular}"]
    row = lines[5]
    assert row.endswith(r" & 1.5 \\")
    assert row.count(" & ") == 1 or " & " in name, "a cell is one cell"
    assert not row.startswith(("[", "*", "(")), "a rule would take it for its options"
    rest = COMMAND.sub("", row).replace(" & ", " ")
    assert not set(rest.replace("{}", "")) & set(r"\{}$&#^_%~<>|" + '"`'), rest


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_markdown_has_its_columns(name: str) -> None:
    head, line, row = markdown(COLUMNS, NUMBERS, [(name, None)])
    assert (head, line) == ("| class | accuracy % |", "| --- | ---: |")
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3, row
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*<]|(?<!\\)\]\(", row), row


def test_an_underline_within_a_word_stays_readable() -> None:
    assert next(markdown(("raw_ece", "_x_"), (False, False), [])) == r"| raw_ece | \_x\_ |"
