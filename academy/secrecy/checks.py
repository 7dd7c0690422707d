"""What a value that a rule found must look like, where its form or name alone does not say enough.

Each check gets the value and what stands before it on its line, and says whether it is a secret.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter

_PLACEHOLDER = re.compile(
    r"(?i)x{4,}|\*{3,}|\.{3}|example|placeholder|changeme|change[_-]me|your[_-]|my[_-]?(?:secret|pass|token)"
    r"|dummy|redacted|abcdefgh|0123456789|qwertyuiop|<[^>]*>|\$\{|\{\{|%\(\w+\)"
    r"|^(?:none|null|true|false|undefined|default|password|secret)$"
    r"|^(?:test|fake|mock|sample|foo|bar)[a-z_-]*$|^[a-z_.]+\(|process\.env|os\.environ|getenv"
)
_CODE_NAME = re.compile(r"^[A-Za-z_]+(?:[._/-][A-Za-z_]+)*[0-9]{0,2}$")
_SEPARATORS = re.compile(r"[-_./\\:~@+=,#]+")
_ATOMS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DIGEST_NAME = re.compile(
    r"(?i)sha[-_]?\d|md5|blake\d|hash|digest|checksum|integrity|etag|fingerprint|thumbprint|commit"
    r"|revision|\brev\b"
)
_DIGEST = re.compile(
    r"(?i)(?:(?:sha\d+|md5|blake\w+)[-:_=])?(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}"
    r"|[0-9a-f]{96}|[0-9a-f]{128})"
)
_MARKED_DIGEST = re.compile(r"(?i)(?:sha\d+|md5|blake\w+)[-:_=][0-9a-z+/]{16,}={0,2}")
#: Numbers, and the addresses of contracts and accounts.
_NO_TOKEN = re.compile(r"[-+]?[\d.,_]+|0x[0-9A-Fa-f]{1,16}[uUlL]{0,3}|0x[0-9A-Fa-f]{40}")
_PATH = re.compile(r"(?:[A-Za-z]:|~|\.{1,2})?[/\\]")


#: Commands that take a password behind ``-p`` or ``-a``.
_COMMANDS = re.compile(
    rb"\b(?:sshpass|mysql(?:dump|admin)?|mariadb|docker\s+login|podman\s+login|redis-(?:cli|server))\b"
)
_EXAMPLES = frozenset(
    {
        "pass",
        "password",
        "passwd",
        "pwd",
        "pw",
        "secret",
        "tiger",
        "user",
        "username",
        "token",
        "xxx",
    }
)


def looks_like_token(value: bytes, before: bytes) -> bool:
    """Random characters, and neither a digest nor words put together as code puts them."""
    text = _text(value)
    if _NO_TOKEN.fullmatch(text):
        return False
    return looks_random(value) and not (_is_digest(value, before) or _is_words(text))


def looks_like_password(value: bytes, before: bytes) -> bool:
    """As `looks_like_token`; but people put passwords together of words, too."""
    if not looks_random(value) or _is_digest(value, before):
        return False
    text = _text(value)
    return not (_is_words(text) and (_PATH.match(text) or text.count(".") > 1))


def looks_like_aws_secret(value: bytes, before: bytes) -> bool:
    """Forty characters that are no commit's id and no path."""
    is_hex = re.fullmatch(rb"[0-9a-f]{40}", value) is not None
    return not is_hex and not _is_words(_text(value))


def is_discord_id(value: bytes, before: bytes) -> bool:
    """Whether the first part holds a user's number in base 64, as in each of Discord's tokens."""
    first = value.partition(b".")[0]
    try:
        return base64.urlsafe_b64decode(first + b"=" * (-len(first) % 4)).isdigit()
    except (binascii.Error, ValueError):
        return False


def is_no_cache_key(value: bytes, before: bytes) -> bool:
    """``key-`` and a digest is what caches are asked for, too."""
    return re.search(rb"(?i)cache|etag|hash|digest|md5|checksum", before) is None


def is_for_curl(value: bytes, before: bytes) -> bool:
    """A password behind ``curl … -u name:``, on one line or continued on others."""
    return re.search(rb"\bcurl(?:\.exe)?\s", before) is not None and looks_like_password(
        value, before
    )


