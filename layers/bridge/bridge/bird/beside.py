"""What of `bird` no reader takes: a flow's own keys, and whatever stands where a text is expected.

Bird's variables may hold an object or a list where a flow's author expects a text; what is in it
may be a customer's words, so it becomes lines of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from bridge.bird.part import Part
from bridge.bird.texts import as_text, flat, is_absent


def beside(
    bird: Mapping[str, Any], *, keys: Set[str], attributes: Set[str]
) -> tuple[list[str], list[str]]:
    """The lines for the record, and the paths of what nobody knows.

    keys        the keys that are read, in lower case
    attributes  the contact attributes that a field is filled with, in lower case
    """
    rest = {name: _rest(name.lower(), value, keys, attributes) for name, value in bird.items()}
    lines, unknown = [], []
    for path, line in Part(rest).unread(lambda _: True):
        lines.append(line)
        top, _, deeper = path.lower().partition(".")
        if top != "attributes" and (deeper or top not in keys):
            unknown.append(path)
    return lines, unknown


def _rest(name: str, value: Any, keys: Set[str], attributes: Set[str]) -> Any:
    """What of a key's value is not read."""
    if name == "attributes" and isinstance(value, dict):
        return {key: one for key, one in value.items() if key.lower() not in attributes}
    if name not in keys or name == "attributes":
        return value
    values = list(flat(value))
    deep = [one for one in values if isinstance(one, (dict, bool))]
    if name == "media":
        return [_of_media(one) if isinstance(one, dict) else one for one in deep]
    if name == "tags":
        return deep
    # A list stands for its first value that is there (docs/api.md); the others are kept.
    texts = [text for one in values if not is_absent(text := as_text(one))]
    return [*(text for text in texts[1:] if text != texts[0]), *deep]


def _of_media(part: Mapping[str, Any]) -> dict[str, Any]:
    """What an object of `media` has besides its link, name and type."""
    read = [as_text(part.get(one) or part.get(other)) for one, other in MEDIA_KEYS]
    return {key: one for key, one in part.items() if as_text(one) not in read or not as_text(one)}


MEDIA_KEYS = (("url", "mediaUrl"), ("name", "filename"), ("type", "contentType"))
"""The keys of an object of `media`, each by its two names."""
