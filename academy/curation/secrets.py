"""Finding and replacing secrets, e-mail addresses and names."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

from academy.curation.secret_rules import RULES

EMAIL_MASK = "<EMAIL>"
NAME_MASK = "<NAME>"

_EMAIL = re.compile(
    r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}\b"
)
# Most diffs hold an "@@" and no address: this much is found without trying each letter before it.
_AT = re.compile(r"@[A-Za-z0-9]")
# Bounded, as the text may be hostile and this runs without RE2's guarantee of linear time.
_CAPITALISED = r"[^\W\d_a-z][\w.'’-]{0,40}[ \t]{1,4}"
_NAMED_EMAIL = re.compile(
    rf"(?:{_CAPITALISED}){{1,4}}(?=<{EMAIL_MASK}>)|(?:{_CAPITALISED}){{2,4}}(?=[(\[]?{EMAIL_MASK})"
)
_PLACEHOLDER = re.compile(
    r"(?i)x{4,}|\*{3,}|\.{3}|example|placeholder|changeme|change[_-]me|your[_-]|my[_-]?(?:secret|pass|token)"
    r"|dummy|redacted|<[^>]*>|\$\{|\{\{|%\(|^(?:none|null|true|false|undefined|default|password|secret)$"
    r"|^(?:test|fake|mock|sample|foo|bar)[a-z_-]*$|^[a-z_.]+\(|process\.env|os\.environ|getenv"
)
_CODE_NAME = re.compile(r"^[A-Za-z_]+(?:[._/-][A-Za-z_]+)*[0-9]{0,2}$")


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
        for found in _compiled()[index].finditer(data):
            group = 1 if found.re.groups else 0
            start, end = found.span(group)
            if start >= 0 and not (rule.guess and not looks_random(data[start:end])):
                spans.append((start, -end, rule.kind))
    return _replace(data, text, sorted(spans))


def mask_people(text: str, author: str = "") -> tuple[str, bool]:
    """Mask e-mail addresses, the names beside them, and `author`; (text, anything masked?)."""
    masked = text
    if _AT.search(masked):
        masked = _EMAIL.sub(_mask_email, masked)
        if EMAIL_MASK in masked:
            masked = _NAMED_EMAIL.sub(f"{NAME_MASK} ", masked)
    # A single word such as "Rust" or "Mark" is as likely something else than the author.
    if len(author.split()) > 1 and author in masked:
        masked = masked.replace(author, NAME_MASK)
    return masked, masked != text


def looks_random(value: bytes) -> bool:
    """Whether a value beside a telling name is a secret rather than code or a placeholder.

    It needs two classes of characters, is no identifier and no placeholder, and has the entropy
    (Shannon, bits a character) of something that was generated or chosen as a password.
    """
    text = value.decode("utf-8", "replace")
    if _PLACEHOLDER.search(text) or _CODE_NAME.match(text):
        return False
    classes = (
        any(c.islower() for c in text)
        + any(c.isupper() for c in text)
        + any(c.isdigit() for c in text)
        + any(not c.isalnum() for c in text)
    )
    if classes < 2 or not any(c.isdigit() for c in text):
        return False
    counts = Counter(text)
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return entropy >= (2.5 if len(text) < 16 else 3.0)


def _mask_email(found: re.Match[str]) -> str:
    # git@github.com:owner/name is an address of a repository, not of a person.
    return found.group(0) if found.group(0).startswith("git@") else EMAIL_MASK


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


def _options() -> Any:
    import re2

    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    return options
