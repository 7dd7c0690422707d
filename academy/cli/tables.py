"""Tables that fit the terminal; an id, a name or a path in them is never cut or broken.

Prose gives way first: it is broken between words. Where that is not enough each row becomes a
block of lines, a value beside its title. What is longer than a line even then runs over the edge,
where the terminal wraps it and still copies it whole.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence

from rich.cells import cell_len

#: How a piece of a cell is decorated, by its column's title; the title is empty in the heading.
Style = Callable[[str, str], str]

_GAP = "  "
#: A column of prose gives up at most half of its width, and none of these: a word a line cannot be
#: read.
_READABLE = 20
#: They would move what stands beside them, or hide it: Unicode's controls of direction.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def laid_out(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    width: int | None,
    prose: Collection[str] = (),
    style: Style | None = None,
) -> list[str]:
    """The lines of a table, with its heading, for a terminal of `width` cells.

    The columns named in `prose` may be broken between words; all others are kept whole. Without a
    width (a pipe) each row is one line. `style` decorates pieces, which it must not lengthen.
    """
    is_prose = [title in prose for title in columns]
    cells = [
        [_text(each, broken) for each, broken in zip(row, is_prose, strict=True)] for row in rows
    ]
    natural = [
        max(map(cell_len, [title, *(row[index] for row in cells)]))
        for index, title in enumerate(columns)
    ]
    widths = natural if width is None else _fitted(columns, cells, natural, is_prose, width)
    decorate = style or (lambda title, piece: piece)
    if widths is None:
        assert width is not None
        return _blocks(columns, cells, is_prose, width, decorate)
    lines = [_line(columns, widths, [""] * len(columns), decorate)]
    for row in cells:
        pieces = [
            wrapped(text, room) if broken else [text]
            for text, room, broken in zip(row, widths, is_prose, strict=True)
        ]
        for number in range(max(map(len, pieces))):
            texts = [each[number] if number < len(each) else "" for each in pieces]
            lines.append(_line(texts, widths, columns, decorate))
    return lines


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of `width` cells, broken between words only; a longer word has a line."""
    lines = [""]
    for word in text.split():
        if not lines[-1]:
            lines[-1] = word
        elif cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def printable(text: str) -> str:
    """The text with what would move the cursor, colour the terminal or be no text, as escapes."""
    return "".join(
        each.encode("unicode_escape").decode()
        if unicodedata.category(each) in _UNPRINTABLE or each in _DIRECTIONS
        else each
        for each in text
    )


def _text(cell: object, broken: bool) -> str:
    text = "" if cell is None else str(cell)
    return printable(" ".join(text.split()) if broken else text)


def _fitted(
    columns: Sequence[str],
    cells: list[list[str]],
    natural: list[int],
    is_prose: list[bool],
    width: int,
) -> list[int] | None:
    """The widths at which all columns fit side by side; None if prose cannot give so much way."""
    widths = list(natural)
    for index in range(len(columns)):
        if is_prose[index]:
            texts = [columns[index], *(row[index] for row in cells)]
            longest = max((cell_len(word) for text in texts for word in text.split()), default=0)
            widths[index] = max(longest, min(natural[index] // 2, _READABLE))
    room = width - sum(widths) - len(_GAP) * (len(columns) - 1)
    if room < 0:
        return None
    while room and (narrow := [i for i, each in enumerate(widths) if each < natural[i]]):
        for index in narrow[:room]:
            widths[index] += 1
            room -= 1
    return widths


def _line(
    texts: Sequence[str], widths: Sequence[int], titles: Sequence[str], decorate: Style
) -> str:
    """One line; what stands to the right of its last text is not padded."""
    last = max((index for index, text in enumerate(texts) if text), default=-1)
    parts = [
        decorate(titles[index], text)
        + " " * (0 if index == last else widths[index] - cell_len(text))
        for index, text in enumerate(texts[: last + 1])
    ]
    return _GAP.join(parts)


def _blocks(
    columns: Sequence[str],
    cells: list[list[str]],
    is_prose: list[bool],
    width: int,
    decorate: Style,
) -> list[str]:
    """Each row as a block: a title and its value a line, and an empty line between two rows."""
    label = max(map(cell_len, columns))
    lines: list[str] = []
    for row in cells:
        if lines:
            lines.append("")
        for title, text, broken in zip(columns, row, is_prose, strict=True):
            if not text:
                continue
            room = width - label - len(_GAP)
            pieces = wrapped(text, room) if broken else [text]
            head = decorate("", title) + " " * (label - cell_len(title)) + _GAP
            if max(map(cell_len, pieces)) <= room:
                lines.append(head + decorate(title, pieces[0]))
                indent = " " * (label + len(_GAP))
                lines += [indent + decorate(title, piece) for piece in pieces[1:]]
                continue
            lines.append(head.rstrip())
            pieces = wrapped(text, width - len(_GAP)) if broken else [text]
            fits = max(map(cell_len, pieces)) <= width - len(_GAP)
            lines += [(_GAP if fits else "") + decorate(title, piece) for piece in pieces]
    return lines
