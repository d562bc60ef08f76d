"""Downloads a file into a temporary one: Bird's link with the access key, redirects without it.

Bird's media hosts answer 302 to a signed address of a store, which refuses a request that brings
another authorization besides [public captures; Bird's documentation does not say it]. The key goes
to the first host only, which the deployer names, and never anywhere else.

What is wrong for good is Refused, what may pass is Unavailable: a 401, 403, 404 or 410 means that
the file or the right to it is gone, and each attempt follows the redirects anew, so an expired
signature is not the reason.
"""

from __future__ import annotations

import errno
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import IO, NamedTuple

from bridge.deadline import Deadline
from bridge.errors import NotSetUp, Refused, SalesforceProblem, Unavailable
from bridge.files.addresses import PublicResolver, Target, follow, is_named, read_link
from bridge.http import Http
from bridge.http1 import PIECE_BYTES, Connection, Head, request_head
from bridge.oauth.access_token import is_token
from bridge.salesforce.responses import read_retry_after
from bridge.settings import Settings
from bridge.untrusted import read_json, read_text

MOST_REDIRECTS = 3
MEGABYTE = 1024 * 1024
_GZIP = 31
"""The window of zlib with gzip's header."""

_REDIRECTS = (301, 302, 303, 307, 308)
_FOR_LATER = (408, 425, 429)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_REASONS = {
    401: "the access key is not accepted",
    403: "the access key may not read it, or it is no longer there",
    404: "it is not there",
    410: "it is no longer there",
}
_AFTER_A_REDIRECT = "a redirect led there, which the access key is not sent to"
NO_KEY_HINT = (
    "Put Bird's access key into the secret of the output AccessKeySecret (docs/files.md). Until "
    "then the files wait."
)
HOST_HINT = (
    "If you trust that host, and it may have your access key, add it to the parameter MediaHosts, "
    "deploy, and replay it."
)


def read_key(value: str) -> str:
    """Bird's access key in a secret's value: its text, or the JSON `{"accessKey": "…"}`; empty
    where there is none. Raises NotSetUp."""
    value = value.removeprefix("\ufeff")  # some editors put it at the start of a file
    stored = read_json(value)
    key = read_text(stored, "accessKey") if isinstance(stored, dict) else value
    key = key.strip().removeprefix("AccessKey ").strip()
    if key and not is_token(key):
        raise NotSetUp(
            "the secret of the access key holds something else", code="ACCESS_KEY_UNREADABLE"
        )
    return key


class Downloaded(NamedTuple):
    """A file as it came. Close `file`, which removes it."""

    file: IO[bytes]
    size: int
    type: str = ""
    """Content-Type, and below Content-Disposition, as the server sent them."""
    disposition: str = ""


