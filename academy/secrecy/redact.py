"""Finding and replacing secrets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from academy.secrecy.rules import RULES, SecretRule

#: How much before a value its rule is shown, in bytes, at most.
_BEFORE = 240
#: The longest block that is a secret, in bytes: a key of 16,384 bits has 13,000.
_LONGEST_BLOCK = 16 << 10


@dataclass(frozen=True)
class Redacted:
    """A text without its secrets, and the kinds that were found in it."""

    text: str
    kinds: frozenset[str]


def redact(text: str) -> Redacted:
    """Replace each secret by ``<SECRET:kind>``, which names what was there."""
    data = text.encode("utf-8", "ignore")
    candidates = _matcher().Match(data)
    if not candidates:
        return Redacted(text, frozenset())
    spans = []
    for index in candidates:
        rule = RULES[index]
        if rule.end is not None:
            spans += _blocks(data, rule, _compiled()[index], _ends()[rule.end])
            continue
        for found in _compiled()[index].finditer(data):
            group = 1 if found.re.groups else 0
            start, end = found.span(group)
            if start < 0:
                continue
            if rule.check is None or rule.check(data[start:end], _before(data, start)):
                spans.append((start, -end, rule.kind))
    return _replace(data, text, sorted(spans))


def _before(data: bytes, start: int) -> bytes:
    """What stands before a value on its line, which a backslash continues on the next."""
    before = data[max(0, start - _BEFORE) : start]
    return before.replace(b"\\\n", b"  ").rpartition(b"\n")[2]


def _blocks(data: bytes, rule: SecretRule, beginning: Any, end: Any) -> list[tuple[int, int, str]]:
    spans: list[tuple[int, int, str]] = []
    reached = 0
    for found in beginning.finditer(data):
        start = found.start()
        if start < reached:
            continue
        closed = end.search(data, start, start + _LONGEST_BLOCK)
        reached = max(found.end(), closed.end() if closed else 0)
        spans.append((start, -reached, rule.kind))
    return spans


def _replace(data: bytes, text: str, spans: list[tuple[int, int, str]]) -> Redacted:
    if not spans:
        return Redacted(text, frozenset())
    out, at, kinds = [], 0, set()
    for start, minus_end, kind in spans:
        end = -minus_end
        if start < at:  # inside what a longer or earlier match replaced already
            at = max(at, end)
            continue
        out += [data[at:start], f"<SECRET:{kind}>".encode()]
        kinds.add(kind)
        at = end
    out.append(data[at:])
    return Redacted(b"".join(out).decode("utf-8", "replace"), frozenset(kinds))


@cache
def _matcher() -> Any:
    """All rules as one automaton: most texts are passed by with a single scan."""
    import re2

    matcher = re2.Set.SearchSet(_options())
    for rule in RULES:
        matcher.Add(rule.pattern.encode())
    matcher.Compile()
    return matcher


@cache
def _compiled() -> tuple[Any, ...]:
    import re2

    return tuple(re2.compile(rule.pattern.encode(), _options()) for rule in RULES)


@cache
def _ends() -> dict[str, Any]:
    import re2

    ends = {rule.end for rule in RULES if rule.end is not None}
    return {end: re2.compile(end.encode(), _options()) for end in ends}


def _options() -> Any:
    import re2

    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    return options
