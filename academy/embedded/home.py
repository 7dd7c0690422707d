"""What a home tells the commands of this machine: where its API answers, and with which key."""

from __future__ import annotations

from pathlib import Path

from academy.client import Client
from academy.embedded.runfile import running
from academy.errors import AcademyError
from academy.settings import Settings
from academy.wire.sending import require_address, require_key


class NoKey(AcademyError):
    """There is no API key: ACADEMY_API_KEY is not set and {path} cannot be read."""

    code = "no_key"
    next_step = "Start `academy up` in this home once, or ask an admin for a key."


def client_of(settings: Settings) -> Client:
    """A client of the running home, or of ACADEMY_URL.

    Raises `NoKey`, or `BadKey` and `BadAddress`, which name the variable or the file.
    """
    url = address_of(settings)
    if settings.api.key:
        return Client(url, require_key(settings.api.key, "ACADEMY_API_KEY"))
    return Client(url, key_of_home(settings.home))


def address_of(settings: Settings) -> str:
    """ACADEMY_URL, else the address of the running home, else what the settings say.

    Raises `BadAddress`.
    """
    if settings.api.url:
        return require_address(settings.api.url, "ACADEMY_URL")
    run = running(settings.home)
    if run is not None:
        return run.url
    from academy.embedded.programs import local_address  # costs 70 ms, which few commands need

    url = f"http://{local_address(settings.api.host, settings.api.port)}"
    return require_address(url, "The address that ACADEMY_HOST and ACADEMY_PORT make")


def key_of_home(home: Path) -> str:
    """The admin key that the first start wrote. Raises `NoKey` or `BadKey`."""
    path = home / "admin.key"
    try:
        key = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise NoKey(path=path) from error
    return require_key(key, str(path))
