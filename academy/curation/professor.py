"""The Professor's view of a dataset: is there enough, is it balanced, what would help most.

It is a pure function of the statistics, so equal data gets an equal view. The thresholds are rules
of thumb, and said as such:

- Below 100 rows an adapter mostly learns a manner of speaking; 1,000 good rows were enough to
  align a large model (Zhou et al. 2023, "LIMA", https://arxiv.org/abs/2305.11206).
- A gain is told from noise by its paired interval over the held-out rows, which narrows with the
  root of their number: 100 rows give a tenth of one row's spread.
"""

from __future__ import annotations

from typing import Any

ENOUGH_ROWS = 100
PLENTY_ROWS = 1_000
ENOUGH_HELDOUT = 100
#: Beyond this share of the rows one source, or one group, sets the tone.
DOMINANT_SHARE = 0.9
#: A filter that drops more than this share of the input deserves a look.
TELLING_DROPS = 0.25
#: Judged from so many rows on, as shares of a few rows say nothing.
LEAST_ROWS = 20
#: Rows that are not worth having back: the same thing said twice, and what would spoil the proof.
_RIGHTLY_DROPPED = frozenset(
    {"exact_duplicate", "near_duplicate", "contaminated", "heldout_overlap", "secret"}
)


def assess(statistics: dict[str, Any]) -> dict[str, Any]:
    """``enough``, ``balanced``, ``helps_most`` (the best first, each with ``rows`` that it would
    bring or mend), and all of it in ``sentences``.
    """
    enough, balanced = _enough(statistics), _balanced(statistics)
    helps = sorted(_helps(statistics, enough, balanced), key=lambda each: -each["rows"])
    sentences = [enough.pop("sentence"), enough.pop("heldout_sentence"), balanced.pop("sentence")]
    if helps:
        sentences.append(f"What would help most: {helps[0]['sentence']}")
        sentences += [f"Then: {each['sentence']}" for each in helps[1:]]
    return {
        "enough": enough,
        "balanced": balanced,
        "helps_most": [{**each} for each in helps],
        "sentences": [each for each in sentences if each],
    }


def _enough(statistics: dict[str, Any]) -> dict[str, Any]:
    train, heldout = statistics["train_rows"], statistics["heldout_rows"]
    if train < ENOUGH_ROWS:
        said = (
            f"{train} training rows are few; about {ENOUGH_ROWS - train} more would make a first "
            "training worth its time."
        )
    elif train < PLENTY_ROWS:
        said = f"{train} training rows are enough for a first adapter."
    else:
        said = f"{train} training rows are plenty; from here on better rows help more than others."
    proof = ""
    if heldout == 0:
        proof = "No row is held out, so whether a training helped cannot be shown."
    elif heldout < ENOUGH_HELDOUT:
        proof = (
            f"{heldout} held-out rows show large gains only; a small gain needs "
            f"{ENOUGH_HELDOUT} or more to be told from noise."
        )
    return {
        "is_enough": train >= ENOUGH_ROWS,
        "can_be_proven": heldout >= ENOUGH_HELDOUT,
        "train_rows": train,
        "wanted_train_rows": ENOUGH_ROWS,
        "heldout_rows": heldout,
        "wanted_heldout_rows": ENOUGH_HELDOUT,
        "sentence": said,
        "heldout_sentence": proof,
    }


def _balanced(statistics: dict[str, Any]) -> dict[str, Any]:
    kept = statistics["input"]["kept"]
    shares = {
        name: round(each["kept"] / kept, 3) if kept else 0.0
        for name, each in statistics["sources"].items()
    }
    groups = statistics["groups"]
    largest = max(shares, key=lambda name: (shares[name], name), default=None)
    said, is_balanced = "", True
    if kept >= LEAST_ROWS and largest is not None:
        if len(shares) > 1 and shares[largest] > DOMINANT_SHARE:
            is_balanced = False
            said = f"{shares[largest]:.0%} of the rows come from {largest}: it will dominate."
        elif groups["count"] > 1 and groups["largest_share"] > DOMINANT_SHARE:
            is_balanced = False
            said = (
                f"{groups['largest_share']:.0%} of the rows belong to one group (one repository, "
                "task or question): the others hardly count."
            )
        elif len(shares) > 1:
            said = "The sources are balanced: none of them dominates."
    return {
        "is_balanced": is_balanced,
        "shares": shares,
        "largest_source": largest,
        "groups": groups["count"],
        "sentence": said,
    }


def _helps(
    statistics: dict[str, Any], enough: dict[str, Any], balanced: dict[str, Any]
) -> list[dict[str, Any]]:
    """What could be done, each with the number of rows that it is about."""
    found: list[dict[str, Any]] = []

    def add(action: str, rows: int, sentence: str) -> None:
        found.append({"action": action, "rows": rows, "sentence": sentence})

    if not enough["is_enough"]:
        missing = ENOUGH_ROWS - enough["train_rows"]
        add("add_rows", missing, f"record {missing} more lessons, or name more repositories.")
    if 0 < enough["heldout_rows"] < ENOUGH_HELDOUT <= enough["train_rows"]:
        missing = ENOUGH_HELDOUT - enough["heldout_rows"]
        add("hold_out_more", missing, f"hold out {missing} more rows (`split`), to prove gains.")
    read = statistics["input"]["read"]
    for name, count in statistics["filters"].items():
        if name not in _RIGHTLY_DROPPED and count > TELLING_DROPS * read:
            said = f"look at the samples of `{name}`, which dropped {count / read:.0%} of the input"
            add("review_filter", count, f"{said} ({count} records).")
    if not balanced["is_balanced"] and len(balanced["shares"]) > 1:
        others = statistics["input"]["kept"] - round(
            balanced["shares"][balanced["largest_source"]] * statistics["input"]["kept"]
        )
        wanted = max(1, round(0.2 * statistics["input"]["kept"]) - others)
        said = f"add about {wanted} rows from other sources than {balanced['largest_source']}."
        add("balance_sources", wanted, said)
    copies = sum(statistics["filters"].get(f"{each}_duplicate", 0) for each in ("exact", "near"))
    if copies > TELLING_DROPS * read:
        said = f"{copies} records said what others said already; record what is new instead."
        add("vary", copies, said)
    return found
