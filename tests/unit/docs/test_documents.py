"""The project's documents: what they link to and what files they name is there."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

_ROOT = Path(__file__).resolve().parents[3]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.M)
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
#: A file of the tree by its path, such as `academy/settings`; no pattern and no command.
_NAMED = re.compile(
    r"`((?:academy|benchmarks|docs|examples|migrations|tests|tools|workers)/[\w./-]+)`"
)


@cache
def _documents() -> list[str]:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    found = subprocess.run(listed, cwd=_ROOT, capture_output=True, check=True, timeout=60).stdout
    return [each for each in found.decode().split("\0") if each and (_ROOT / each).is_file()]


@pytest.mark.parametrize("name", _documents())
def test_every_link_between_the_documents_leads_somewhere(name: str) -> None:
    wrong = []
    for found in _LINK.findall(_prose(_ROOT / name)):
        link = found[0] or found[1]
        if re.match(r"[a-z]+:", link):
            continue  # a page of others
        path, _, anchor = link.partition("#")
        target = (_ROOT / name).parent / unquote(path) if path else _ROOT / name
        if not target.exists():
            wrong.append(f"{link}: there is no {target.relative_to(_ROOT)}")
        elif anchor and anchor not in _anchors(target):
            wrong.append(f"{link}: no heading there has that name")
    assert wrong == []


@pytest.mark.parametrize("name", [each for each in _documents() if each != "CHANGELOG.md"])
def test_every_file_that_a_document_names_is_there(name: str) -> None:
    missing = [each for each in _NAMED.findall(_prose(_ROOT / name)) if not (_ROOT / each).exists()]
    assert missing == []


def test_the_readme_leads_to_every_page() -> None:
    readme = (_ROOT / "README.md").read_text()
    pages = [path.relative_to(_ROOT).as_posix() for path in (_ROOT / "docs").glob("*.md")]
    wanted = [*pages, "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "docs/decisions/README.md"]
    assert [each for each in wanted if f"({each})" not in readme] == []


def test_the_index_of_decisions_has_each_in_its_order() -> None:
    folder = _ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("0*.md"))
    assert re.findall(r"\((0[^)]*\.md)\)", (folder / "README.md").read_text()) == pages
    for number, name in enumerate(pages, start=1):
        text = (folder / name).read_text()
        assert text.startswith(f"# {number}. "), name
        assert _HEADING.findall(text)[1:] == ["Context", "Decision", "Consequences"], name


def test_every_hook_before_a_commit_calls_what_the_project_has() -> None:
    hooks = yaml.safe_load((_ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [each["repo"] for each in hooks] == ["local"]  # nothing is fetched from elsewhere
    targets = re.findall(r"^([\w-]+):", (_ROOT / "Makefile").read_text(), re.M)
    for hook in hooks[0]["hooks"]:
        program, first, *_ = [*hook["entry"].split(), ""]
        assert hook["language"] == "system", hook["id"]
        assert program.startswith(".venv/bin/") or (program == "make" and first in targets)


def _prose(path: Path) -> str:
    return _FENCED.sub("", path.read_text(encoding="utf-8"))


def _anchors(path: Path) -> set[str]:
    """The names by which headings are linked to, as GitHub makes them."""
    plain = (re.sub(r"[^\w\s-]", "", each).lower() for each in _HEADING.findall(_prose(path)))
    return {each.strip().replace(" ", "-") for each in plain}
