"""The rules for commits. Each is a pure function that returns what it matched, or None.

Sources: CommitBench (Schall et al. 2024, arXiv:2403.05188) for bots, merges, reverts, trivial and
short messages, binary-only changes and length; CommitPackFT (Muennighoff et al. 2023,
arXiv:2308.07124) for work in progress, version bumps and generated files. They keep 56 to 75% of
the commits of well-kept repositories.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from academy.curation.git.change import Change, FileChange
from academy.curation.git.history import Commit
from academy.curation.request import CurationRequest

MAX_SUBJECT_CHARS = 150
MIN_SUBJECT_WORDS = 3

MessageFilter = Callable[[Commit, CurationRequest], str | None]
ChangeFilter = Callable[[Commit, Change, CurationRequest], str | None]

#: A mailbox, or a name of one word, that says it: ``rust-bot``, ``k8s-ci-robot``, ``JenkinsBot``.
_BOT = re.compile(r"\[bot\]$|(?:^|[-_])(?:ro)?bot(?:$|[-_])", re.IGNORECASE)
_CAMEL_BOT = re.compile(r"^[A-Z]\w*[a-z]Bot$")
#: A name of several words that says it, by what stands beside the word.
_NAMED_BOT = re.compile(
    r"\[bot\]|\(bot\)$|^(?:\w+[ ])*(?:release|ci|cd|build|deploy|merge|git\w*|auto\w*|test|lint"
    r"|sync|renovate|dependabot|snyk|security|update|version|docs|robot|jenkins|travis)"
    r"[ ](?:ro)?bot$",
    re.IGNORECASE,
)
#: Whole names, and whole mailboxes, of programs that commit.
_BOTS = frozenset((Path(__file__).parent / "bots.txt").read_text().splitlines())
#: Those of them that are people's names, too; they need an address that is no person's.
_NAMESAKES = frozenset({"travis", "jenkins", "hudson", "ci", "robot"})
_MACHINE = re.compile(
    r"(?:^|[.@_+-])(?:ci|build|builds|builder|buildbot|bots?|robot|automation|no-?reply|localhost"
    r"|travis-ci|jenkins-ci)(?:$|[.@_+-])"
)
_HASH = r"[0-9a-f]{7,64}"
#: git's own form, the conventional one, and those that name commits, revisions or requests.
_REVERT = re.compile(
    rf"""
    (?:(?:[\w./-]+(?:\([^)]*\))?!?:|\[[^\]]*\])[ ]*)?       # fix(parser): drm/i915: [lib]
    (?:partial(?:ly)?[ ]|re-?)*(?:revert(?:s|ed|ing)?|reapply|reland|backed[ ]out|back[ ]out)
    (?: [ ]*(?:"[^"]*.*["]|[“‘`«'].*["”’`»'])(?:[ ]*\(.*\))?\W*$
      | (?:\([^)]*\))?!?:
      | [ ]+(?:this|the|a)?[ ]*(?:(?:last|latest|previous|recent)[ ])?(?:\w+[ ])?
        (?:commits?|changes?|changesets?|prs?|mrs?|(?:pull|merge)[ ]requests?|merge)
        (?:[ ](?:of|from|in))?(?:[ ]*(?:{_HASH}\b|[#!]?\d).*|\W*)$
      | [ ]+(?:{_HASH}\b|r\d+\b|[#!]\d+\b)
      | \W*$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
#: git's sentence right below the subject; further below, squashed commits tell what they were.
_REVERTED = re.compile(rf"\s*[^\n]*(?:\n[^\n]+)*\n\s*This reverts commit {_HASH}\b")
_WIP = re.compile(
    r"^(?:[a-z]+(?:\([^)]*\))?!?:[ ]*)?"  # feat(parser):
    r"(?:\W*(?:wip|work[ -]in[ -]progress)(?:\([^)]*\))?"
    r"(?:[ ]*[:;,.\])>|*]|[ ]+[-–—]+[ ]|\W*\d*\W*$)"
    r"|\W*draft[ ]*[:\])]|🚧|(?:tmp|temp)[ ]*:|(?:tmp|temp|checkpoint|save ?point)\W*\d*\W*$"
    r"|(?-i:\W*(?:DO NOT MERGE|DNM)\b)|\[do not merge\])"
    r"|\[[^\]]*\bwip\b[^\]]{0,8}\]\W*$|\(wip\)\W*$|[-–—:;,][ ]*wip\W*$|(?-i:[ ]WIP)$"
    rf"|^(?:squash|fixup|amend)!|^(?:WIP|index) on \S+: {_HASH}\b|^(?:tmp|temp|wip)[ ]commit\b",
    re.IGNORECASE,
)
_VERSION = re.compile(r"[\[(]?v?\d[\w.+-]{0,40}[\])]?", re.IGNORECASE)
_VERSION_WORD = re.compile(
    r"(?:releas|bump|prepar|updat|publish|increas|increment|start|tag|cut|set|begin)(?:e|es|ed|s|ing)?"
    r"|version|versions|number|the|new|next|for|to|of|from|is|now|at|and|in|package|project|app"
    r"|development|dev|post|beta|alpha|rc|final|snapshot|changelog|(?:chore|build)(?:\(\w+\))?"
    r"|->|=>|→|#"
)
_TRIVIAL = frozenset((Path(__file__).parent / "trivial_subjects.txt").read_text().splitlines())
_GENERATED = re.compile(
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?"
    r"|poetry\.lock|pdm\.lock|uv\.lock|pipfile\.lock|conda-lock\.yml|cargo\.lock|gemfile\.lock"
    r"|composer\.lock|go\.sum|go\.work\.sum|mix\.lock|pubspec\.lock|podfile\.lock|flake\.lock"
    r"|packages\.lock\.json|gradle\.lockfile|deno\.lock|\.terraform\.lock\.hcl)$"
    r"|\.(?:min\.(?:js|css)|map|snap|pb\.go|pb\.cc|pb\.h|pyi?c|po|pot|mo|svg|ipynb|lock)$"
    r"|_pb2(?:_grpc)?\.pyi?$|\.(?:g|freezed|generated|designer)\.[a-z]+$"
    r"|(?:^|/)(?:node_modules|vendor|third_party|dist|\.yarn|__snapshots__|__generated__|generated)/",
    re.IGNORECASE,
)


def merge(commit: Commit, request: CurationRequest) -> str | None:
    """More than one parent (CommitBench): git shows no diff of its own for it."""
    return f"{len(commit.parents)} parents" if len(commit.parents) > 1 else None


def shallow_boundary(commit: Commit, request: CurationRequest) -> str | None:
    """The cut of a shallow clone: it looks like a root with the whole tree as its diff."""
    return "cut of a shallow clone" if commit.boundary else None


def bot(commit: Commit, request: CurationRequest) -> str | None:
    """The author is a program (CommitBench): by the address, or by a whole name that is a bot's.

    Travis Oakley, Ruth Jenkins and Jan Bot are people.
    """
    return _as_bot(commit.author_name, commit.author_email)


@lru_cache(maxsize=4096)
def _as_bot(author_name: str, author_email: str) -> str | None:
    """Why an author is a bot; few people write most of a history, so it is asked once for each."""
    name = " ".join(author_name.split())
    address = author_email.strip().casefold()
    # GitHub's private addresses are 1234+login@users.noreply.github.com.
    mailbox = re.sub(r"^\d+\+", "", address.partition("@")[0])
    is_word = " " not in name
    if _NAMED_BOT.search(name) or (is_word and (_BOT.search(name) or _CAMEL_BOT.search(name))):
        return f"author is {name!r}"
    if _BOT.search(mailbox):
        return f"author matches {mailbox!r}"
    known = name.casefold().replace("_", "-")
    known = known if known in _BOTS else known.replace(" ", "-")
    machine = address.removesuffix("@users.noreply.github.com")
    is_bot = known in _BOTS and (known not in _NAMESAKES or _MACHINE.search(machine) is not None)
    if is_bot or address in _BOTS or (mailbox in _BOTS and mailbox not in _NAMESAKES):
        return f"author is {name!r} <{address}>"
    return None


def revert(commit: Commit, request: CurationRequest) -> str | None:
    """A revert (CommitBench), by its form: its reason lies in another commit."""
    found = _REVERT.match(commit.subject)
    if found is None and "This reverts commit " in commit.message:
        found = _REVERTED.match(commit.message)
    return found.group(0) if found else None


def work_in_progress(commit: Commit, request: CurationRequest) -> str | None:
    """WIP, fixup!, squash! and the like (CommitPackFT), by their form: ``WIP:``, ``[WIP]``."""
    found = _WIP.search(commit.subject)
    return found.group(0).strip() if found else None


def version_only(commit: Commit, request: CurationRequest) -> str | None:
    """A message that only names a version (CommitPackFT)."""
    words = [word.strip(".,:;!\"'`").casefold() for word in commit.subject.split()]
    for word in filter(None, words):
        if not (_VERSION.fullmatch(word) or _VERSION_WORD.fullmatch(word)):
            return None  # as it is with most commits at the first word
    named = any(_VERSION.fullmatch(word) or word == "version" for word in words)
    return commit.subject if named else None


def trivial_subject(commit: Commit, request: CurationRequest) -> str | None:
    """A message that would fit any commit (CommitBench's idea; `trivial_subjects.txt` is ours)."""
    plain = commit.subject.strip(" .!?,;:-*#`'\"").casefold()
    plain = re.sub(r"^[a-z]{2,10}(?:\([^)]*\))?!?: +", "", plain[:200])
    return commit.subject if plain in _TRIVIAL else None


def short_subject(commit: Commit, request: CurationRequest) -> str | None:
    """Fewer than three words (CommitBench): no sentence."""
    words = sum(map(_tells, commit.subject.split()))
    return commit.subject or "(empty)" if words < MIN_SUBJECT_WORDS else None


def long_subject(commit: Commit, request: CurationRequest) -> str | None:
    """A first line of more than 150 characters is no subject (our own rule, twice git's advice)."""
    length = len(commit.subject)
    return f"{length} characters" if length > MAX_SUBJECT_CHARS else None


def foreign_script(commit: Commit, request: CurationRequest) -> str | None:
    """More than half of the subject's letters are not Latin.

    A rule on scripts, as language detectors are wrong on 7 to 20% of commit subjects. Polish,
    German or Vietnamese pass.
    """
    subject = commit.subject[:500]
    if subject.isascii():
        return None
    letters = [c for c in subject if c.isalpha()]
    foreign = sum(
        not c.isascii() and not unicodedata.name(c, "").startswith("LATIN") for c in letters
    )
    return f"{foreign} of {len(letters)} letters" if foreign * 2 > len(letters) else None


def oversized_change(commit: Commit, change: Change, request: CurationRequest) -> str | None:
    """More than 200 kB of diff: only its beginning was read."""
    return "more than 200 kB" if commit.truncated else None


def empty_change(commit: Commit, change: Change, request: CurationRequest) -> str | None:
    """No file changes, or only modes and names do: there is no text to describe."""
    if not change.files:
        return "no file changes"
    has_text = "\n@@ " in change.text or any(file.binary for file in change.files)
    return None if has_text else "no content changes"


def many_files(commit: Commit, change: Change, request: CurationRequest) -> str | None:
    """More than `max_files` files (CommitPackFT): a sweep, seldom one thought."""
    count = len(change.files)
    return f"{count} files" if count > request.max_files else None


def binary_only(commit: Commit, change: Change, request: CurationRequest) -> str | None:
    """Only binary files change (CommitBench)."""
    binary = bool(change.files) and all(file.binary for file in change.files)
    return change.files[0].path if binary else None


def generated_only(commit: Commit, change: Change, request: CurationRequest) -> str | None:
    """Only lock files, generated files, vendored files or submodule pointers change."""
    generated = bool(change.files) and all(map(_is_generated, change.files))
    return change.files[0].path if generated else None


def undecodable(commit: Commit, change: Change, request: CurationRequest) -> str | None:
    """Bytes that are not UTF-8: the model would learn replacement characters."""
    return "not UTF-8" if change.undecodable or "\ufffd" in commit.subject else None


def long_diff(commit: Commit, change: Change, request: CurationRequest) -> str | None:
    """A diff longer than `max_diff_chars`: the trainer would cut it and the answer off."""
    length = len(change.text)
    return f"{length} characters" if length > request.max_diff_chars else None


def _tells(word: str) -> bool:
    """Whether there is a letter or a digit in it."""
    return word.isalnum() or any(map(str.isalnum, word))


def _is_generated(file: FileChange) -> bool:
    return file.submodule or file.binary or _is_generated_path(file.path)


@lru_cache(maxsize=4096)
def _is_generated_path(path: str) -> bool:
    return _GENERATED.search(path) is not None


MESSAGE_FILTERS: tuple[MessageFilter, ...] = (
    merge,
    shallow_boundary,
    bot,
    revert,
    work_in_progress,
    version_only,
    trivial_subject,
    short_subject,
    long_subject,
    foreign_script,
)
CHANGE_FILTERS: tuple[ChangeFilter, ...] = (
    oversized_change,
    empty_change,
    many_files,
    binary_only,
    generated_only,
    undecodable,
    long_diff,
)
