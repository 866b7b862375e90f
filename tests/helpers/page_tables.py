"""The main tables of a page, without a browser."""

from __future__ import annotations

from html.parser import HTMLParser


class Tables(HTMLParser):
    """The main tables as ``{panel: {method: {column: text}}}``, the way a reader without scripts meets them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.panels: list[list[list[str]]] = []
        self.external: list[str] = []
        self.links: list[str] = []
        self.scripts = 0
        self._board = self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.scripts += tag == "script"
        loads = ("src", "data", "poster", "srcset", "action") if tag == "a" else ("src", "href", "data", "poster")
        self.external += [v for k, v in attrs if k in loads and v]
        self.links += [v for k, v in attrs if k == "href" and v]
        if tag == "table":
            self._board = "board" in (given.get("class") or "").split()
            if self._board:
                self.panels.append([])
        if self._board and tag == "tr":
            self.panels[-1].append([])
        if self._board and tag in ("td", "th"):
            self._cell = True
            self.panels[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._board = self._board and tag != "table"
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._board and self._cell:
            self.panels[-1][-1][-1] += f" {data.strip()}" if data.strip() else ""

    def cell(self, panel: int, method: str, task: str) -> str:
        """Text of one cell of a panel's main table."""
        head = self.panels[panel][0]
        column = next(i for i, text in enumerate(head) if text.split()[0] == task)
        row = next(row for row in self.panels[panel] if len(row) == len(head) and row[1].startswith(f" {method}"))
        return " ".join(row[column].split())
