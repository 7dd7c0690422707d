"""Masking people: e-mail addresses, the names beside them, the author, and whose a home folder is.

An address is told from code by what it is made of: a top-level domain that exists (the public
suffix list, and those that RFC 2606, 6761 and 6762 set aside), a local part that begins with a
letter or digit, and no call, index, version or keyword around it. So decorators, ``this@Outer``,
``hero@2x.png``, ``left@right.T`` and package versions stay as they are.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

EMAIL_MASK = "<EMAIL>"
NAME_MASK = "<NAME>"

#: The sign itself, as URLs, HTML and string literals write it, and as people hide it.
_AT = (
    r"(?:[@＠]|%(?:25){0,3}40|&#0{0,4}64;|&#[xX]0{0,4}40;|&commat;|\\u0040|\\x40"
    r"|[ ]?[\[({<][ ]?(?:at|AT|@)[ ]?[\])}>][ ]?)"
)
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_DOT = r"(?:\.|[ ]?[\[({][ ]?(?:dot|DOT|\.)[ ]?[\])}][ ]?)"
_AT_DOMAIN = re.compile(rf"{_AT}({_LABEL}(?:{_DOT}{_LABEL}){{1,8}})(?![\w@])")
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
    {"com", "net", "edu", "gov", "mil", "example", "de", "pl", "uk", "fr", "nl", "eu", "io"}
)
#: Top-level domains that are, behind an ``@``, the ending of a file.
_ENDINGS = frozenset({"zip", "mov"})
#: Providers whose name is a number (163.com, 126.com, 189.cn); other numbers are versions.
_NUMBERED = frozenset({"com", "cn", "net"})
#: Kotlin's labels, and the object itself.
_KEYWORDS = frozenset({"this", "super", "return", "break", "continue", "self", "cls"})
#: ``%s`` and its kind: the address is made by the program.
_FORMAT = re.compile(r"%[-+0 #]?\d*(?:\.\d+)?[sdiruxf](?![0-9A-Fa-f])|%\(")

_CAPITALISED = r"[^\W\d_a-z][\w.'’-]{0,40}[ \t]{1,4}"
# Bounded, as the text may be hostile and this runs without RE2's guarantee of linear time.
_NAMED_EMAIL = re.compile(
    rf"(?:{_CAPITALISED}){{1,4}}(?=<{EMAIL_MASK}>)|(?:{_CAPITALISED}){{2,4}}(?=[(\[]?{EMAIL_MASK})"
)

_HOME = re.compile(
    r"(?<![\w.~$}\-])"
    r"((?:/mnt/[a-z]|/[a-z])?/Users/|(?:/var|/export|/usr)?/home/"
    r"|\b[A-Za-z]:(?:\\{1,4}|/)(?:Users|Documents and Settings)(?:\\{1,4}|/))"
    r"([^\W_][\w.\-]{0,40}(?:\\?[ ][^\W\d_a-z][\w.\-]{0,40}){0,2}(?=[\\/])|[^\W_][\w.\-]{0,40})"
)
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
    }
)


def mask_people(text: str, author: str = "") -> tuple[str, bool]:
    """Mask e-mail addresses, the names beside them, owners of home folders, and `author`.

    Gives the text, and whether anything in it was masked.
    """
    masked = _mask_emails(text)
    if masked is not text:
        masked = _NAMED_EMAIL.sub(f"{NAME_MASK} ", masked)
    if "sers" in masked or "home/" in masked or "ettings" in masked:
        masked = _HOME.sub(_mask_owner, masked)
    # A single word such as "Rust" or "Mark" is as likely something else than the author.
    if len(author.split()) > 1 and author in masked:
        masked = re.sub(rf"(?<!\w){re.escape(author)}(?!\w)", NAME_MASK, masked)
    return masked, masked != text


def _mask_emails(text: str) -> str:
    """The text with each address replaced; the very same object where there is none."""
    out: list[str] = []
    at = 0
    for found in _AT_DOMAIN.finditer(text):
        begin = max(at, found.start() - _LOCAL_CHARS)
        local = _LOCAL.search(text[begin : found.start()])
        if local is None:
            continue
        begin += local.start()
        before = text[begin - 1 : begin]
        if before == "%" and _ENCODED.match(text, begin):
            begin += 2  # to%3Aada: what stands before the address is encoded, too
        elif before and before in "%$":
            continue  # "%s@example.com", "$user@example.com": the program makes the address
        end = _end_of_address(local.group(0), found, text[found.end() : found.end() + 1])
        if end is None:
            continue
        out += [text[at:begin], EMAIL_MASK]
        at = end
    return "".join([*out, text[at:]]) if out else text


def _end_of_address(local: str, found: re.Match[str], after: str) -> int | None:
    """Where the address ends; None if it is none."""
    if local.casefold() in _KEYWORDS or _FORMAT.search(local):
        return None
    if local == "git" and after == ":":
        return None  # git@github.com:owner/name is an address of a repository, not of a person
    dots = list(_DOTS.finditer(found.group(1)))
    while dots:
        labels = _DOTS.split(found.group(1))[: len(dots) + 1]
        if _is_domain(labels):
            is_code = after in ("(", "[") and labels[-1].casefold() not in _UNMISTAKABLE
            return None if is_code else found.start(1) + sum(map(len, labels)) + _width(dots)
        # "Write to ada@x.org.Thanks": the next sentence begins without a blank.
        if not labels[-1][:1].isupper():
            return None
        dots.pop()
        after = "."
    return None


def _width(dots: list[re.Match[str]]) -> int:
    return sum(each.end() - each.start() for each in dots)


def _is_domain(labels: list[str]) -> bool:
    """Whether the labels, of which the last is the top-level one, can be an address's domain."""
    top = labels[-1]
    if not (top.islower() or top.isupper() or not top.isascii()) or not _is_top_level(top.lower()):
        return False  # Scala's x@Foo.Info: nobody writes a domain so
    if len(labels) < 2 or labels[0] in _KEYWORDS or top.lower() in _ENDINGS:
        return False
    numbers = [each for each in labels[:-1] if re.fullmatch(r"v?\d+x?", each)]
    return not numbers or (len(labels) == 2 and numbers[0].isdigit() and top in _NUMBERED)


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
    return found.group(1) + NAME_MASK + found.group(2)[len(name) :]
