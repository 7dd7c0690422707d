"""The messages of an uploaded row in one form, whichever format they came in.

Every key of a message is used, refused or counted: `Reader.ignored` counts by its place what is
taken and not used, so that the report can say so.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from academy.errors import shortened
from academy.wire.json_rules import is_whole
from academy.wire.strict_json import JsonFault, read_json

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_USED = frozenset({"role", "content", "weight", "tool_calls", "function_call", "refusal"})
#: Known to those who write such files, and nothing that a model reads.
_IGNORED = frozenset({"name", "tool_call_id", "annotations", "audio", "thinking"})
_IGNORED |= frozenset({"reasoning_content"})
MAX_TURNS = 1_000
_MAX_TOOLS = 128
_TEXT_PARTS = ("text", "input_text", "output_text")

Message = dict[str, Any]


class Bad(Exception):
    """A mistake that ends the reading of a row."""

    def __init__(self, pointer: str, code: str, reason: str) -> None:
        super().__init__(reason)
        self.pointer, self.code, self.reason = pointer, code, reason


class Reader:
    """Reads parts of one row. `ignored` counts the keys that are not used, by their place."""

    def __init__(self) -> None:
        self.ignored: Counter[str] = Counter()

    def messages(self, found: Any, pointer: str) -> list[Message]:
        """A list of messages in OpenAI's form."""
        if not isinstance(found, list) or not found:
            reason = f"expected a list of messages, found {kind_of(found)}"
            raise Bad(pointer, "missing_messages_list", reason)
        if len(found) > MAX_TURNS:
            raise Bad(pointer, "too_many_messages", f"{len(found)} messages; at most {MAX_TURNS}")
        return [self.message(each, f"{pointer}/{at}") for at, each in enumerate(found)]

    def message(self, found: Any, pointer: str) -> Message:
        """One message in OpenAI's form."""
        if not isinstance(found, dict):
            raise Bad(pointer, "data_type", f"expected an object, found {kind_of(found)}")
        if "role" not in found:
            raise Bad(pointer, "message_missing_key", "there is no role")
        role = found["role"]
        if not isinstance(role, str) or role not in ROLES:
            reason = f"{shown(role)} is none of {', '.join(sorted(ROLES))}"
            raise Bad(f"{pointer}/role", "unrecognized_role", reason)
        for key in sorted(map(str, found)):
            if key not in _USED | _IGNORED:
                escaped = key.replace("~", "~0").replace("/", "~1")
                reason = f"{shown(key)} is no key of a message"
                raise Bad(f"{pointer}/{escaped}", "message_unrecognized_key", reason)
        role = {"developer": "system", "function": "tool"}.get(role, role)
        read: Message = {"role": role, "content": ""}
        used = {"role", "content", "weight"}
        key = "tool_calls" if found.get("tool_calls") else "function_call"
        if role == "assistant":
            read |= self.weight(found, pointer)
            if found.get(key):
                read["tool_calls"] = self.calls(found[key], f"{pointer}/{key}")
                used.add(key)
        elif "weight" in found:
            self.weight(found, pointer)
            self.ignored["/messages/*/weight"] += 1
        refusal = found.get("refusal")
        if not found.get("content") and role == "assistant" and isinstance(refusal, str):
            read["content"] = clean_text(refusal, f"{pointer}/refusal")
            used.add("refusal")
        else:
            read["content"] = self.content(found, pointer, needed="tool_calls" not in read)
        if role == "tool" and isinstance(found.get("name"), str):
            read["name"] = clean_text(found["name"], f"{pointer}/name")
            used.add("name")
        for key, value in found.items():
            if key not in used and value is not None and value != []:
                self.ignored[f"/messages/*/{key}"] += 1
        return read

    def content(self, found: dict[str, Any], pointer: str, *, needed: bool) -> str:
        """A message's text: as it is, or its parts joined as the model server joins them."""
        content = found.get("content")
        if content is None and not needed:
            return ""
        if isinstance(content, list):
            texts = []
            for at, part in enumerate(content):
                is_text = isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS
                if not (is_text and isinstance(part.get("text"), str)):
                    raise Bad(f"{pointer}/content/{at}", "data_type", "only parts of text are read")
                texts.append(part["text"])
                for key in part.keys() - {"type", "text"}:
                    self.ignored[f"/messages/*/content/*/{key}"] += 1
            return clean_text("".join(texts), f"{pointer}/content")
        if not isinstance(content, str):
            reason = f"expected a text, found {kind_of(content)}"
            raise Bad(f"{pointer}/content", "missing_content", reason)
        return clean_text(content, f"{pointer}/content")

    def weight(self, found: dict[str, Any], pointer: str) -> Message:
        """``weight`` where the message is not to be learnt; it is 0 or 1 (OpenAI)."""
        weight = found.get("weight")
        if weight is None:
            return {}
        if isinstance(weight, bool) or weight not in (0, 1):
            raise Bad(f"{pointer}/weight", "invalid_weight", f"{shown(weight)} is neither 0 nor 1")
        return {"weight": 0} if weight == 0 else {}

    def calls(self, found: Any, pointer: str) -> list[Message]:
        """What the assistant called, with arguments as an object where they are one."""
        if len(calls := found if isinstance(found, list) else [found]) > _MAX_TOOLS:
            raise Bad(pointer, "data_type", f"{len(calls)} calls; at most {_MAX_TOOLS}")
        read = []
        for at, call in enumerate(calls):
            function = call.get("function", call) if isinstance(call, dict) else None
            if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                raise Bad(f"{pointer}/{at}", "data_type", "expected a call with a function's name")
            name = _function_name(function, f"{pointer}/{at}")
            arguments = _arguments(function.get("arguments", {}), f"{pointer}/{at}/arguments")
            others = function.keys() - {"name", "arguments", "type", "id"}
            others |= (call.keys() - {"function", "type", "id"}) if "function" in call else set()
            for each in others:
                self.ignored[f"/messages/*/tool_calls/*/{shown(each)[1:-1]}"] += 1
            read.append({"type": "function", "function": {"name": name, "arguments": arguments}})
        return read

    def tools(self, row: dict[str, Any]) -> list[Message]:
        """The definitions in ``tools``, or in ``functions`` of older files, in OpenAI's form.

        They may be JSON text, as ShareGPT's files have them.
        """
        key = "tools" if row.get("tools") not in (None, [], "") else "functions"
        if key == "tools" and row.get("functions"):
            self.ignored["/functions"] += 1
        found = row.get(key)
        if isinstance(found, str):
            found = inner_json(found, f"/{key}") if found.strip() else None
            if isinstance(found, str):
                raise Bad(f"/{key}", "data_type", "it is a text that is no JSON")
        if found is None or found == [] or found == "":
            return []
        if not isinstance(found, list):
            raise Bad(f"/{key}", "data_type", f"expected a list, found {kind_of(found)}")
        if len(found) > _MAX_TOOLS:
            raise Bad(f"/{key}", "data_type", f"{len(found)} tools; at most {_MAX_TOOLS}")
        read = []
        for at, tool in enumerate(found):
            if isinstance(tool, dict) and tool.get("type", "function") != "function":
                # One that its server brings along, which no template knows.
                self.ignored[f"/{key}/*/{shown(tool['type'])[1:-1]}"] += 1
                continue
            function = tool.get("function", tool) if isinstance(tool, dict) else None
            if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                raise Bad(f"/{key}/{at}", "data_type", "expected a function with a name")
            _function_name(function, f"/{key}/{at}")
            if "function" in tool:
                for each in tool.keys() - {"function", "type"}:
                    self.ignored[f"/{key}/*/{shown(each)[1:-1]}"] += 1
            read.append({"type": "function", "function": function})
        return read

    def rest(self, row: dict[str, Any], used: set[str]) -> None:
        """Count the keys of a row that are not among those `used`."""
        for key, value in row.items():
            if key not in used and value is not None:
                self.ignored[f"/{shortened(str(key), 60)}"] += 1


