"""The words of an HTML mail, by the standard library's parser.

Entities are decoded; blocks, rows, list items and `<br>` separate words by a line break, cells by
a blank. `style`, `script` and comments are no words. A link's address is kept where it is not its
own text, a picture's alternative text too. Quoted history stays where it was.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_NO_WORDS = frozenset({"script", "style", "template", "title"})
_BLOCKS = (
    " address article aside blockquote body br center dd div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol option p pre section table tbody tfoot "
    "thead tr ul "
)
_CELLS = frozenset({"td", "th"})
_DECLARATION = re.compile(r"<[!?][^<>]*>")
_NO_TAG = re.compile(r"<(?!/?[A-Za-z][\w-]*(?::[\w-]+)?(?:[\s/][^<>]*)?>)")
"""What a tag does not begin with, as in `5 < 6`, `<ada@example.org>` and `<https://example.org>`."""
_UNSEEN = re.compile(rf"(?i)</?(?:{'|'.join(sorted(_NO_WORDS))})\b[^<>]*>")
_LINKS = ("http:", "https:", "mailto:", "tel:")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden: list[str] = []
        """What stands in an element without words that is not closed yet."""
        self._without_words = 0
        self._as_it_is = 0
        self._link: tuple[str, int] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "body":
            self._without_words = 0  # whatever was left open before it
            self.hidden.clear()
        elif tag in _NO_WORDS:
            self._without_words += 1
        elif tag == "a":
            self.end_link()  # no link is inside another one
            self._link = values.get("href") or "", len(self.pieces)
        elif tag in ("img", "area"):
            self.pieces.append(f" {values.get('alt') or ''} ")
        self._as_it_is += tag == "pre"
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _NO_WORDS:
            self._without_words = max(0, self._without_words - 1)
            if not self._without_words:
                self.hidden.clear()
        elif tag == "a":
            self.end_link()
        self._as_it_is -= tag == "pre" and self._as_it_is > 0
        self._separate(tag)

    def end_link(self) -> None:
        """Add the address of the link that is open, where its text is another."""
        if self._link is None:
            return
        (href, start), self._link = self._link, None
        shown = "".join(self.pieces[start:])
        bare = href.strip().partition("://")[2] or href.strip().partition(":")[2]
        if href.strip().lower().startswith(_LINKS) and bare.rstrip("/") not in shown:
            self.pieces.append(f" ({href.strip()})")

    def handle_data(self, data: str) -> None:
        if self._without_words:
            self.hidden.append(data)
        else:
            self.pieces.append(data if self._as_it_is else re.sub(r"\s+", " ", data))

    def _separate(self, tag: str) -> None:
        into = self.hidden if self._without_words else self.pieces
        if f" {tag} " in _BLOCKS:
            into.append("\n")
        elif tag in _CELLS:
            into.append(" ")


def text_of(html: str) -> str:
    """The words of an HTML text, a line for each block that has any.

    What follows a `<style>` or `<title>` that is never closed is shown: rather rules of a style
    among the words than words that are not there.
    """
    parser = _Words()
    parser.feed(_plain_tags(html))
    parser.close()
    parser.end_link()
    # What follows an open `<style>` older parsers keep to themselves.
    if unseen := "".join(parser.hidden) + parser.rawdata:
        parser.pieces += ["\n", text_of(_UNSEEN.sub(" ", unseen))]
    lines = (" ".join(line.split()) for line in "".join(parser.pieces).splitlines())
    return "\n".join(line for line in lines if line)


def _plain_tags(html: str) -> str:
    """The same with nothing but whole tags as markup, any other `<` as the character.

    For what is never closed (comments, declarations, attributes) the parser looks through all that
    follows, each time it meets one: a mail of a few hundred kilobytes would take minutes.
    """
    kept, at = [], 0
    while (start := html.find("<!--", at)) >= 0 and (end := html.find("-->", start)) >= 0:
        kept.append(html[at:start])
        at = end + 3
    html = _DECLARATION.sub("", "".join(kept) + html[at:].replace("<!--", ""))
    return _NO_TAG.sub("&lt;", html)


def beyond(text: str, html: str) -> str:
    """The lines of an HTML text whose words are not all in the plain text beside it.

    Both parts of a mail say the same; where a program left words out of one, they are kept.
    """
    known = set(re.findall(r"\w+", text.casefold()))
    lines = text_of(html).splitlines()
    return "\n".join(line for line in lines if set(re.findall(r"\w+", line.casefold())) - known)
