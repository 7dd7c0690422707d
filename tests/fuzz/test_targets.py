"""The fuzzers' promises, on their seeds and on what hypothesis makes up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, diff_parser, upload_validator

SEEDS = sorted((Path(__file__).parent / "corpus").glob("*/*"))

LINES = st.sampled_from(
    [
        *(
            "diff --git a/x b/x",
            "diff --git ",
            "--- a/x",
            "+++ b/x",
            "--- /dev/null",
            "+++ /dev/null",
        ),
        *("@@ -1 +1 @@", "@@ ", "+a", "-b", " c", "", "\\ No newline at end of file"),
        *("new file mode 100644", "deleted file mode 160000", "rename to y", "copy to z"),
        *("Binary files a/x and b/x differ", "GIT binary patch", "index 0..1 160000"),
        *('+++ "b/\\303\\277\\t"', 'diff --git "a/\\"x" "b/y"', "new mode 100755", "0" * 40),
    ]
)
TEXTS = st.text(max_size=12)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "assistant", "system", "tool", "x"]) | VALUES,
            "content": TEXTS | VALUES,
            "tool_calls": VALUES,
            "from": st.sampled_from(["human", "gpt"]) | VALUES,
            "value": TEXTS | VALUES,
        },
    ),
    max_size=4,
)
KEYS = ("instruction", "input", "output", "system", "history", "completion")
ROWS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(KEYS, TEXTS | VALUES),
        **dict.fromkeys(("messages", "conversations", "prompt"), TURNS | VALUES),
        **dict.fromkeys(("chosen", "rejected"), TURNS | VALUES),
    },
)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_promises_hold_for_every_seed(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


@settings(deadline=None, max_examples=200)
@given(st.lists(LINES | st.text(max_size=20), max_size=12), st.binary(max_size=8))
def test_any_diff_is_parsed_and_forges_nothing(lines: list[str], tail: bytes) -> None:
    diff_parser("\n".join(lines).encode("utf-8", "surrogatepass") + tail)


@settings(deadline=None, max_examples=200)
@given(st.lists(ROWS | VALUES, max_size=4), st.binary(max_size=6))
def test_any_file_is_refused_reported_or_read_whole(rows: list[Any], tail: bytes) -> None:
    lines = "\n".join(json.dumps(row) for row in rows)
    upload_validator(lines.encode("utf-8") + tail)
