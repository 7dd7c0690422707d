"""The command `academy`. Importing it is instant: each command imports what it needs itself."""

from __future__ import annotations

from academy.cli.app import main

__all__ = ["main"]
