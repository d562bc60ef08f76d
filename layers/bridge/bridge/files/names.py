"""Names of files: from the message, else from the download, else made up.

What a customer or a server gives as a name is untrusted: it may be a path, hold control characters
or turn the direction of writing, or be longer than Salesforce takes.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from email.message import Message as Headers
from typing import Any, cast

from bridge.bird.texts import cut

LONGEST_NAME = 255
"""UTF-16 code units of a Title (Object Reference, ContentVersion); PathOnClient takes 500."""

LONGEST_ENDING = 12
"""Characters of what follows the last dot, where it is the kind of a file."""

ENDINGS = {
    "audio/amr": ".amr",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "text/plain": ".txt",
    "video/3gpp": ".3gp",
    "video/mp4": ".mp4",
}
"""What messaging channels send most; others by Python's own table (RFC 6838 types)."""

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_OURS = mimetypes.MimeTypes(filenames=())
"""Without the files of the machine, which differ."""


def file_name(given: str, *, disposition: str, content_type: str, number: int) -> str:
    """The name of a file: `given` by the message, else of `Content-Disposition`, else made of its
    type and its number in the message. With an ending, if the type has one."""
    ending = _ending(content_type)
    for candidate in (given, _name_in(disposition)):
        if name := _clean(candidate):
            return _fitting(name, "" if "." in name.strip(".") else ending)
    kind = plain_type(content_type).partition("/")[0]
    return f"{kind if kind in ('image', 'audio', 'video') else 'file'}-{number}{ending}"


def plain_type(content_type: str) -> str:
    """`image/jpeg` of `Image/JPEG; q=1`; empty where it is no content type."""
    plain = content_type.partition(";")[0].strip().lower()
    return plain if _TYPE.fullmatch(plain) else ""


def _ending(content_type: str) -> str:
    plain = plain_type(content_type)
    if plain == "application/octet-stream":
        return ""
    return ENDINGS.get(plain) or _OURS.guess_extension(plain) or ""


def _name_in(disposition: str) -> str:
    """The name of a Content-Disposition (RFC 6266): `filename*` before `filename`."""
    headers = Headers()
    try:
        headers["content-disposition"] = disposition
        given = headers.get_params([], header="content-disposition")
    except (ValueError, LookupError, TypeError):
        return ""
    names = [value for key, value in cast(list[tuple[str, Any]], given) if key == "filename"]
    # An extended one is a tuple.
    names.sort(key=lambda value: not isinstance(value, tuple))
    return next(filter(None, map(_decoded, names)), "")


CHARSETS = frozenset({"utf-8", "iso-8859-1", "us-ascii", "windows-1252"})
"""Of names: those of RFC 8187, and one that servers write. Others differ between Pythons."""


def _decoded(name: str | tuple[str | None, str | None, str]) -> str:
    """The text of a parameter, which comes read as Latin-1; empty where its charset is none."""
    try:
        if isinstance(name, str):
            return name.encode("latin-1").decode()  # servers put UTF-8 there
        charset, value = (name[0] or "utf-8").lower(), name[2]
        return value.encode("latin-1").decode(charset, "replace") if charset in CHARSETS else ""
    except UnicodeError:
        return name if isinstance(name, str) else ""


def _clean(name: str) -> str:
    """The last part of a path, without control and format characters; empty if nothing is left."""
    name = re.split(r"[/\\]", name.replace("\0", "/").strip().rstrip("/\\"))[-1]
    kept = (c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    plain = " ".join("".join(kept).split())
    return "" if not plain.strip(". ") or plain.startswith("{{") else plain


def _fitting(name: str, ending: str) -> str:
    """A name of at most LONGEST_NAME, whose ending stays."""
    stem, dot, last = name.rpartition(".")
    if not ending and stem and len(last) <= LONGEST_ENDING:
        name, ending = stem, dot + last
    return cut(name, LONGEST_NAME - len(ending.encode("utf-16-le")) // 2) + ending
