"""How long Academy waits for a model server, in seconds: one set for chats, swaps and health."""

from __future__ import annotations

#: To be connected. Short, because a chat passes over a server that is away and asks the next one.
CONNECT_SECONDS = 2.0
#: For an answer to `/health` or `/v1/models`. A busy server answers late; it is there all the same.
PROBE_SECONDS = 5.0
#: For an adapter to be read, verified and put into the model.
LOAD_SECONDS = 180.0
#: For an adapter to be removed, which waits for its running requests.
UNLOAD_SECONDS = 330.0
#: For a whole answer, and between two chunks of a stream. Longer than the embedded server's own
#: limit for a request (`--request-seconds`, 300), so that its error is heard and not ours.
ANSWER_SECONDS = 330.0
