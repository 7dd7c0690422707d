"""What errors advise exists: commands, options, routes, pages, settings and fields."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
from apiflask import APIFlask
from werkzeug.exceptions import HTTPException

from academy.cli.app import app as command_line
from academy.cli.doctor.variables import doubts_about
from academy.errors import NotFound
from tests.advice import Advice, advice_in, errors_without_advice
from tests.commands import every_command

ROOT = Path(__file__).resolve().parents[3]
ADVICE = advice_in(ROOT, "academy", "workers")
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{each.name}" for each in ROOT.glob("docs/*.md"))]

QUOTED = re.compile(r"`([^`]+)`|'(academy [^']+)'")
#: A path that is no part of an address or of another path; the method before it if there is one.
PATH = re.compile(r"(?:\b(GET|POST|PUT|DELETE) )?(?<![\w/:.])(/[a-z_][\w/{}.]*[\w}])")
SETTING = re.compile(r"\b[A-Z]*ACADEMY_[A-Z_]+\b|\bENABLE_[A-Z_]+\b")
FILE = re.compile(r"\b[\w./-]+\.(?:md|txt)\b")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
FIELD = re.compile(r"(?<![\w./])(?:limits\.)?[a-z]+(?:_[a-z]+)+(?![\w.])")
#: Names with an underscore that are no fields: a program, and a table of Alembic's.
OTHER_NAMES = frozenset({"pg_dump", "alembic_version"})


def of(advice: Advice) -> str:
    return advice.where


@cache
def tree() -> Any:
    return typer.main.get_command(command_line)


def fault_of(words: list[str]) -> str:
    """Why `academy WORDS` cannot be meant; empty if it can. Words in capitals are placeholders."""
    command = tree()
    for word in words:
        if word.startswith("-"):
            options = {opt for each in command.params for opt in [*each.opts, *each.secondary_opts]}
            if word.partition("=")[0] not in options | {"--help"}:
                return f"no option {word} of {command.name}"
        elif getattr(command, "commands", None) is not None:
            known = command.commands.get(word)
            if known is None:
                return f"no command {word!r}" if word.isascii() and word.islower() else ""
            command = known
    return ""


def known_options() -> set[str]:
    """The options of the command line and of the programs that read theirs by argparse."""
    found = {
        opt
        for _, each in [("", tree()), *every_command()]
        for param in each.params
        for opt in param.opts
    }
    for path in (ROOT / "academy").rglob("__main__.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                found.add(str(node.args[0].value))
    return {each for each in found if each.startswith("--")} | {"--help"}


@cache
def routes_of_the_model_server() -> set[str]:
    found = set()
    for path in (ROOT / "academy" / "runtime").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            attribute = getattr(getattr(node, "func", None), "attr", "")
            if attribute in {"get", "post", "route"} and isinstance(node, ast.Call) and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and str(first.value).startswith("/"):
                    found.add(str(first.value))
    return found


def is_route(app: APIFlask, method: str | None, path: str) -> bool:
    """Whether the API or the model server answers there."""
    if path in routes_of_the_model_server():
        return True
    urls = app.url_map.bind("localhost")
    for prefix in ("", "/api/v1/academy"):
        for each in [method] if method else ["GET", "POST", "PUT", "DELETE"]:
            try:
                urls.match(prefix + re.sub(r"{\w*}", "x", path), method=each)
            except HTTPException:
                continue
            return True
    return False


def test_the_walk_finds_what_there_is() -> None:
    assert len(ADVICE) > 140
    assert {"academy", "workers"} >= {each.where.partition("/")[0] for each in ADVICE}


def test_every_error_says_a_next_step_of_its_own() -> None:
    assert errors_without_advice(ROOT, "academy", "workers") == []


@pytest.mark.parametrize("advice", ADVICE, ids=of)
def test_what_is_advised_exists(
    advice: Advice, routed: APIFlask, fields: set[str], options: set[str]
) -> None:
    text = advice.text
    for quoted in (first or second for first, second in QUOTED.findall(text)):
        program, *words = quoted.split()
        if program == "academy":
            assert fault_of(words) == "", quoted
        elif program == "make":
            assert f"\n{words[0]}:" in (ROOT / "Makefile").read_text(), quoted
        elif quoted.startswith("python -m "):
            assert find_spec(words[1]) is not None, quoted
        if program not in {"academy", "{}"}:
            text = text.replace(quoted, "")  # other programs' options are theirs
    for method, path in PATH.findall(text):
        assert is_route(routed, method or None, path), path
    for name in SETTING.findall(text):
        assert doubts_about({name: "1"}) == [], name
    for name in FILE.findall(advice.text):
        assert (ROOT / name).is_file(), name
    for option in OPTION.findall(text):
        assert option in options, option
    for field in FIELD.findall(text):
        assert field.removeprefix("limits.") in fields | OTHER_NAMES, field


def test_every_command_that_any_text_of_the_source_names_exists() -> None:
    wrong = {}
    for path in [*(ROOT / "academy").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for words in re.findall(r"`academy ([^`]+)`", node.value):
                    if fault := fault_of([each.strip("…") for each in words.split()]):
                        wrong[f"{path.relative_to(ROOT)}:{node.lineno}"] = fault
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_pages_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    lines = re.findall(r"^\$? ?(?:\.venv/bin/)?academy ([^#\n|>]*)", text, flags=re.MULTILINE)
    quoted = [each for each in re.findall(r"`academy ([^`]+)`", text) if "\n" not in each]
    for words in (each.split() for each in [*lines, *quoted]):
        assert fault_of([each for each in words if not each.startswith("…")]) == "", words


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["logs", "-f", "JOB"], ""),
        (["dataset", "list", "--json"], ""),
        (["COMMAND"], ""),
        (["dataset", "lists"], "no command 'lists'"),
        (["train", "--folow"], "no option --folow of train"),
    ],
)
def test_a_command_that_is_not_there_is_found_out(words: list[str], fault: str) -> None:
    assert fault_of(words) == fault


def test_what_is_listed_by_a_command_is_named_with_it() -> None:
    assert "academy jobs" in NotFound(noun="job", id="x").next_step
    assert NotFound(noun="run", id="x").next_step == NotFound.next_step


@pytest.fixture(scope="module")
def options() -> set[str]:
    return known_options()


@pytest.fixture(scope="module")
def fields(routed: APIFlask) -> set[str]:
    """Every field of every shape in the API's description, and every parameter."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.update(node.get("properties", {}))
            if "in" in node and "name" in node:
                found.add(node["name"])
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    with routed.app_context():
        walk(routed.spec)
    return found
