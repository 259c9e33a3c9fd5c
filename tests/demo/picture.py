"""Draws what `make demo` printed as an SVG of a terminal, for light and for dark pages: `make pictures` calls it.

picture.py FOLDER <OUTPUT writes FOLDER/demo-light.svg and FOLDER/demo-dark.svg. The first two steps and the last line
are drawn: the whole is longer than a screen. No word is changed; the colours are put in here.
"""

import io
import re
import sys
import textwrap

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS = 104
# Black, red, green, yellow, blue, magenta, cyan, white.
LIGHT = [(36, 41, 47), (207, 34, 46), (17, 99, 41), (125, 78, 0), (9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)]
DARK = [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)]
THEMES = {
    "light": TerminalTheme((246, 248, 250), (36, 41, 47), LIGHT),
    "dark": TerminalTheme((22, 27, 34), (230, 237, 243), DARK),
}
STYLES = [
    (re.compile(r"^\d+\. .*"), "bold blue"),
    (re.compile(r"\bCRITICAL\b|\bFAILED\b"), "bold red"),
    (re.compile(r"^ *ok\b"), "green"),
    (re.compile(r"^ *\$ .*"), "bold"),
]


def chosen(lines):
    """The lines up to the third step, and the last one."""
    third = next(at for at, line in enumerate(lines) if line.startswith("3. "))
    return [*lines[:third], "…", "", lines[-1]]


def folded(line):
    """A line as a terminal of that width would show it, broken at words."""
    indent = "  |   " if line.startswith("  | ") else " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, COLUMNS, subsequent_indent=indent, break_long_words=False, drop_whitespace=True) or [""]


def draw(lines, theme):
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), legacy_windows=False)
    for line in lines:
        text = Text(line)
        for pattern, style in STYLES:
            text.highlight_regex(pattern, Style.parse(style))
        for part in folded(line) if len(line) > COLUMNS else [None]:
            console.print(text if part is None else part, highlight=False, no_wrap=True)
    # A picture loads nothing: no fonts from elsewhere.
    code = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title="make demo", theme=theme, code_format=code, unique_id="demo")
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def main():
    lines = sys.stdin.read().rstrip().splitlines()
    for name, theme in THEMES.items():
        with open(f"{sys.argv[1]}/demo-{name}.svg", "w", encoding="utf-8") as file:
            file.write(draw(chosen(lines), theme))


main()
