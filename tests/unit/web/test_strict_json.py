"""Strict JSON, and errors that name the place and what is allowed."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from academy.errors import InvalidRequest
from academy.validation.field_words import describe_field
from academy.validation.reading import pointer_of, validate
from academy.web.strict_json import NotJson, ndjson_lines, parse


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(1, ge=1, le=9)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field("x", min_length=1, max_length=5)
    rate: float | Literal["auto"] = Field("auto", description="a union")
    kind: Literal["a", "b"] = "a"
    parts: tuple[Inner, ...] = Field((), max_length=3)
    above: float = Field(1.0, gt=0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "line 1, column 1"),
        (b"{\n  'a': 1}", "line 2, column 3"),
        (b"[1, NaN]", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"[1e400]", "too large"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' is there twice"),
        (b'{"a": ["\\u0000"]}', "/a/0 holds a NUL"),
        (b'{"a": "\\udc00x"}', "/a holds half a character"),
        (b'{"\\u0000": 1}', "NUL"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"[" * 100_000, "nested more than 100 deep"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested more than 100 deep"),
        (b"1" * 10_000, "digits"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_place(text: bytes, words: str) -> None:
    with pytest.raises(NotJson) as refused:
        parse(text)
    assert words in str(refused.value)


def test_a_hundred_levels_and_any_number_of_neighbours_are_accepted() -> None:
    assert parse(b"[" * 100 + b"]" * 100)
    assert len(parse(b"[" + b"[[]]," * 999 + b"{}]")) == 1000


def test_json_with_escapes_and_large_numbers_is_accepted() -> None:
    assert parse('{"a": "\\ud83d\\ude00 ü", "b": 1e300}'.encode()) == {"a": "😀 ü", "b": 1e300}


def errors(body: bytes) -> dict[str, dict[str, Any]]:
    with pytest.raises(InvalidRequest) as refused:
        validate(body, parse(body), Outer)
    return {each["pointer"]: each for each in refused.value.errors}


def test_an_error_in_a_union_points_to_the_field_once() -> None:
    found = errors(b'{"rate": "fast"}')
    assert list(found) == ["/rate"]
    assert found["/rate"]["allowed"] == "a number or 'auto'"


def test_an_error_deep_inside_points_there() -> None:
    found = errors(b'{"parts": [{"size": 1}, {"size": 10, "colour": 1}]}')
    assert found["/parts/1/size"]["allowed"] == "a whole number from 1 to 9"
    assert "no field 'colour'" in found["/parts/1/colour"]["detail"]


def test_a_misspelt_field_gets_the_right_spelling() -> None:
    found = errors(b'{"nmae": "x"}')
    assert "did you mean 'name'?" in found["/nmae"]["detail"]
    assert found["/nmae"]["allowed"] == "above, kind, name, parts, rate"


def test_numbers_are_not_made_from_texts_but_arrays_may_be_tuples() -> None:
    assert validate(b'{"parts": [{"size": 2}]}', {}, Outer).parts == (Inner(size=2),)
    assert "/parts/0/size" in errors(b'{"parts": [{"size": "2"}]}')


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("name", "a text of 1 to 5 characters"),
        ("kind", "'a' or 'b'"),
        ("parts", "a list of at most 3 items of an object each"),
        ("above", "a number above 0"),
        ("nothing", None),
    ],
)
def test_what_a_field_allows_is_said_in_words(field: str, words: str | None) -> None:
    assert describe_field(Outer, (field,)) == words


def test_a_pointer_escapes_what_pointers_are_made_of() -> None:
    assert pointer_of(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"


def test_lines_are_numbered_as_an_editor_does() -> None:
    assert list(ndjson_lines(b"a\n\n \nb\r\n")) == [(1, b"a"), (4, b"b\r")]
