"""What docs/design.md says of the house is what stands there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

#: Files of code in one folder, lines of one file: beyond these a noun is missing.
MOST_FILES, MOST_LINES = 24, 400
#: Modules that lie loose in ``academy/``; every other noun has a room.
GROUND = {"client", "errors", "lifecycle", "logs", "queues", "settings"}
CODE = {".py", ".js", ".html", ".css"}


@pytest.fixture(scope="module")
def design(repository: Path) -> str:
    return (repository / "docs" / "design.md").read_text()


def rooms(repository: Path) -> set[str]:
    found = {
        path.parent.relative_to(repository).as_posix() + "/"
        for top in ("academy", "workers", "migrations")
        for path in (repository / top).rglob("__init__.py")
    }
    return found - {"academy/"}


def definitions(path: Path) -> set[str]:
    """The functions, classes, methods and constants of a file, methods with their class."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            found |= {f"{node.name}.{name}" for name in methods}
        if isinstance(node, ast.Assign):
            found |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    return found


def test_every_room_stands_in_the_design_and_the_design_names_no_other(
    repository: Path, design: str
) -> None:
    house = design.partition("## The house")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([a-z_/]+/)` \| ([^|]+) \|", house, flags=re.MULTILINE)
    assert sorted(name for name, _ in named) == sorted(rooms(repository))
    assert [name for name, belongs in named if not belongs.strip()] == []


def test_few_modules_lie_loose(repository: Path) -> None:
    loose = {path.stem for path in (repository / "academy").glob("*.py")} - {"__init__"}
    assert loose <= GROUND


def test_no_folder_and_no_file_outgrows_its_noun(repository: Path) -> None:
    files = [
        path
        for top in ("academy", "workers", "migrations", "benchmarks", "tools", "examples")
        for path in (repository / top).rglob("*")
        if path.suffix in CODE and "node_modules" not in path.parts
    ]
    long = [path for path in files if len(path.read_text().splitlines()) > MOST_LINES]
    assert long == []
    folders = [path.parent for path in files]
    full = {folder for folder in folders if folders.count(folder) > MOST_FILES}
    assert full == set()


def test_the_way_of_a_training_names_each_file_once_and_functions_that_are_there(
    repository: Path, design: str
) -> None:
    way = design.partition("## The way of a training job")[2].partition("\n## ")[0]
    steps = re.findall(r"^\| (\d+) \| `([^`]+)` \| `([^`]+)` \|", way, flags=re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, len(steps) + 1))
    assert 10 <= len(steps) <= 14
    paths = [path for _, path, _ in steps]
    assert len(set(paths)) == len(paths)
    missing = [
        (path, name) for _, path, name in steps if name not in definitions(repository / path)
    ]
    assert missing == []
