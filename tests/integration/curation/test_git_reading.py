"""Reading every kind of repository and of commit that git can make."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from academy.curation.curate import curate
from academy.curation.git.examples import open_repositories, read_examples
from academy.curation.git.history import Commit, read_commits
from academy.curation.git.outcome import Dropped, Example
from academy.curation.git.repository import inspect
from academy.curation.git.shadow import Shadow
from academy.curation.request import CurationRequest
from academy.errors import RepositoryRefused
from tests.unit.curation.reftables import store_refs_in_tables


def read(path: Path, root: Path, scratch: Path) -> list[Commit]:
    folder = scratch / f"shadow{len(list(scratch.iterdir()))}"
    folder.mkdir()
    return list(read_commits(Shadow(inspect(str(path), [root]), folder), lambda: None))


def judged(path: Path, root: Path, scratch: Path, **options: Any) -> list[Example | Dropped]:
    repository = inspect(str(path), [root])
    request = CurationRequest(**options)
    return list(read_examples("r", repository, request, scratch, lambda: None))


def why(outcome: Example | Dropped) -> str:
    return outcome.filter if isinstance(outcome, Dropped) else "kept"


def test_every_commit_is_read_newest_first(history: Any, roots: Path, tmp_path: Path) -> None:
    commits = read(history.path, roots, tmp_path)
    listed = history.git("log", "--format=%H").split()
    assert [commit.id for commit in commits] == listed
    assert commits[0].subject == "Teach module 11 to count mike"
    assert commits[0].author_name == "Ada Writer"
    assert b"+def count():" in commits[0].diff


def _bare(repo: Any) -> Path:
    repo.git("clone", "-q", "--bare", str(repo.path), str(repo.path.parent / "copy.git"))
    return repo.path.parent / "copy.git"


def _linked_worktree(repo: Any) -> Path:
    repo.git("worktree", "add", "-q", str(repo.path.parent / "linked"), "-b", "side")
    return repo.path.parent / "linked"


def _packed(repo: Any) -> Path:
    repo.git("gc", "-q", "--prune=now")
    repo.git("pack-refs", "--all")
    repo.git("commit-graph", "write")
    return repo.path


def _detached(repo: Any) -> Path:
    repo.git("checkout", "-q", "--detach")
    return repo.path


def _shared_clone(repo: Any) -> Path:
    repo.git("clone", "-q", "--shared", str(repo.path), str(repo.path.parent / "shared"))
    return repo.path.parent / "shared"


def _old_head_link(repo: Any) -> Path:
    (repo.path / ".git/HEAD").unlink()
    (repo.path / ".git/HEAD").symlink_to("refs/heads/main")
    return repo.path


def _submodule(repo: Any) -> Path:
    outer = repo.path.parent / "outer"
    repo.git("init", "-q", str(outer))
    add = ("submodule", "--quiet", "add", str(repo.path), "inner")
    repo.git("-C", str(outer), "-c", "protocol.file.allow=always", *add)
    return outer / "inner"


LAYOUTS = (_bare, _linked_worktree, _packed, _detached, _shared_clone, _old_head_link, _submodule)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: each.__name__.strip("_"))
def test_each_layout_gives_the_same_history(
    layout: Callable[[Any], Path], history: Any, roots: Path, tmp_path: Path
) -> None:
    plain = read(history.path, roots, tmp_path)
    assert read(layout(history), roots, tmp_path) == plain


def test_a_sha256_repository_is_read(make_repo: Any, roots: Path, tmp_path: Path) -> None:
    repo = make_repo("long", "--object-format=sha256")
    repo.commit("Add the first of the files", {"a.txt": "one\n"})
    (commit,) = read(repo.path, roots, tmp_path)
    assert len(commit.id) == 64
    assert b"+one" in commit.diff


def _refs_in_tables(repo: Any, id_bytes: int = 20) -> None:
    """As git 2.45 keeps refs; an older git makes everything but the tables, which we write."""
    refs = {"HEAD": "ref: refs/heads/main", "refs/heads/main": repo.git("rev-parse", "HEAD")}
    repo.git("config", "core.repositoryFormatVersion", "1")
    repo.git("config", "extensions.refStorage", "reftable")
    (repo.path / ".git/refs/heads/main").unlink()
    store_refs_in_tables(repo.path / ".git", refs, id_bytes)


@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_a_repository_with_ref_tables_is_read_by_any_git(
    format: str, make_repo: Any, roots: Path, tmp_path: Path
) -> None:
    repo = make_repo("tables", f"--object-format={format}")
    repo.commit("Add the first of the files", {"a.txt": "one\n"})
    plain = read(repo.path, roots, tmp_path)
    _refs_in_tables(repo, 20 if format == "sha1" else 32)
    assert read(repo.path, roots, tmp_path) == plain
    repo.path.rename(roots / "moved")
    (roots / "moved/.git/reftable/tables.list").write_text("../../../x\n")
    with pytest.raises(RepositoryRefused, match="list of ref tables names"):
        read(roots / "moved", roots, tmp_path)


def test_a_linked_worktree_with_ref_tables_has_a_head_of_its_own(
    history: Any, roots: Path, tmp_path: Path
) -> None:
    history.git("worktree", "add", "-q", str(roots / "linked"), "-b", "side", "HEAD~3")
    plain = read(roots / "linked", roots, tmp_path)
    own = history.path / ".git/worktrees/linked"
    refs = {name: history.git("rev-parse", name) for name in ("refs/heads/main", "refs/heads/side")}
    store_refs_in_tables(history.path / ".git", {"HEAD": "ref: refs/heads/main", **refs}, 20)
    store_refs_in_tables(own, {"HEAD": "ref: refs/heads/side"}, 20)
    with (history.path / ".git/config").open("a") as config:
        config.write("[extensions]\n\trefStorage = reftable\n")
    assert len(plain) == 9
    assert read(roots / "linked", roots, tmp_path) == plain


def test_an_empty_repository_gives_nothing(make_repo: Any, roots: Path, tmp_path: Path) -> None:
    assert read(make_repo("empty").path, roots, tmp_path) == []


def test_the_cut_of_a_shallow_clone_is_dropped(history: Any, roots: Path, tmp_path: Path) -> None:
    history.git("clone", "-q", "--depth=3", f"file://{history.path}", str(roots / "shallow"))
    outcomes = judged(roots / "shallow", roots, tmp_path)
    assert [why(each) for each in outcomes] == ["kept", "kept", "shallow_boundary"]


def test_each_kind_of_commit_gets_its_verdict(make_repo: Any, roots: Path, tmp_path: Path) -> None:
    repo = make_repo()
    expected = {}

    def commit(verdict: str, message: str, files: dict[str, Any], **env: str) -> None:
        expected[repo.commit(message, files, **env)] = verdict

    text = "a line of text\n"
    commit("kept", "Add the very first file", {"first.txt": text})
    commit("binary_only", "Add a picture of it", {"picture.png": b"\x89PNG\0\0\1\2"})
    commit("undecodable", "Add a page in Latin-1", {"page.txt": b"na\xefve caf\xe9\n"})
    commit("generated_only", "Lock the new versions", {"yarn.lock": "lodash 4\n"})
    commit("many_files", "Add many small files", {f"many/{i}.txt": text for i in range(21)})
    commit("long_diff", "Add a long text file", {"long.txt": text * 500})
    commit("oversized_change", "Add a huge text file", {"huge.txt": text * 30_000})
    commit("binary_only", "Add an enormous text file", {"enormous.txt": text * 100_000})
    commit("empty_change", "Say something about nothing", {})
    commit("kept", "Name a file very strangely", {'new\nline "quoted" ż.txt': text})
    commit("kept", "Leave out the last line end", {"first.txt": text + "no end"})
    commit("bot", "Update the lock of things", {"a.txt": "1"}, GIT_AUTHOR_NAME="renovate[bot]")
    commit("foreign_script", "Добавить новый разбор файла", {"b.txt": "1"})
    commit("kept", "Dodać żółtą łódź do rzeki", {"c.txt": "zażółć gęślą jaźń\n"})
    repo.git("mv", "first.txt", "renamed.txt")
    commit("empty_change", "Rename the very first file", {})
    (repo.path / "renamed.txt").chmod(0o755)
    commit("empty_change", "Make the file a program", {})
    commit("kept", "Rename and change the file", {"renamed.txt": text + "no end\nmore\n"})
    repo.git("checkout", "-q", "-b", "side", "HEAD~2")
    commit("kept", "Work on the side branch", {"side.txt": text})
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "Merge the side branch into main", "side")
    expected[repo.git("rev-parse", "HEAD")] = "merge"

    outcomes = judged(repo.path, roots, tmp_path)
    found = {
        (each.id if isinstance(each, Dropped) else each.row.id).rpartition(":")[2]: why(each)
        for each in outcomes
    }
    subjects = {oid: repo.git("log", "-1", "--format=%s", oid) for oid in expected}
    assert {subjects[oid]: found.get(oid) for oid in expected} == {
        subjects[oid]: verdict for oid, verdict in expected.items()
    }


def test_a_message_in_another_encoding_is_read(make_repo: Any, roots: Path, tmp_path: Path) -> None:
    repo = make_repo()
    repo.write("a.txt", "a\n")
    repo.git("add", "-A")
    subprocess.run(
        ["git", "-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "-F", "-"],
        cwd=repo.path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(repo.path)}
        | {
            f"GIT_{who}_{what}": "x@y"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
        input="Straße über die Brücke".encode("latin-1"),
        check=True,
        timeout=60,
    )
    assert read(repo.path, roots, tmp_path)[0].subject == "Straße über die Brücke"


def test_a_huge_commit_is_skipped_and_the_next_one_is_read(
    make_repo: Any, roots: Path, tmp_path: Path
) -> None:
    repo = make_repo()
    repo.commit("Begin with a small file", {"small.txt": "small\n"})
    for number in range(3):
        repo.commit("Add a huge file here", {f"huge{number}.txt": f"line {number}\n" * 90_000})
    repo.commit("End with a small file", {"small.txt": "smaller\n"})
    commits = read(repo.path, roots, tmp_path)
    assert [commit.truncated for commit in commits] == [False, True, True, True, False]
    assert all(len(commit.diff) <= 200_000 for commit in commits)


def test_two_repositories_of_one_name_are_told_apart(make_repo: Any, roots: Path) -> None:
    paths = []
    for folder in ("one/app", "two/app"):
        repo = make_repo(folder)
        repo.commit("Add the first of the files", {"a.txt": folder})
        paths.append(str(repo.path))
    opened = open_repositories([*paths, paths[0] + "/.git"], [roots])
    assert [name for name, _ in opened] == ["app", "app-2"]


def test_without_paths_the_roots_that_are_repositories_are_read(
    history: Any, tmp_path: Path
) -> None:
    options = {"out": tmp_path / "dataset", "allowed_roots": [history.path, tmp_path]}
    result = curate(CurationRequest(), **options)
    assert result.statistics["sources"].keys() == {"git"}
    assert result.statistics["request"]["repositories"] == ["project"]


def test_a_message_can_be_asked_for_in_full_and_a_change_for_a_message(
    make_repo: Any, roots: Path, tmp_path: Path
) -> None:
    repo = make_repo()
    repo.commit(
        "Teach it to count\n\nIt could not before.\n\nSigned-off-by: Ada Writer <ada@w.example>",
        {"count.py": "one = 1\n"},
    )
    (full,) = judged(repo.path, roots, tmp_path, commit_message="full")
    assert isinstance(full, Example)
    assert full.row.answer == "Teach it to count\n\nIt could not before."
    (change,) = judged(repo.path, roots, tmp_path, git_example="change")
    assert isinstance(change, Example)
    assert change.row.prompt.endswith("Teach it to count\n\nadded count.py")
    assert change.row.answer == "--- /dev/null\n+++ b/count.py\n@@ -0,0 +1 @@\n+one = 1"


def test_authors_are_masked_where_they_are_named(
    make_repo: Any, roots: Path, tmp_path: Path
) -> None:
    repo = make_repo()
    repo.commit(
        "Thank Ada Writer for the files",
        {"AUTHORS": "Ada Writer <ada@writer.example>\nGrace Hopper <grace@navy.example>\n"},
    )
    request = CurationRequest(repositories=(str(repo.path),))
    curate(request, out=tmp_path / "dataset", allowed_roots=[roots])
    row = json.loads((tmp_path / "dataset/train.jsonl").read_text())
    assert row["messages"][1]["content"] == "Thank <NAME> for the files"
    assert "+<NAME> <<EMAIL>>\n+<NAME> <<EMAIL>>" in row["messages"][0]["content"]
    assert row["provenance"]["touched"] == ["people"]


def test_git_dies_with_the_reading(history: Any, roots: Path, tmp_path: Path) -> None:
    for number in range(3):
        history.commit("Add a huge file here", {f"huge{number}.txt": "line\n" * 150_000})
    folder = tmp_path / "shadow"
    folder.mkdir()
    commits = read_commits(Shadow(inspect(str(history.path), [roots]), folder), lambda: None)
    next(commits)
    commits.close()
    listed = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
    assert str(folder) not in listed.stdout
    left = [line for line in listed.stdout.splitlines() if history.git("rev-parse", "HEAD") in line]
    assert left == []


def test_several_repositories_are_read_at_once_each_up_to_its_limit_and_split_by_itself(
    history: Any, make_repo: Any, roots: Path, tmp_path: Path
) -> None:
    other = make_repo("other")
    for number in range(10):
        other.commit(f"Add the page number {number}", {f"page{number}.txt": f"page {number} " * 9})
    request = CurationRequest(
        repositories=(str(history.path), str(other.path)),
        git_commits_limit=5,
        disabled_filters=("near_duplicate",),
    )
    result = curate(request, out=tmp_path / "dataset", allowed_roots=[roots])
    assert result.statistics["git_commits_collected"] == 10
    held = [
        json.loads(line)["provenance"]
        for line in (result.folder / "heldout.jsonl").read_text().splitlines()
    ]
    newest = {"project": history.git("rev-parse", "HEAD"), "other": other.git("rev-parse", "HEAD")}
    assert {each["repository"]: each["commit"] for each in held} == newest