def _arguments(found: Any, pointer: str) -> Any:
    """Arguments as an object; a text that is no JSON of an object stays a text."""
    if isinstance(found, str):
        read = inner_json(found, pointer) if found.strip() else {}
        return read if isinstance(read, dict) else found
    return {} if found is None else found


def inner_json(text: str, pointer: str) -> Any:
    """What a text that holds JSON says, read as strictly as its row; the text if it is no JSON."""
    try:
        return read_json(clean_text(text, pointer).encode())
    except JsonFault as fault:
        if fault.kind == "text":
            raise Bad(pointer, "invalid_encoding", f"a text in it {fault.why}") from None
        if fault.line is None:  # it is JSON but for what strict readers refuse
            raise Bad(pointer, "invalid_json", f"it holds JSON, but {fault.why}") from None
        return text


def _function_name(function: dict[str, Any], pointer: str) -> str:
    name = clean_text(function["name"], f"{pointer}/name")
    if not name.strip():
        raise Bad(f"{pointer}/name", "data_type", "the function's name is empty")
    return name


def clean_text(text: str, pointer: str) -> str:
    """The text, if UTF-8 can say it."""
    if not is_whole(text):
        raise Bad(pointer, "invalid_encoding", "it holds half of a surrogate pair")
    return text


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    if value is None:
        return "nothing"
    if value == [] and isinstance(value, list):
        return "an empty list"
    return names.get(type(value), "a number")


def shown(value: Any) -> str:
    """A JSON value as a reason repeats it."""
    return shortened(json.dumps(value, default=str), 60)
