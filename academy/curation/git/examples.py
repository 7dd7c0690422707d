"""From a repository's history to training rows: read, filter, render."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import islice
from pathlib import Path

from academy.curation.git.change import Change, parse_change
from academy.curation.git.commit_cache import CommitCache
from academy.curation.git.filters import (
    CHANGE_FILTERS,
    MESSAGE_FILTERS,
    ChangeFilter,
    MessageFilter,
)
from academy.curation.git.history import Commit, list_commits, read_commits
from academy.curation.git.outcome import Dropped, Example, Outcome
from academy.curation.git.repository import Repository, inspect, is_repository
from academy.curation.git.shadow import Shadow, git_version
from academy.curation.request import CurationRequest
from academy.curation.sources import Row, clean

MESSAGE_PROMPT = "Write a commit message for this change:"
CHANGE_PROMPT = "Write the change for this commit message:"
_TRAILER = re.compile(
    r"^(?:signed-off-by|co-authored-by|reviewed-by|acked-by|tested-by|reported-by|suggested-by|cc"
    r"|change-id|git-svn-id|reviewed-on|pull-request|bug|closes|fixes|refs?|see-also|generated-by"
    r"|co-developed-by|approved-by|differential revision|commit-queue|auto-submit|backport-of):",
    re.IGNORECASE,
)
_WINDOW = 500  # commits that one git process is asked for
_LATEST = 2**53  # the largest time that JSON readers keep exact


def open_repositories(
    paths: Sequence[str] | None, allowed_roots: Sequence[Path]
) -> list[tuple[str, Repository]]:
    """The repositories to read, each with a name of its own within this dataset.

    With `paths` None every allowed root that is a repository itself is read. A repository that is
    named twice is read once. Raises `RepositoryRefused` before anything is read, and `Unavailable`
    without git.
    """
    if paths is None:
        paths = [str(root) for root in allowed_roots if is_repository(root)]
    if paths:
        git_version()  # says plainly that git is missing, before GitPython fails to be imported
    found: dict[Path, Repository] = {}
    for path in paths:
        repository = inspect(path, allowed_roots)
        found.setdefault(repository.git_dir, repository)
    named: list[tuple[str, Repository]] = []
    for repository in found.values():
        taken = sum(repository.name == each.name for _, each in named)
        named.append((f"{repository.name}-{taken + 1}" if taken else repository.name, repository))
    return named


def read_examples(
    name: str,
    repository: Repository,
    request: CurationRequest,
    scratch: Path,
    tick: Callable[[], None],
    cache: CommitCache | None = None,
) -> Iterator[Outcome]:
    """Yield each commit read, kept or dropped, newest first, until enough were kept.

    `scratch` is a folder in which the shadow repository lives meanwhile. With `cache`, git
    is asked only for the commits that no earlier run has judged; the outcome is the same.
    """
    kept = 0
    if request.git_commits_limit == 0:
        return
    with tempfile.TemporaryDirectory(prefix="shadow-", dir=scratch) as folder:
        shadow = Shadow(repository, Path(folder))
        outcomes = (
            _fresh(name, shadow, request, tick)
            if cache is None
            else _cached(name, shadow, request, tick, cache)
        )
        with closing(outcomes):
            for outcome in outcomes:
                yield outcome
                kept += isinstance(outcome, Example)
                if kept >= request.git_commits_limit:
                    break
    if cache is not None:
        cache.save()


def _fresh(
    name: str, shadow: Shadow, request: CurationRequest, tick: Callable[[], None]
) -> Generator[Outcome, None, None]:
    with closing(read_commits(shadow, tick)) as commits:
        for commit in commits:
            yield judge(name, commit, request)


def _cached(
    name: str,
    shadow: Shadow,
    request: CurationRequest,
    tick: Callable[[], None],
    cache: CommitCache,
) -> Generator[Outcome, None, None]:
    """Walk the ids in git's order, a window at a time, and read only the commits not yet known."""
    cache.begin(shadow, tick)
    with closing(list_commits(shadow, tick)) as ids:
        while window := list(islice(ids, _WINDOW)):
            unknown = [each for each in window if each not in cache]
            with closing(read_commits(shadow, tick, only=unknown)) as commits:
                for commit in commits:
                    cache.add(commit.id, judge(name, commit, request))
            for each in window:
                yield cache.outcome(each)


def judge(name: str, commit: Commit, request: CurationRequest) -> Example | Dropped:
    """Put one commit through the filters, those on the message before its diff is parsed."""
    by_message, by_change = _filters_but(request.disabled_filters)
    for message_filter in by_message:
        matched = message_filter(commit, request)
        if matched is not None:
            return _dropped(name, commit, message_filter.__name__, matched)
    change = parse_change(commit.diff)
    for change_filter in by_change:
        matched = change_filter(commit, change, request)
        if matched is not None:
            return _dropped(name, commit, change_filter.__name__, matched)
    return Example(row=_row(name, commit, change, request), author=commit.author_name)


@lru_cache(maxsize=16)
def _filters_but(
    disabled: tuple[str, ...],
) -> tuple[tuple[MessageFilter, ...], tuple[ChangeFilter, ...]]:
    """The filters that a request leaves on, which would else be asked for at each commit."""
    return (
        tuple(each for each in MESSAGE_FILTERS if each.__name__ not in disabled),
        tuple(each for each in CHANGE_FILTERS if each.__name__ not in disabled),
    )


def _row(name: str, commit: Commit, change: Change, request: CurationRequest) -> Row:
    message = commit.subject if request.commit_message == "subject" else without_trailers(commit)
    if request.git_example == "message":
        prompt, answer = f"{MESSAGE_PROMPT}\n\n{clean(change.text)}", clean(message)
    else:
        files = "\n".join(f"{file.kind} {file.path}" for file in change.files)
        prompt, answer = (
            f"{CHANGE_PROMPT}\n\n{clean(message)}\n\n{clean(files)}",
            clean(change.text),
        )
    return Row(
        id=f"git:{name}:{commit.id}",
        messages=({"role": "user", "content": prompt}, {"role": "assistant", "content": answer}),
        source="git",
        group=f"git:{name}",
        time=min(max(commit.time, 0), _LATEST),
        provenance={
            "repository": name,
            "commit": commit.id,
            "committed_at": min(max(commit.time, 0), _LATEST),
            "files": len(change.files),
        },
    )


def without_trailers(commit: Commit) -> str:
    """The whole message without the trailers, which name people and systems."""
    lines = [line for line in commit.message.split("\n") if not _TRAILER.match(line.strip())]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _dropped(name: str, commit: Commit, filter_name: str, matched: str) -> Dropped:
    return Dropped(
        id=f"git:{name}:{commit.id}", filter=filter_name, matched=matched, text=commit.subject
    )
