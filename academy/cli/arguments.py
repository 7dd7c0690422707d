"""Options that several commands share; imported by all of them, so it imports next to nothing."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON; errors, too.")]
ErrorAsJson = Annotated[
    bool, typer.Option("--json", help="Tell an error as JSON; what it logs is JSON anyway.")
]
More = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other field of the request."),
]
