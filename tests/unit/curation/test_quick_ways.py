"""The quick ways of curation give what the slow ones, which they stand for, would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from academy.curation import people
from academy.curation.git import change
from academy.curation.sources import Row
from academy.curation.spool import Spool

_PIECES = st.sampled_from(
    [
        *(
            "@",
            "＠",
            "%40",
            "%252540",
            "&#64;",
            "&#0064;",
            "&#x40;",
            "&commat;",
            "\\u0040",
            "\\x40",
        ),
        *("[at]", "( AT )", "<@>", " [ at ] ", "(at]", "at", ".", "．", "。", "%2e", "&#46;"),
        *("[dot]", " ( . ) ", "<DOT>", "(", "[", "<", " ", "   ", "\n", "-", "_", "__", "%", "&"),
        *(
            "ada",
            "x",
            "7",
            "example",
            "org",
            "co",
            "uk",
            "zoë",
            "ácme",
            "例え",
            "gmail",
            "com",
            "ß",
        ),
        *("\udc80", "\u0300", "²", "١", "\x00", "🦊", "ᾳ"),
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(_PIECES, max_size=14).map("".join))
def test_where_there_is_a_domain_there_is_a_hint_of_one(text: str) -> None:
    hinted = people._hint().search(text.encode("utf-8", "ignore")) is not None
    assert hinted or people._AT_DOMAIN.search(text) is None


_PATHS = st.sampled_from(
    ["a", "a b", "a/b c", '"q"', "a\tb", "\\", "dev/null", "@@ -1", "-- x", "ü"]
)
_MODES = st.sampled_from(["100644", "100755", "120000", "160000", "10064", "000000"])
_LINES = st.sampled_from(
    [
        *("--- a/{0}", "+++ b/{0}", "--- a/{1}", "+++ b/{1}", "--- /dev/null", "+++ /dev/null"),
        *('--- "a/{0}"', '+++ "b/{0}"', "--- a/{0}\t", "+++ b/{0}\t", "--- {0}", "+++ "),
        *("index 12ab..34cd {2}", "index 12ab..34cd", "index ..34 {2}", "index 1..2 {2} "),
        *("new file mode {2}", "deleted file mode {2}", "old mode {2}", "new mode {2}"),
        *("similarity index 90%", "rename from {0}", "rename to {1}", "copy to {1}", ""),
        *("Binary files a/{0} and b/{0} differ", "GIT binary patch", "@@ -1 +1 @@", "@@ x", "+a"),
        *("index 12ab..34cd {2}", "--- a/{0}", "+++ b/{0}", "@@ -1,2 +1,2 @@ def f():", "-b", " c"),
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(_LINES, max_size=8), _PATHS, _PATHS, _MODES)
def test_a_plain_header_is_read_as_any_other(
    lines: list[str], path: str, other: str, mode: str
) -> None:
    section = "\n".join([f"a/{path} b/{path}", *lines]).format(path, other, mode)
    plain = change._PLAIN.match(section)
    if plain is None:
        return
    header, hunks = change._split_header(section)
    file = change._file(header)
    assert file == change.FileChange(plain.group(1), "modified", binary=False, submodule=False)
    assert section[plain.end() :] == change._show(header, hunks, file)


def test_the_usual_header_is_a_plain_one() -> None:
    section = "a/x y b/x y\nindex 1a..2b 100644\n--- a/x y\n+++ b/x y\n@@ -1 +1 @@\n-a\n+b"
    assert change._PLAIN.match(section) is not None


_TEXTS = st.text(st.characters(), max_size=20)  # half characters, too
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)
_CALLS = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": _TEXTS, "arguments": _VALUES})},
    optional={"id": _TEXTS},
)
_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool"]), "content": _TEXTS},
        optional={"tool_calls": st.lists(_CALLS, max_size=2), "weight": st.sampled_from([0, 1])},
    ),
    min_size=1,
    max_size=5,
)
_ROWS = st.builds(
    Row,
    id=_TEXTS,
    messages=_MESSAGES.map(tuple),
    source=st.sampled_from(["lesson", "task", "run", "upload", "git"]),
    group=_TEXTS,
    time=st.integers(-(2**62), 2**62),
    provenance=st.dictionaries(_TEXTS, _VALUES, max_size=3),
    rejected=st.none() | _TEXTS,
    tools=st.lists(st.dictionaries(_TEXTS, _VALUES, max_size=2), max_size=2).map(tuple),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_ROWS, max_size=4))
def test_rows_come_back_from_the_disk_as_they_were(tmp_path_factory: Any, rows: list[Row]) -> None:
    path: Path = tmp_path_factory.mktemp("spool") / "rows"
    with Spool(path) as spool:
        for row in rows:
            spool.append(row)
        spool.flush()
        for index in reversed(range(len(rows))):
            assert spool.read(index) == rows[index]
