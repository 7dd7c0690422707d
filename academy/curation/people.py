"""Masking people: e-mail addresses, the names beside them, the author, and whose a home folder is.

An address is told from code by what it is made of: a top-level domain that exists (the public
suffix list, and those that RFC 2606, 6761 and 6762 set aside), a local part that begins with a
letter or digit, and no call, index, version or keyword around it. So decorators, ``this@Outer``,
``hero@2x.png``, ``left@right.T`` and package versions stay as they are.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from publicsuffixlist import PublicSuffixList

EMAIL_MASK = "<EMAIL>"
NAME_MASK = "<NAME>"

#: The sign itself, as URLs, HTML and string literals write it.
_WRITTEN = r"@|＠|%(?:25){0,3}40|&#0{0,4}64;|&#[xX]0{0,4}40;|&commat;|\\u0040|\\x40"
#: And as people hide it.
_IN_BRACKETS = r"[ ]?(?:at|At|AT|@)[ ]?[\])>]"
_AT = rf"(?:{_WRITTEN}|[ ]{{0,3}}[\[(<]{_IN_BRACKETS}[ ]{{0,3}})"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_DOT = r"(?:[.．。]|%2[Ee]|&#46;|[ ]{0,3}[\[(<][ ]?(?:dot|Dot|DOT|\.)[ ]?[\])>][ ]{0,3})"
_AT_DOMAIN = re.compile(rf"({_AT})({_LABEL}(?:{_DOT}{_LABEL}){{1,8}})(?!_*[^\W_])")
#: What every address has: a sign, a first label and the beginning of a dot. RE2 looks for it in a
#: tenth of the time that `re` takes for the whole, and most texts have none.
_OTHERS = r"\x{80}-\x{10ffff}"
_HINT = (
    rf"(?:{_WRITTEN}|[\[(<]{_IN_BRACKETS} *)[0-9A-Za-z{_OTHERS}][\w\-{_OTHERS}]*"
    rf"(?:[.%&{_OTHERS}]| *[\[(<])"
)
_LOCAL = re.compile(r"""(?:[^\W_][\w.%+-]*|"[^"\s][^"\n]{0,62}")$""")
_LOCAL_CHARS = 64
_ENCODED = re.compile(r"[0-9A-Fa-f]{2}(?=[^\W_])")
_DOTS = re.compile(_DOT)

#: Set aside by RFC 2606, 6761 and 9476, and by use (RFC 6762, appendix G).
_SPECIAL = frozenset(
    {
        *("example", "test", "invalid", "localhost", "local", "onion", "alt"),
        *("internal", "intranet", "private", "corp", "home", "lan"),
    }
)
#: Where a bracket right behind the address is the text's, as no attribute is called like that.
_UNMISTAKABLE = frozenset(
    {
        *("com", "net", "org", "edu", "gov", "mil", "example", "de", "pl", "uk", "fr", "nl", "eu"),
        *("io", "ch", "se", "dk", "cz", "es", "ru", "jp", "cn", "br", "au", "ca", "fi", "hu", "pt"),
    }
)
#: As people write the best known ones in sentences and signatures: Ada@Gmail.Com.
_CAPITALISED_TOPS = frozenset({"Com", "Org", "Net", "Edu", "Gov", "De", "Pl"})
#: Names of SSH's ciphers and of repositories' accounts are written like addresses of these hosts.
_NO_PEOPLE = frozenset({"openssh.com", "libssh.org", "lysator.liu.se"})
_FORGES = frozenset({"github.com", "gitlab.com", "bitbucket.org", "codeberg.org"})
#: Scripts that put no blanks between words, so that a word may touch an address.
_NO_BLANKS = "\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOUCHING = re.compile(rf"[{_NO_BLANKS}]([A-Za-z0-9][A-Za-z0-9.%+_-]*)$")
_TOUCHED = re.compile(rf"(?<=[A-Za-z])[{_NO_BLANKS}]")
_ESCAPE = re.compile(r"(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrtabfv0])(?=[^\W_])")
_FORMATTED = re.compile(r"%\(\w{1,40}\)$")
_USER = re.compile(r"://[^\s/:@]*:$")
#: Top-level domains that are, behind an ``@``, the ending of a file.
_ENDINGS = frozenset({"zip", "mov"})
#: Kotlin's labels, and the object itself.
_KEYWORDS = frozenset({"this", "super", "return", "break", "continue", "self", "cls"})
#: ``%s`` and its kind: the address is made by the program.
_FORMAT = re.compile(r"%[-+0 #]?\d*(?:\.\d+)?[sdiruxf](?![0-9A-Fa-f])|%\(")

# Bounded, and possessive wherever that is possible: the text may be hostile, and this runs without
# RE2's guarantee of linear time.
_WORD = r"[^\W\d_a-z][\w.'’-]{0,40}+"
_UNQUOTED_WORD = r"[^\W\d_a-z][\w.’-]{0,40}+"
_NAMED_EMAIL = re.compile(rf"(?:{_WORD}[ \t]{{1,4}}+){{2,4}}(?=[(\[]?{EMAIL_MASK})")
_PARTICLE = r"(?:van|von|der|den|de|la|le|du|di|da|del|dos|das|do|bin|ibn|al|ter|ten|zu|zum|af|av)"


def _full_name(word: str) -> str:
    return rf"{word}(?:,?[ \t]{{1,4}}+(?:{word}|{_PARTICLE})){{0,5}}"


#: Ada Lovelace <…>, "Lovelace, Ada" <…>, Ada de la Cruz<…>
_BEFORE_BRACKETS = re.compile(
    rf"""(?:"{_full_name(_WORD)}"|'{_full_name(_UNQUOTED_WORD)}'|{_full_name(_WORD)})"""
    rf"[ \t]{{0,4}}(?=<{EMAIL_MASK}>)"
)
#: … (Ada Lovelace)
_BEHIND = re.compile(rf"(?<={EMAIL_MASK})([ \t]{{0,4}}\(){_full_name(_WORD)}\)")

_HOME = re.compile(
    r"(?:(?<![\w.~$}\-])|(?<=[ =\"'][-][IL]))"
    r"((?:/mnt/[a-z]|/[a-z]|/System/Volumes/Data)?/Users/|(?:/var|/export|/usr)?/home/"
    r"|\b[A-Za-z]:(?:\\{1,4}|/)(?:[Uu]sers|Documents and Settings)(?:\\{1,4}|/))"
    r"([^\W_][\w.\-]{0,40}(?:\\?[ ][^\W\d_a-z][\w.\-]{0,40}){0,2}(?=[\\/])|[^\W_][\w.\-]{0,40})"
)
_FILE = re.compile(r"\.(?:[jt]sx?|html?|css|png|jpe?g|svg|webp|gif|json|md|py|vue|php)$")
_PLACEHOLDER = re.compile(r"(?i)(?:my|your|the|some|any|a)[-_]?(?:user|account)?[-_]?(?:name)?")
#: What stands for nobody: accounts of systems and services, placeholders, and the pages of a site.
_NOBODY = frozenset(
    {
        *("user", "users", "username", "user_name", "user-name", "youruser", "yourname", "you"),
        *("your_name", "your-name", "your_username", "me", "name", "someone", "somebody", "self"),
        *("shared", "public", "default", "guest", "root", "admin", "administrator", "app", "apps"),
        *("ubuntu", "debian", "centos", "fedora", "ec2-user", "azureuser", "opc", "pi", "vagrant"),
        *("runner", "runneradmin", "circleci", "travis", "jenkins", "gitlab-runner", "buildkite"),
        *("build", "builder", "buildbot", "ci", "git", "github", "gitpod", "codespace", "vscode"),
        *("docker", "node", "deno", "coder", "jovyan", "conda", "mambauser", "linuxbrew", "nix"),
        *("www", "www-data", "nginx", "apache", "postgres", "mysql", "redis", "deploy", "service"),
        *("test", "tests", "tester", "testuser", "test-user", "test_user", "dev", "developer"),
        *("foo", "bar", "baz", "example", "sample", "demo", "data", "workspace", "work", "project"),
        *("index", "page", "pages", "home", "settings", "dashboard", "about", "profile", "login"),
        *("logout", "feed", "list", "view", "views", "main", "components", "static", "assets"),
        *("products", "news", "utils", "export", "import", "search", "api", "images", "styles"),
    }
)


def mask_people(text: str, author: str = "") -> tuple[str, bool]:
    """Mask e-mail addresses, the names beside them, owners of home folders, and `author`.

    Gives the text, and whether anything in it was masked.
    """
    masked = _mask_emails(text)
    if masked is not text:
        masked = _BEFORE_BRACKETS.sub(f"{NAME_MASK} ", masked)
        masked = _BEHIND.sub(rf"\1{NAME_MASK})", masked)
        masked = _NAMED_EMAIL.sub(f"{NAME_MASK} ", masked)
    if "sers" in masked or "home/" in masked or "ettings" in masked:
        masked = _HOME.sub(_mask_owner, masked)
    # A single word such as "Rust" or "Mark" is as likely something else than the author.
    if len(author.split()) > 1 and author in masked:
        masked = re.sub(rf"(?<!\w){re.escape(author)}(?!\w)", NAME_MASK, masked)
    return masked, masked != text


def _mask_emails(text: str) -> str:
    """The text with each address replaced; the very same object where there is none."""
    if _hint().search(text.encode("utf-8", "ignore")) is None:
        return text
    out: list[str] = []
    at = 0
    for found in _AT_DOMAIN.finditer(text):
        begin = max(at, found.start() - _LOCAL_CHARS)
        local = _LOCAL.search(text[begin : found.start()])
        if local is None:
            continue
        begin += local.start()
        if touching := _TOUCHING.search(local.group(0)):
            begin += touching.start(1)
        before = text[begin - 1 : begin]
        if before == "%" and _ENCODED.match(text, begin):
            begin += 2  # to%3Aada: what stands before the address is encoded, too
        elif before == "\\" and (escape := _ESCAPE.match(text, begin)):
            begin = escape.end()  # "\\u003cada@…": so it is in a literal
        elif (before and before in "%$") or _FORMATTED.search(text[max(0, begin - 44) : begin]):
            continue  # "%s@example.com", "$user@example.com": the program makes the address
        elif before == ":" and _USER.search(text[max(0, begin - 80) : begin]):
            continue  # http://user:password@example.com: what is beside the host is a password
        end = _end_of_address(text, begin, found)
        if end is None:
            continue
        out += [text[at:begin], EMAIL_MASK]
        at = end
    return "".join([*out, text[at:]]) if out else text


@cache
def _hint() -> Any:
    import re2

    return re2.compile(_HINT)


def _end_of_address(text: str, begin: int, found: re.Match[str]) -> int | None:
    """Where the address that begins at `begin` ends; None if it is none."""
    local, sign, rest = text[begin : found.start()], found.group(1), found.group(2)
    if _FORMAT.search(local):
        return None
    labels, dots = _DOTS.split(rest), [each.group(0) for each in _DOTS.finditer(rest)]
    if touched := _TOUCHED.search(labels[-1]):
        labels[-1] = labels[-1][: touched.start()]  # ada@gmail.comまで
    while dots:
        end = found.start(2) + sum(map(len, labels)) + sum(map(len, dots))
        after = text[end : end + 2]
        if _is_domain(labels):
            return end if _is_somebody_s(local, sign, labels, after) else None
        # "Write to ada@x.org.Thanks": the next sentence begins without a blank.
        if not labels[-1][:1].isupper() and labels[-2].lower() not in {"com", "org", "net"}:
            return None
        labels.pop()
        dots.pop()
    return None


def _is_somebody_s(local: str, sign: str, labels: list[str], after: str) -> bool:
    """Whether an address with a domain that may exist is one, and not code or a repository's."""
    top, domain = labels[-1].lower(), ".".join(labels).lower()
    is_path = after[:1] in (":", "/") and after[1:2].strip() != ""
    if (local == "git" and is_path) or (domain in _FORGES and after[:1] == ":" and is_path):
        return False  # git@github.com:owner/name
    if domain in _NO_PEOPLE:
        return False
    if top in _UNMISTAKABLE:
        return True
    if sign.strip()[:1] in "[(<" or after[:1] in ("(", "["):
        return False  # items[at]value.id, left@right.to(device)
    if local.casefold() in _KEYWORDS or labels[0] in _KEYWORDS:
        return False
    return not (len(local) == 1 and len(labels[0]) == 1)  # y = x@W.data


