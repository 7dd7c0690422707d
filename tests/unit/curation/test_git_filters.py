"""Each rule for commits, on what it must drop and on what it must let pass."""

from __future__ import annotations

import pytest

from academy.curation.git.change import Change, FileChange
from academy.curation.git.examples import without_trailers
from academy.curation.git.filters import CHANGE_FILTERS, MESSAGE_FILTERS
from academy.curation.git.history import Commit
from academy.curation.request import CurationRequest

REQUEST = CurationRequest()


def commit(message: str, author: str = "Ada Writer", email: str = "ada@writer.example") -> Commit:
    return Commit("a" * 40, ("b" * 40,), 0, author, email, message, b"", False, False)


def verdict(each: Commit) -> str | None:
    return next((rule.__name__ for rule in MESSAGE_FILTERS if rule(each, REQUEST)), None)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Teach the parser to read tables", None),
        ("Fix crash when the config is empty", None),
        ("feat(api): add an endpoint for health", None),
        ("Add a note on how reverts are made", None),
        ("Temporarily keep both parsers", None),
        ("Wipe the cache before a release", None),
        ("Support Python 3.14 in the build", None),
        ("Release the lock when the worker dies", None),
        ("Drop support for 2.7", None),
        ("Fix #123: order of the arguments", None),
        ("Żółta łódź płynie do portu", None),
        ('Revert "Teach the parser"', "revert"),
        ("Revert the timeout to thirty seconds", None),
        ("Revert to the old parser for tables", None),
        ("Reverts are shown in the history view", None),
        ('fix: revert "Teach the parser"', "revert"),
        ("revert: teach the parser", "revert"),
        ("revert(parser): read the tables again", "revert"),
        ("Revert 1a2b3c4d and 5e6f7a8b", "revert"),
        ("Revert r1234 because of the tables", "revert"),
        ("Revert PR #12 again", "revert"),
        ('Reapply "Teach the parser"', "revert"),
        ("Undo the parser\n\nThis reverts commit 1a2b3c4d5e6f.", "revert"),
        ("Teach it (#8)\n\n* Try\n\n* Revert\n\nThis reverts commit 1a2b3c4d.", None),
        ("Reverting the last two commits", "revert"),
        ("WIP", "work_in_progress"),
        ("[WIP] teach the parser", "work_in_progress"),
        ("fixup! Teach the parser", "work_in_progress"),
        ("tmp: try another way", "work_in_progress"),
        ("Teach the parser (WIP)", "work_in_progress"),
        ("Teach the parser - wip", "work_in_progress"),
        ("Work in progress: the parser", "work_in_progress"),
        ("DO NOT MERGE: try another way", "work_in_progress"),
        ("checkpoint 3", "work_in_progress"),
        ("WIP on main: 1a2b3c4 Teach the parser", "work_in_progress"),
        ("WIP limits are shown on the board", None),
        ("Add a WIP limit to the board", None),
        ("Checkpoint the optimizer every hour", None),
        ("Temp files are removed at the end", None),
        ("Do not merge cells that are apart", None),
        ("Work in progress limits of the board", None),
        ("Index on users: add an email", None),
        ("Checkpoint: save the optimizer state", None),
        ("Savepoint: roll back nested transactions", None),
        ("tmp/ is ignored by git now", None),
        ("Strip [WIP] from pull request titles", None),
        ("Ignore (wip) branches in the list", None),
        ("do not merge: reject duplicate keys", None),
        ("Revert 404 handling to a plain page", None),
        ("Revert 100% width of the table", None),
        ("Revert commit message template handling", None),
        ("Revert pull request button colours", None),
        ("Revert the last commit when save fails", None),
        ('Revert "foo" to the default when unset', None),
        ("feat: WIP: teach the parser", "work_in_progress"),
        ("wip(parser): read tables", "work_in_progress"),
        ("🚧 teach the parser tables", "work_in_progress"),
        ("Draft: teach the parser tables", "work_in_progress"),
        ("[draft] teach the parser tables", "work_in_progress"),
        ("WIP, teach the parser tables", "work_in_progress"),
        ("**WIP** teach the parser tables", "work_in_progress"),
        ("Teach the parser tables WIP", "work_in_progress"),
        ("Teach the parser [WIP 3]", "work_in_progress"),
        ("Revert.", "revert"),
        ("Revert the previous change", "revert"),
        ("Revert changes from #12", "revert"),
        ('drm/i915: Revert "Teach the parser"', "revert"),
        ('[lib] Revert "Teach the parser"', "revert"),
        ('Partially revert "Teach the parser"', "revert"),
        ('Reland "Teach the parser"', "revert"),
        ("Backed out changeset 123abc4 (bug 1)", "revert"),
        ('Revert "Read "quoted" names" (#12) (#13)', "revert"),
        ("1.2.3", "version_only"),
        ("v2.0.0-rc.1", "version_only"),
        ("Bump version to 1.2.3", "version_only"),
        ("Release 2.0.0", "version_only"),
        ("chore(release): 4.1.0", "version_only"),
        ("Bump version: 0.1.0 → 0.2.0", "version_only"),
        ("Update README.md", "trivial_subject"),
        ("fix typo", "trivial_subject"),
        ("docs: fix typos.", "trivial_subject"),
        ("Minor fixes", "trivial_subject"),
        ("Add parser", "short_subject"),
        ("", "short_subject"),
        ("- - -", "short_subject"),
        ("word " * 40, "long_subject"),
        ("修正 解析器 的 错误", "foreign_script"),
        ("Исправить ошибку разбора таблиц", "foreign_script"),
    ],
)
def test_a_message_gets_the_verdict_it_deserves(message: str, expected: str | None) -> None:
    assert verdict(commit(message)) == expected