def is_for_command(value: bytes, before: bytes) -> bool:
    """A password behind ``-p`` or ``-a`` of a command that takes it there."""
    return _COMMANDS.search(before) is not None and looks_like_password(value, before)


def is_name_and_password(value: bytes, before: bytes) -> bool:
    """``name:password`` in base 64, as npm and Docker keep it."""
    name, colon, password = _decoded(value).partition(b":")
    return bool(colon and password) and (name + password).isascii()


def holds_private_key(value: bytes, before: bytes) -> bool:
    """A private key in PEM and then in base 64, as Kubernetes keeps it."""
    return b"PRIVATE KEY" in _decoded(value[:200])


def is_no_public_key(value: bytes, before: bytes) -> bool:
    """Lines of base 64 that are no certificate and no other thing that anybody may see."""
    return re.search(rb"BEGIN (?:[A-Z0-9 ]{0,30})(?:CERTIFICATE|PUBLIC KEY|CRL)", before) is None


def is_no_example(value: bytes, before: bytes) -> bool:
    """A password of an address, and neither what stands for one nor a port."""
    text = _text(value)
    is_port = text.isdigit() and len(text) <= 5
    return not (is_port or text.lower() in _EXAMPLES or _PLACEHOLDER.search(text))


def _decoded(value: bytes) -> bytes:
    whole = value.rstrip(b"=")
    whole = whole[: len(whole) - (len(whole) % 4 == 1)]
    try:
        return base64.b64decode(whole + b"=" * (-len(whole) % 4))
    except binascii.Error:
        return b""


def looks_random(value: bytes) -> bool:
    """Whether a value is something generated or chosen rather than an identifier or a placeholder.

    It needs two classes of characters, with a digit among them or capitals strewn all over it, is
    no identifier and no placeholder, and has the entropy (Shannon, bits a character) of something
    that nobody typed as a name.
    """
    text = _text(value)
    if _PLACEHOLDER.search(text) or (_CODE_NAME.match(text) and not _is_jumbled(text)):
        return False
    classes = (
        any(c.islower() for c in text)
        + any(c.isupper() for c in text)
        + any(c.isdigit() for c in text)
        + any(not c.isalnum() for c in text)
    )
    if classes < 2 or not (any(c.isdigit() for c in text) or _is_jumbled(text)):
        return False
    counts = Counter(text)
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return entropy >= (2.5 if len(text) < 16 else 3.0)


def _is_jumbled(text: str) -> bool:
    """Whether letters of both cases change places too often for words put together."""
    atoms = _ATOMS.findall(text)
    dumb = [each for each in atoms if len(each) >= 3 and not re.search("[aeiouyAEIOUY]", each)]
    shortest = 3.2 if len(text) < 30 else 3.4
    is_short = sum(map(len, atoms)) < shortest * len(atoms)
    return len(text) >= 20 and (is_short or sum(map(len, dumb)) > 0.3 * len(text))


def _is_digest(value: bytes, before: bytes) -> bool:
    text = _text(value)
    if _MARKED_DIGEST.fullmatch(text):
        return True
    return bool(_DIGEST.fullmatch(text) and _DIGEST_NAME.search(_text(before)))


def _is_words(text: str) -> bool:
    """Whether most of a value's letters are words of three letters and more, as names' are.

    Names, versions, paths and references to classes are: ``next_page_token_v2_2024``,
    ``/srv/app2/creds.json``. Random letters of both cases fall into pieces of one or two, and
    random digits stand between them more than once in a part.
    """
    words = noise = 0
    for part in filter(None, _SEPARATORS.split(text)):
        atoms = _ATOMS.findall(part)
        numbers = [each for each in atoms if each.isdigit()]
        if len(numbers) > (1 if len(part) > 6 else 2) or any(len(each) > 8 for each in numbers):
            return False
        letters = [each for each in atoms if not each.isdigit()]
        if _is_jumbled(part) or (len(part) >= 12 and sum(map(len, letters)) < 3.6 * len(letters)):
            return False
        for each in atoms:
            if each.isdigit():
                continue
            if len(each) >= 3 and re.search("[aeiouyAEIOUY]", each):
                words += len(each)
            else:
                noise += len(each)
    return words > 0 and words >= 0.4 * (words + noise) and noise <= 0.4 * len(text)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
