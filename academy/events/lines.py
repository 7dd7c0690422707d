"""What a trainer or anybody else prints, made fit to be shown to strangers and kept.

A terminal obeys what is printed to it; a log shows it. So what would move a cursor, set a title or
turn letters round becomes visible or goes, what a carriage return overwrote goes as well, secrets
are replaced, and what is too long is cut. Colours stay, as what they are: data.

Every step takes time in proportion to the text, whatever it holds.
"""

from __future__ import annotations

import re
from typing import Any

from academy.secrecy.redact import redact

#: A text of an event that takes more bytes is cut.
LONGEST_BYTES = 16 << 10
#: What is looked at of a longer text: the cut may fall into a secret, whose rest has to be seen.
_LOOKED_AT = 2 * LONGEST_BYTES
#: How deep values lie within each other that are looked through; what lies deeper is left out.
_DEEPEST = 20

#: Sequences of ECMA-48: colours (SGR) are kept, everything else goes. The bounded parts keep an
#: escape that never ends from being looked through again and again.
_SEQUENCE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]{0,64})[ -/]{0,8}(?P<final>[@-~])"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]{0,8}[0-~]?"  # all others
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_COLOUR_PARAMETERS = re.compile(r"[0-9;:]*")
#: What is shown by its name: C0 but tab and line feed (and the escape of colours), DEL, C1, what
#: turns the direction of a text, what ends lines elsewhere, and what has no width.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f"
    r"\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_ESCAPE = re.compile(r"\x1b(?!\[[0-9;:]{0,64}m)")


def clean(text: str) -> str:
    """The text as it is kept and shown; one that was cleaned stays as it is."""
    size = len(text)
    text = text[:_LOOKED_AT]
    if not text.isprintable():
        if "\r" in text:
            text = "\n".join(map(_overwritten, text.split("\n")))
        text = _SEQUENCE.sub(_colours_only, text)
        text = _INVISIBLE.sub(_named, _ESCAPE.sub(_named, text))
    text = _without_secrets(text)
    return _cut(text, size)


def cleaned(value: Any, depth: int = 0) -> Any:
    """A value of JSON with every text in it cleaned, names as well."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        if depth >= _DEEPEST:
            return {}
        return {clean(str(name)): cleaned(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [] if depth >= _DEEPEST else [cleaned(each, depth + 1) for each in value]
    return value


def _overwritten(line: str) -> str:
    """What a terminal shows in the end of a line with carriage returns."""
    states = [state for state in line.split("\r") if state.strip()]
    return states[-1] if states else ""


def _colours_only(found: re.Match[str]) -> str:
    is_colour = found["final"] == "m" and _COLOUR_PARAMETERS.fullmatch(found["parameters"])
    return found[0] if is_colour and "\x1b[" in found[0] else ""


def _named(found: re.Match[str]) -> str:
    """A control character by its picture (Unicode, U+2400), others by their number."""
    number = ord(found[0])
    if number < 0x20:
        return chr(0x2400 + number)
    return "\u2421" if number == 0x7F else f"\\u{number:04x}"


def _without_secrets(text: str) -> str:
    if "\x1b" in text:  # a colour within a secret would hide it
        plain = _COLOUR.sub("", text)
        found = redact(plain)
        return found.text if found.kinds else text
    return redact(text).text


def _cut(text: str, size: int) -> str:
    """The text, or as much of it as fits with a note of how much is missing."""
    data = text.encode("utf-8", "replace")
    if len(data) <= LONGEST_BYTES and size <= _LOOKED_AT:
        return text
    note = " … (cut)"
    kept = data[: LONGEST_BYTES - len(note.encode())].decode("utf-8", "ignore")
    # Half of a colour's sequence is none.
    return re.sub(r"\x1b(?:\[[0-9;:]{0,64})?\Z", "", kept) + note
