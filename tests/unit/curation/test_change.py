"""The parsers of git's output, on what git prints and on anything else."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from academy.curation.git.change import parse_change
from academy.curation.git.history import parse_record, split_records

TOKEN = b"0123456789abcdef0123456789abcdef"

DIFF = b"""diff --git a/one.py b/one.py
index 1111111111111111111111111111111111111111..2222222222222222222222222222222222222222 100644
--- a/one.py
+++ b/one.py
@@ -1,2 +1,2 @@ def one():
-old
+new
 same
\\ No newline at end of file
diff --git a/old name.txt b/new name.txt
similarity index 90%
rename from old name.txt
rename to new name.txt
diff --git "a/q\\"\\305\\274.txt" "b/q\\"\\305\\274.txt"
new file mode 100644
index 0000000..2222222
--- /dev/null
+++ "b/q\\"\\305\\274.txt"
@@ -0,0 +1 @@
+diff --git a/forged b/forged
diff --git a/p.png b/p.png
index 1111111..2222222 100644
Binary files a/p.png and b/p.png differ
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
diff --git a/sub b/sub
index 1111111..2222222 160000
--- a/sub
+++ b/sub
@@ -1 +1 @@
-Subproject commit 1111111
+Subproject commit 2222222
diff --git a/gone b/gone
deleted file mode 100644
index 1111111..0000000
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-gone
"""


def test_every_kind_of_file_is_told_apart() -> None:
    change = parse_change(DIFF)
    assert [(file.path, file.kind, file.binary, file.submodule) for file in change.files] == [
        ("one.py", "modified", False, False),
        ("new name.txt", "renamed", False, False),
        ('q"ż.txt', "added", False, False),
        ("p.png", "modified", True, False),
        ("run.sh", "mode", False, False),
        ("sub", "modified", False, True),
        ("gone", "deleted", False, False),
    ]
    assert not change.undecodable
    assert "1111111" not in change.text.replace("commit 1111111", "")
    assert "+diff --git a/forged b/forged" in change.text
    assert change.text.startswith("--- a/one.py\n+++ b/one.py\n@@ -1,2 +1,2 @@ def one():\n-old\n")


@settings(deadline=None)
@given(st.binary())
@example(DIFF[:-40])
@example(b"diff --git ")
@example(b'diff --git "\ndiff --git "a\\')
@example(b"diff --git a/x b/x\n+++ \n--- \n@@ ")
def test_no_bytes_make_the_diff_parser_fail(data: bytes) -> None:
    change = parse_change(data)
    assert len(change.files) == ("\n" + data.decode("utf-8", "replace")).count("\ndiff --git ")


LINES = st.lists(
    st.sampled_from(DIFF.split(b"\n"))
    | st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")),
    max_size=40,
).map(b"\n".join)


@settings(deadline=None)
@given(LINES)
def test_no_mix_of_lines_makes_the_diff_parser_fail(data: bytes) -> None:
    parse_change(data)


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


PARTS = st.tuples(st.binary(max_size=80), st.binary(max_size=200))


@settings(deadline=None)
@given(st.lists(PARTS, max_size=6), st.integers(1, 70), st.integers(60, 150))
def test_records_are_cut_at_their_marks_however_the_chunks_fall(
    parts: list[tuple[bytes, bytes]], size: int, limit: int
) -> None:
    bodies = [header + TOKEN + b"\n" + rest for header, rest in parts]
    stream = b"".join(TOKEN + b"\n" + body for body in bodies)
    records = list(split_records(_pieces(stream, size), TOKEN, limit))
    assert len(records) == len(bodies)
    for (record, truncated), body in zip(records, bodies, strict=True):
        assert body.startswith(record)
        assert truncated or record == body
        assert len(record) <= limit + len(TOKEN) + 1


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_make_the_record_parser_fail(data: bytes) -> None:
    parse_record(data, TOKEN, False, frozenset())