class Downloads:
    """Downloads with the settings' hosts and limits."""

    def __init__(self, *, settings: Settings) -> None:
        self._settings = settings
        self._http = Http(PublicResolver(settings.allow_insecure_hosts))

    def fetch(self, link: str, *, access_key: str, deadline: Deadline) -> Downloaded:
        """Download one file before the deadline. `access_key` is empty where none is stored.

        Raises Refused, Unavailable, NotSetUp. The messages name at most the host.
        """
        target = read_link(link)
        if not is_named(target.host, target.port, self._settings.media_hosts):
            raise Refused(
                f"{target.host} is none of MediaHosts",
                code="MEDIA_HOST_NOT_ALLOWED",
                hint=HOST_HINT,
            )
        # A signed address takes no second authorization.
        key = "" if "X-Amz-Signature=" in target.path else access_key
        for followed in range(MOST_REDIRECTS + 1):
            with closing(self._open(target, deadline)) as connection:
                head = _request(connection, target, "" if followed else key, deadline)
                if head.status == 200:
                    return self._read(head, connection.pieces(head, deadline), target)
                if head.status not in _REDIRECTS:
                    raise _problem(head, target, with_key=bool(access_key), first=not followed)
                location = head.headers.get("location", "")
            if not location:
                raise Refused(f"{target.host} redirects to nowhere", code="MEDIA_REDIRECTS")
            target = follow(target, location)
        raise Refused(f"more than {MOST_REDIRECTS} redirects", code="MEDIA_REDIRECTS")

    def _open(self, target: Target, deadline: Deadline) -> Connection:
        """A connection to one of the checked addresses. Raises Refused, Unavailable."""
        exempt = is_named(target.host, target.port, self._settings.allow_insecure_hosts)
        if target.scheme != "https" and not exempt:
            raise Refused(f"{target.host} would be called without TLS", code="MEDIA_NOT_HTTPS")
        try:
            return self._http.open(target.scheme, target.netloc, deadline=deadline)
        except (OSError, UnicodeError) as error:  # TLS's errors are among them
            what = f"{target.host} cannot be reached ({type(error).__name__})"
            raise Unavailable(what, code="MEDIA_UNREACHABLE") from error

    def _read(self, head: Head, pieces: Iterator[bytes], target: Target) -> Downloaded:
        """The body in a temporary file. Its length is counted, whatever the headers say."""
        most = self._settings.media_max_megabytes * MEGABYTE
        too_large = Refused(
            f"it has more than {self._settings.media_max_megabytes} MB",
            code="MEDIA_TOO_LARGE",
            hint="Raise MediaMaxMegabytes, deploy, and replay it; or use the message's link.",
        )
        if (head.length or 0) > most:
            raise too_large
        coding = head.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip"):
            raise Refused(f"{target.host} encodes it in an unknown way", code="MEDIA_ENCODING")
        size = 0
        with ExitStack() as opened:
            file = opened.enter_context(tempfile.TemporaryFile())
            try:
                for piece in pieces if coding == "identity" else _unpacked(pieces):
                    size += len(piece)
                    if size > most:
                        raise too_large
                    file.write(piece)
                if not size:
                    raise Refused("it is empty", code="MEDIA_EMPTY")
                file.seek(0)
            except (OSError, ValueError, zlib.error) as error:
                if isinstance(error, OSError) and error.errno in _DISK:
                    raise Unavailable("the function's disk is full", code="NO_DISK") from error
                raise _broke_off(target, error) from error
            opened.pop_all()  # whoever gets it closes it
        kind = head.headers.get("content-type", "")
        return Downloaded(file, size, kind, head.headers.get("content-disposition", ""))


def _request(connection: Connection, target: Target, key: str, deadline: Deadline) -> Head:
    headers = {"Accept": "*/*", "Connection": "close"}
    if key:
        headers["Authorization"] = f"AccessKey {key}"
    # Without the usual port: a store's signature covers this header as the link was signed.
    host = target.netloc.removesuffix(":443" if target.scheme == "https" else ":80")
    try:
        connection.write(request_head("GET", target.path, host=host, headers=headers), deadline)
        return connection.read_head(deadline)
    except (OSError, ValueError) as error:
        raise _broke_off(target, error) from error


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """What a store compressed although the request takes no compression, bounded. It may be of
    several members (RFC 1952, 2.2)."""
    unpacker = zlib.decompressobj(wbits=_GZIP)
    for piece in pieces:
        left = piece
        while left:
            if unpacker.eof:
                left = left.lstrip(b"\0")  # what fills up a block
                if not left.startswith(b"\x1f"):
                    break  # no member
                unpacker = zlib.decompressobj(wbits=_GZIP)
            yield unpacker.decompress(left, PIECE_BYTES)
            left = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if not unpacker.eof:
        raise zlib.error("the end is missing")


def _problem(head: Head, target: Target, *, with_key: bool, first: bool) -> SalesforceProblem:
    """What a response other than a file means; `first`: it is no redirect's."""
    status = head.status
    if status in (401, 403) and first and not with_key:
        return NotSetUp(
            "there is no access key of Bird's in the secret", code="NO_ACCESS_KEY", hint=NO_KEY_HINT
        )
    message = f"{target.host} responds with {status}"
    if status >= 500 or status in _FOR_LATER:
        later = Unavailable(message, code=f"MEDIA_HTTP_{status}")
        later.retry_after_seconds = read_retry_after(head.headers)
        return later
    reason = _REASONS.get(status) if first or status in (404, 410) else _AFTER_A_REDIRECT
    return Refused(f"{message}: {reason}" if reason else message, code=f"MEDIA_HTTP_{status}")


def _broke_off(target: Target, error: Exception) -> Unavailable:
    slow = isinstance(error, TimeoutError)
    message = f"{target.host} {'is too slow' if slow else 'broke off'} ({type(error).__name__})"
    return Unavailable(message, code="MEDIA_TOO_SLOW" if slow else "MEDIA_BROKE_OFF")
