"""The parser of a commit's diff: which files it changes, and the text that a model is shown.

In the output of ``git diff`` every line of content begins with a blank, ``+``, ``-`` or ``\\``, so
a line that begins with ``diff --git`` opens a file and nothing inside a file can pretend to.
Format: https://git-scm.com/docs/diff-format
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPENING = "diff --git "
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\([abtnvfr\"\\]|[0-7]{3})")
_ESCAPED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
#: The header of a file that is changed and nothing more, as nearly all are: its id's line goes.
_PLAIN = re.compile(
    r"[^\n]*\nindex [0-9a-f]+\.\.[0-9a-f]+ (?!160000)[0-7]{6}\n"
    r'(?=--- a/[^\n"\t]+\n\+\+\+ b/([^\n"\t]+)\n@@ )'
)
_NOISE = ("index ", "similarity index ", "dissimilarity index ")


@dataclass(frozen=True)
class FileChange:
    """One changed file. `kind` is added, deleted, renamed, copied, mode or modified."""

    path: str
    kind: str
    binary: bool
    submodule: bool


@dataclass(frozen=True)
class Change:
    """What a commit does to its files, and `text`, the diff as a model is shown it.

    `text` is git's output without the object ids. `undecodable` says that some of it was not
    UTF-8 and has U+FFFD in its place.
    """

    files: tuple[FileChange, ...]
    text: str
    undecodable: bool


def parse_change(diff: bytes) -> Change:
    """Parse what ``git log -p`` printed for one commit; never fails, whatever the bytes are."""
    undecodable = False
    try:
        text = diff.decode("utf-8")
    except UnicodeDecodeError:
        text, undecodable = diff.decode("utf-8", "replace"), True
    files, shown = [], []
    for section in _sections(text):
        if plain := _PLAIN.match(section):
            files.append(FileChange(plain.group(1), "modified", binary=False, submodule=False))
            shown.append(section[plain.end() :])
            continue
        header, hunks = _split_header(section)
        file = _file(header)
        files.append(file)
        shown.append(_show(header, hunks, file))
    return Change(files=tuple(files), text="\n".join(shown), undecodable=undecodable)


def _sections(text: str) -> list[str]:
    """The part of each file, without its ``diff --git ``."""
    parts = ("\n" + text).split("\n" + _OPENING)
    return [part.removesuffix("\n") for part in parts[1:]]


def _split_header(section: str) -> tuple[list[str], str]:
    """The header's lines, and the hunks as one text (empty where there is none)."""
    at = section.find("\n@@ ")
    if at < 0:
        return section.split("\n"), ""
    return section[:at].split("\n"), section[at + 1 :]


def _file(header: list[str]) -> FileChange:
    kind, binary, submodule = "modified", False, False
    before = after = None
    for line in header[1:]:
        if line.startswith("--- "):
            before = _path(line[4:], "a/")
        elif line.startswith("+++ "):
            after = _path(line[4:], "b/")
        elif line.startswith("new file mode "):
            kind = "added"
            submodule = submodule or line.endswith(" 160000")
        elif line.startswith("deleted file mode "):
            kind = "deleted"
            submodule = submodule or line.endswith(" 160000")
        elif line.startswith("rename to "):
            kind, after = "renamed", _path(line[10:], "")
        elif line.startswith("copy to "):
            kind, after = "copied", _path(line[8:], "")
        elif line.startswith("new mode ") and kind == "modified" and len(header) == 3:
            kind = "mode"
        elif line.startswith("index ") and line.endswith(" 160000"):
            submodule = True
        elif line.startswith(("Binary files ", "GIT binary patch")):
            binary = True
    path = after or before or _path_of_opening(header[0])
    return FileChange(path=path, kind=kind, binary=binary, submodule=submodule)


def _path(text: str, prefix: str) -> str | None:
    """A path as git writes it; None for ``/dev/null``."""
    text = text.removesuffix("\t")  # git ends a path that holds a blank with a tab
    if text == "/dev/null":
        return None
    quoted = _QUOTED.fullmatch(text)
    return (_unquote(quoted.group(1)) if quoted else text).removeprefix(prefix)


def _path_of_opening(line: str) -> str:
    """The path in ``a/X b/X``, where both are the same unless other lines say more."""
    quoted = _QUOTED.match(line)
    if quoted:
        return _unquote(quoted.group(1)).removeprefix("a/")
    half = len(line) // 2
    if line[:half].removeprefix("a/") == line[half + 1 :].removeprefix("b/"):
        return line[:half].removeprefix("a/")
    return line.partition(" b/")[2] or line


def _unquote(text: str) -> str:
    out = bytearray()
    at = 0
    for found in _ESCAPE.finditer(text):
        out += text[at : found.start()].encode("utf-8", "replace")
        code = found.group(1)
        out.append(_ESCAPED[code] if code in _ESCAPED else int(code, 8) & 0xFF)
        at = found.end()
    return (out + text[at:].encode("utf-8", "replace")).decode("utf-8", "replace")


def _show(header: list[str], hunks: str, file: FileChange) -> str:
    """The file's part without object ids; a file without content still gets a line."""
    kept = [line for line in header[1:] if not line.startswith(_NOISE)]
    if any(line.startswith("+++ ") for line in kept):
        # The /dev/null side says already that the file is new or gone.
        kept = [
            line for line in kept if not line.startswith(("new file mode", "deleted file mode"))
        ]
    else:
        kept = [f"{file.kind} {file.path}", *kept]
    return "\n".join([*kept, hunks] if hunks else kept)
