"""What a home tells the commands of this machine: where its API answers, and with which key."""

from __future__ import annotations

from pathlib import Path

from academy.client import Client
from academy.embedded.runfile import running
from academy.errors import AcademyError
from academy.settings import Settings


class NoKey(AcademyError):
    """There is no API key: ACADEMY_API_KEY is not set and {path} cannot be read."""

    code = "no_key"
    next_step = "Start `academy up` in this home once, or ask an admin for a key."


def client_of(settings: Settings) -> Client:
    """A client of the running home, or of ACADEMY_URL. Raises `NoKey`."""
    return Client(address_of(settings), settings.api.key or key_of_home(settings.home))


def address_of(settings: Settings) -> str:
    """ACADEMY_URL, else the address of the running home, else what the settings say."""
    if settings.api.url:
        return settings.api.url
    run = running(settings.home)
    return run.url if run is not None else f"http://{settings.api.host}:{settings.api.port}"


def key_of_home(home: Path) -> str:
    """The admin key that the first start wrote. Raises `NoKey`."""
    path = home / "admin.key"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise NoKey(path=path) from error
