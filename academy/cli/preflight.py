"""`academy preflight`: what a training would take, before it is queued."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from academy.cli.arguments import AsJson, More


def preflight(
    dataset: Annotated[str | None, typer.Option(help="Dataset id; empty: the newest.")] = None,
    base_model: Annotated[str | None, typer.Option(help="Base model by name.")] = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Show a training's tokens, memory and time, and which worker could take it; queues nothing."""
    from academy.cli.output import connect, print_json, print_table, request_body
    from academy.cli.times import clock

    body = request_body(more, dataset_id=dataset, base_model=base_model)
    with connect() as client:
        answer = client.preflight(body)
    if as_json:
        print_json(answer)
        return
    typer.echo(answer["message"])
    tokens = answer["tokens"]
    rows: list[tuple[str, Any]] = [
        ("rows", f"{tokens['usable_rows']} of {tokens['rows']} usable"),
        ("truncated", tokens["truncated_rows"]),
        *((f"left out: {each['reason']}", each["rows"]) for each in tokens["left_out"]),
        ("tokens", f"{tokens['tokens']:,}, {tokens['supervised_share']:.0%} of them supervised"),
        ("longest row", f"{tokens['row_tokens'].get('longest', 0):.0f} tokens"),
        ("steps", answer["total_steps"]),
    ]
    for kind in answer["worker_types"]:
        if kind["memory"] is not None:
            rows.append((f"{kind['device']}: memory", f"{kind['memory']['total'] / 2**30:.2f} GiB"))
        if kind["seconds"] is not None:
            ends = f"{clock(kind['seconds_low'])} to {clock(kind['seconds_high'])}"
            rows.append((f"{kind['device']}: time", f"{clock(kind['seconds'])} ({ends})"))
        rows += [(f"{kind['device']}: why not", why) for why in kind["why_not"]]
    print_table(("what", "value"), rows, "There is nothing to show.", prose={"what", "value"})
