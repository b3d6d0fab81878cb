"""Tables on the terminal, and as Markdown where asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from osor_video.benchmark.table import Rows, markdown

PLAIN_WIDTH = 150

Tables = Sequence[tuple[str, Sequence[str], Rows]]
"""Title, header and rows of each."""


def show_tables(tables: Tables, markdown_file: Path | None = None) -> None:
    """Print ``tables``; all but the first column are figures."""
    # In a file or a pipe rich would squeeze the table into 80 columns.
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for title, header, body in tables:
        table = Table(title=title, title_justify="left")
        for number, name in enumerate(header):
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for line in body:
            # "[dev]" is a part of a licence's name, not a style.
            table.add_row(*(escape(cell) for cell in line))
        console.print(table)
    if markdown_file:
        markdown_file.parent.mkdir(parents=True, exist_ok=True)
        markdown_file.write_text(
            "\n".join(markdown(header, body) for _, header, body in tables), encoding="utf-8"
        )
