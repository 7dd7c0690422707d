"""``python -m academy.api``: the API under gunicorn with gevent."""

from __future__ import annotations

from gevent import monkey

# Before anything else is imported: what was imported earlier would keep the blocking calls.
monkey.patch_all()

import sys  # noqa: E402  # it must come after the line above, as do the others

from academy.host.quick_imports import quick_imports  # noqa: E402

with quick_imports():
    from academy.api.server import main

sys.exit(main())
