"""``python -m academy.cli`` is the command `academy`."""

from academy.cli.app import main

main()