@pytest.mark.parametrize(
    ("author", "email", "expected"),
    [
        ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com", "bot"),
        ("renovate", "bot@renovateapp.com", "bot"),
        ("release-bot", "r@x", "bot"),
        ("GitHub", "pre-commit-ci@x", "bot"),
        ("Travis CI", "builds@ci.example", "bot"),
        ("jenkins", "jenkins@ci.example", "bot"),
        ("Renovate Bot", "renovate@whitesource.example", "bot"),
        ("Miss Islington (bot)", "31488909+miss-islington@users.noreply.github.com", "bot"),
        ("K8s CI Robot", "k8s-ci-robot@users.noreply.github.com", "bot"),
        ("Release Bot", "releases@company.example", "bot"),
        ("CI Bot", "ci@company.example", "bot"),
        ("BrewTestBot", "1589480+BrewTestBot@users.noreply.github.com", "bot"),
        ("Hudson", "1234+hudson@users.noreply.github.com", None),
        ("Travis", "5+travis@users.noreply.github.com", None),
        ("Ada Writer", "ada+bot@writer.example", None),
        ("Marie Le-Bot", "marie@lebot.example", None),
        ("Travis Oakley", "travis@oakley.example", None),
        ("Travis", "travis@oakley.example", None),
        ("Ruth Jenkins", "jenkins@work.example", None),
        ("Karl Hudson", "hudson@hudson.example", None),
        ("Jan Bot", "jan.bot@writer.example", None),
        ("Ann Abbott", "abbott@x", None),
        ("Robot Roberts", "robots@x", None),
        ("Ian Talbot", "talbot@botanics.example", None),
    ],
)
def test_a_program_is_told_from_a_person(author: str, email: str, expected: str | None) -> None:
    assert verdict(commit("Teach the parser to read tables", author, email)) == expected


def test_a_hostile_subject_takes_no_time() -> None:
    for text in ("1." * 100_000, "fix " * 50_000, "a-" * 100_000, "((" * 100_000, "A " * 100_000):
        verdict(commit(text, text, text))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["src/a.py"], None),
        (["src/a.py", "yarn.lock"], None),
        (["yarn.lock"], "generated_only"),
        (["web/package-lock.json", "go.sum"], "generated_only"),
        (["dist/app.js", "vendor/x/y.go"], "generated_only"),
        (["proto/a_pb2.py", "a.min.js"], "generated_only"),
        (["distribution/app.py"], None),
        (["vendors.py"], None),
    ],
)
def test_generated_files_alone_are_no_example(paths: list[str], expected: str | None) -> None:
    files = tuple(FileChange(path, "modified", False, False) for path in paths)
    change = Change(files, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", False)
    each = commit("Teach the parser to read tables")
    dropped = (rule.__name__ for rule in CHANGE_FILTERS if rule(each, change, REQUEST))
    assert next(dropped, None) == expected


def test_trailers_are_left_out_of_a_full_message() -> None:
    text = "Teach it\n\nWhy not: it could not.\n\nSigned-off-by: A <a@b>\nCo-authored-by: C <c@d>"
    assert without_trailers(commit(text)) == "Teach it\n\nWhy not: it could not."


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        ("One line", "One line"),
        ("Folded over\ntwo lines\n\nThe rest.", "Folded over two lines"),
        ("\n \nAfter blank lines  \n  and more\n", "After blank lines   and more"),
        ("", ""),
    ],
)
def test_a_subject_is_git_s(message: str, subject: str) -> None:
    assert commit(message).subject == subject