def _is_domain(labels: list[str]) -> bool:
    """Whether the labels, of which the last is the top-level one, can be an address's domain."""
    top = labels[-1]
    is_plain = top.islower() or top.isupper() or not top.isascii() or top in _CAPITALISED_TOPS
    if not is_plain or not _is_top_level(top.lower()):
        return False  # Scala's x@Foo.Info: nobody writes a domain so
    if len(labels) < 2 or top.lower() in _ENDINGS:
        return False
    numbers = [each for each in labels[:-1] if re.fullmatch(r"v?\d+x?", each)]
    is_named = len(labels) == 2 and top.lower() in _UNMISTAKABLE and numbers[:1] != []
    return not numbers or (is_named and not numbers[0].endswith("x"))


@lru_cache(maxsize=4096)
def _is_top_level(name: str) -> bool:
    if name in _SPECIAL:
        return True
    try:
        ascii_name = name.encode("idna").decode("ascii")
    except UnicodeError:
        return False
    return _suffixes().publicsuffix(ascii_name) == ascii_name


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)


def _mask_owner(found: re.Match[str]) -> str:
    name = found.group(2).rstrip(".")
    if name.casefold() in _NOBODY or name.isdigit() or _PLACEHOLDER.fullmatch(name):
        return found.group(0)
    is_last = found.end() >= len(found.string) or found.string[found.end()] not in "/\\"
    if is_last and _FILE.search(name):
        return found.group(0)  # a file of a site: /home/banner.png
    return found.group(1) + NAME_MASK + found.group(2)[len(name) :]
