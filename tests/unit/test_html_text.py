"""An HTML mail as its words."""

from __future__ import annotations

import time

import pytest

from bridge.bird.html_text import beyond, text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("<p>The lamp arrived <b>broken</b>.</p>", "The lamp arrived broken."),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<div>a</div><div>b<p>c</p></div>d", "a\nb\nc\nd"),
        ("<ul><li>red<li>blue</ul>", "red\nblue"),
        ("<table><tr><td>Lamp</td><td>2</td></tr><tr><th>Sum<td>9</table>", "Lamp 2\nSum 9"),
        ("caf&eacute; &amp; &lt;b&gt; &#8364;&nbsp;5", "café & <b> € 5"),
        ("a<style>p {color: red}</style>b<script>x('y')</script>c", "abc"),
        ("<head><title>t</title><style>s</style></head><body>words</body>", "words"),
        ("<head><style>never closed<body>words", "never closed\nwords"),
        ("<title>never closed<p>words</p>", "never closed words"),
        ("<p>words</p><script>never closed", "words\nnever closed"),
        ("write to <ada@example.org>", "write to <ada@example.org>"),
        ("<p>see <https://shop.example/a> </p>", "see <https://shop.example/a>"),
        ("<p><o:p>office</o:p><st1:place w:st=on>Delft</st1:place></p>", "officeDelft"),
        ('<map><area href="#" alt="our hall"></map>', "our hall"),
        (
            '<a href="http://a.example">a<a href="http://b.example">b</a>',
            "a (http://a.example)b (http://b.example)",
        ),
        ("<title>never closed<body>words</title>", "words"),
        ("a <!-- never closed <p>b", "a never closed\nb"),
        ('<p title="a > b">c</p>', "c"),
        ("a<!-- b --><!--[if mso]><p>c</p><![endif]-->d", "ad"),
        ("<![if !mso]>a<![endif]>", "a"),
        ("reply<blockquote type=cite>You wrote:<br>hello</blockquote>", "reply\nYou wrote:\nhello"),
        (
            'see <a href="https://shop.example/a?b=1&amp;c=2">here</a>',
            "see here (https://shop.example/a?b=1&c=2)",
        ),
        ('<a href="https://shop.example/">shop.example</a>', "shop.example"),
        ('<a href="mailto:a@b.co">a@b.co</a> <a href="#top">up</a>', "a@b.co up"),
        ('look <img src="cid:1" alt="our hall"> <img src="x.gif">end', "look our hall end"),
        ("<pre>a  b\n c</pre>", "a b\nc"),
        ("a   b\n c\t d", "a b c d"),
        ("<p>unclosed <b>bold <p>next</i></p></div>", "unclosed bold\nnext"),
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
        ("<p>مرحبا</p><p>你好 😀</p>", "مرحبا\n你好 😀"),
        ("", ""),
        ("<p> </p><br>", ""),
    ],
)
def test_markup_becomes_words(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("text", "html", "more"),
    [
        ("Broken.\n*Lamp* [1]", "<p>Broken.</p><b>Lamp</b>", ""),
        (
            "View this mail in a browser",
            "<p>View this mail</p><p>Order 7 is late</p>",
            "Order 7 is late",
        ),
        ("", "<p>a</p>", "a"),
    ],
)
def test_of_html_beside_a_text_only_what_the_text_lacks(text: str, html: str, more: str) -> None:
    assert beyond(text, html) == more


@pytest.mark.parametrize(
    "piece",
    [
        *("<div>", "<a href=x>", "<", "&", "<!--", "<!", "<?", "</", '<a href="', "<![CDATA["),
        *("<![if", "&am", "<style>x</", "<title>", "<a<", "</script ", "<script>", "<table><tr>"),
    ],
)
def test_no_mail_takes_long_or_fails(piece: str) -> None:
    started = time.process_time()
    text_of(piece * (400_000 // len(piece)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("tag", ["a href=http://b.example", "p", "style", "title", "pre", "table"])
def test_no_mail_takes_long_whose_elements_all_end_at_its_end(tag: str) -> None:
    count = 30_000
    started = time.process_time()
    text_of(f"<{tag}>x" * count + f"</{tag.split()[0]}>" * count)
    assert time.process_time() - started < 5
