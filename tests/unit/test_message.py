"""A message fills fields, within their lengths, and invents nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bridge.bird.mapping import SOURCES, fill, is_opt_out
from bridge.bird.message import KEYS, BirdMessage
from bridge.bird.phones import as_e164
from bridge.bird.texts import cut, is_absent


def lead(**bird: Any) -> dict[str, str]:
    return fill(BirdMessage.parse(bird), "Lead")[0]


def case(**bird: Any) -> dict[str, str]:
    return fill(BirdMessage.parse(bird), "Case")[0]


def units(text: str) -> int:
    """The length as Salesforce counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


# Absent


@pytest.mark.parametrize(
    ("value", "absent"),
    [
        *((one, True) for one in (None, "", "  \n\t", "{{name}}", " {{ name }} ", "{{a}}{{b}}")),
        *((one, True) for one in ("{{first}} {{last}}", '{{x|default:"empty"}}', "{{a[0].b}}")),
        *((one, True) for one in ("{{}}", "{{a\nb}}")),
        *((one, False) for one in (0, False, "0", "null", "{name}", "{{name", "name}}")),
        *((one, False) for one in ("Hi {{name}}", "{{a}}, {{b}}")),
    ],
)
def test_a_value_that_says_nothing_is_absent(value: object, absent: bool) -> None:
    assert is_absent(value) is absent


@pytest.mark.no_cover  # it measures time
@pytest.mark.parametrize("text", ["{{" * 400_000, "{{}} " * 150_000 + "x", "{{a}" * 200_000])
def test_no_text_makes_it_slow_to_see_whether_a_value_is_absent(text: str) -> None:
    started = time.process_time()
    assert not is_absent(text)
    lead(channel="email", displayName=text, sender="a@" + "." * 100_000 + " x", text=text)
    assert time.process_time() - started < 5


# Names


NOBODY = (
    *("🏁", '"', "''", "…", "+44 7700 900142", "42", "{{a}}", "{{", ""),
    *("null", "None", "NULL", "undefined", "undefined undefined", "(null)"),
)


@pytest.mark.parametrize(
    ("display_name", "first", "last"),
    [
        ("Noor van Dijk", "Noor", "van Dijk"),
        ("Ana María García López", "Ana", "María García López"),
        ("Sukarno", "", "Sukarno"),
        ("  Jean-Pierre   Lefèvre ", "Jean-Pierre", "Lefèvre"),
        ("*Ruth*", "", "Ruth"),
        ("🏁 Max", "", "Max"),
        ("山田 花子", "花子", "山田"),
        ("山田花子", "", "山田花子"),
        ("김 민수", "민수", "김"),
        ("やまだ はなこ", "はなこ", "やまだ"),
        ("Дмитрий Орлов", "Дмитрий", "Орлов"),
        ("محمد العربي", "محمد", "العربي"),
        ("Maria {{contact.lastName}}", "", "Maria"),
        ("{{contact.firstName}} García", "", "García"),
        # Family, Given: as mail programs write it
        ("Okafor, Ada", "Ada", "Okafor"),
        ('"van Dijk, Noor Anna"', "Noor Anna", "van Dijk"),
        ("Ada Okafor, PhD", "Ada", "Okafor, PhD"),
        ("John Smith, Jr.", "John", "Smith, Jr."),
        # RFC 5322
        ("Ada Okafor <ada@example.com>", "Ada", "Okafor"),
        ('"Okafor, Ada" <ada@example.com>', "Ada", "Okafor"),
        # Companies
        ('"Malek & Sons"', "", "Malek & Sons"),
        ("Acme Lamps Ltd.", "", "Acme Lamps Ltd."),
        ("Acme, Inc.", "", "Acme, Inc."),
        ("Lampen Müller GmbH", "", "Lampen Müller GmbH"),
        ("Maria Sa", "Maria", "Sa"),
        ("Lampara S.A.", "", "Lampara S.A."),
        # What a program wrote for nothing
        ("undefined Okafor", "", "Okafor"),
        ("Ada null", "", "Ada"),
        ("Christopher Null", "Christopher", "Null"),
        *((nothing, "", "+447700900142") for nothing in NOBODY),
        # an apostrophe begins a name, and quotes do not
        ("’s-Gravesande", "", "’s-Gravesande"),
    ],
)
def test_a_profile_name_becomes_two_names(display_name: str, first: str, last: str) -> None:
    fields = lead(channel="whatsapp", sender="+447700900142", displayName=display_name)
    assert (fields.get("FirstName", ""), fields["LastName"]) == (first, last)


@pytest.mark.parametrize(
    ("bird", "line"),
    [
        ({"displayName": "Ada " + "Okafor" * 20}, "Name: Ada " + "Okafor" * 20),
        ({"displayName": "ada_99", "firstName": "Ada", "lastName": "Okafor"}, "Name: ada_99"),
        ({"displayName": "1984"}, "Name: 1984"),
        ({"displayName": "Ada Okafor", "firstName": "Ada", "lastName": "Okafor"}, ""),
        ({"displayName": "Okafor, Ada"}, ""),
        ({"displayName": "+44 7700 900142"}, ""),
        ({"displayName": "undefined undefined"}, ""),
        ({"displayName": "🏁"}, ""),
        ({"channel": "telegram", "sender": "1033247360"}, "Telegram: 1033247360"),
        ({"channel": "sms", "sender": "ACME"}, "SMS: ACME"),
        ({"channel": "sms", "sender": "23232"}, "SMS: 23232"),
        ({"channel": "pigeon", "sender": "17841405550190"}, "pigeon: 17841405550190"),
        ({"channel": "email", "sender": "josé@example.com"}, "E-mail: josé@example.com"),
        ({"channel": "email", "sender": "a@localhost"}, "E-mail: a@localhost"),
        ({"channel": "sms", "sender": "+447700900142", "email": "nobody"}, "E-mail: nobody"),
        ({"channel": "telegram", "sender": "1", "phone": "+447700900142"}, ""),
        ({"channel": "telegram", "sender": "1", "email": "a@example.org"}, ""),
        ({"channel": "whatsapp", "sender": "+447700900142"}, ""),
        ({"channel": "email", "sender": "Ada <a@example.org>"}, ""),
        ({"channel": "whatsapp", "sender": "undefined"}, ""),
        *(
            ({"sender": "", "phone": one}, f"Phone: {one}")
            for one in ("by mail only", "0612345678 after five, else ask at the desk")
        ),
    ],
)
def test_what_no_field_says_of_a_name_and_how_to_answer_is_a_line(
    bird: dict[str, str], line: str
) -> None:
    known = {"channel": "whatsapp", "sender": "+447700900142", "displayName": "Ada Okafor"}
    for fields in (lead, case):
        made = fields(text="Hi", **{**known, **bird})
        assert made["Description"].split("\n")[1:] == ([line] if line else [])


def test_a_handle_and_what_brought_the_customer_can_be_mapped() -> None:
    message = BirdMessage.parse(
        {"channel": "telegram", "sender": "1033247360", "adId": "12", "productId": "SKU-7"}
    )
    values = {name: SOURCES[name](message) for name in ("handle", "adId", "productId", "adUrl")}
    assert values == {"handle": "1033247360", "adId": "12", "productId": "SKU-7", "adUrl": ""}
    assert SOURCES["handle"](BirdMessage.parse({"channel": "sms", "sender": "+447700900142"})) == ""
    assert lead(channel="telegram", adId="12")["Description"] == "adId: 12"


@pytest.mark.parametrize(
    ("sender", "phone"),
    [
        ("+447700900142", "+447700900142"),
        ("447700900142", "+447700900142"),
        ("00447700900142", "+447700900142"),
        ("+44 (7700) 900-142", "+447700900142"),
        ("+44\u00a07700\u2011900142", "+447700900142"),
        ("+1234567", "+1234567"),
        ("+123456", ""),
        ("+1234567890123456", ""),
        ("0612345678", ""),
        ("+0447700900", ""),
        ("ACME", ""),
        ("23232", ""),
        ("４４７７００９００１４２", ""),
        ("++447700900142", ""),
        ("", ""),
    ],
)
def test_a_number_is_written_in_e164_or_not_at_all(sender: str, phone: str) -> None:
    assert as_e164(sender) == phone


WORDS = "Words of a customer"
LONG = "a" * 40 + "@" + "b" * 40 + ".example.com"


@pytest.mark.parametrize(
    ("bird", "expected"),
    [
        *(
            (
                {"channel": one, "sender": "447700900142"},
                {"Phone": "+447700900142", "SuppliedPhone": "+447700900142"},
            )
            for one in ("whatsapp", "sms", "viber", "rcs")
        ),
        *(
            ({"channel": one, "sender": "17841405550190"}, {"LastName": "17841405550190"})
            for one in ("instagram", "telegram", "line", "messenger", "", "pigeon")
        ),
        *(
            (
                {"channel": "email", "sender": one},
                {"Email": "jean@example.fr", "SuppliedEmail": "jean@example.fr"},
            )
            for one in (
                *("jean@example.fr", "Jean Le <jean@example.fr>", '"a@b" <jean@example.fr>'),
                *("<jean@example.fr>", "mailto:jean@example.fr"),
            )
        ),
        *(
            ({"channel": "email", "sender": one}, {"LastName": one})
            for one in ("jean", "jean@example", "a b@example.fr", "a@b@example.fr")
        ),
        # one that does not fit is not made another one
        ({"channel": "email", "sender": LONG}, {"LastName": LONG[:80]}),
        (
            {"channel": "telegram", "sender": "550018842", "contactId": "c-1"},
            {"LastName": "550018842"},
        ),
        ({"channel": "telegram", "contactId": "c-1"}, {"LastName": "c-1"}),
        ({"channel": "telegram"}, {"LastName": "Telegram contact"}),
        ({}, {"LastName": "Bird contact"}),
        ({"displayName": "Noor van Dijk"}, {"FirstName": "Noor", "SuppliedName": "Noor van Dijk"}),
        ({"channel": "whatsapp"}, {"LeadSource": "WhatsApp", "Origin": "WhatsApp"}),
        (
            {"displayName": "a" * 200 + " " + "𐐷" * 5 + "b" * 200},
            {"FirstName": "a" * 40, "LastName": "𐐷" * 5 + "b" * 70},
        ),
    ],
)
def test_who_it_is_fills_the_fields_of_a_lead_and_of_a_case(
    bird: dict[str, str], expected: dict[str, str]
) -> None:
    found = lead(**bird) | case(**bird)
    assert expected.items() <= found.items()
    if "Phone" not in expected and "Email" not in expected:
        assert not {"Phone", "SuppliedPhone", "Email", "SuppliedEmail"} & found.keys()


# Texts


def test_the_subject_is_the_channel_and_the_first_words() -> None:
    assert case(channel="viber", text="Where\n is it? ")["Subject"] == "Viber: Where is it?"
    assert case(channel="viber")["Subject"] == "Viber"
    long = case(channel="viber", text="word " * 100)["Subject"]
    assert long.startswith("Viber: word word") and long.endswith("…") and len(long) < 100
    assert units(case(channel="viber", text="😀" * 300)["Subject"]) <= 255


def test_a_text_arrives_as_it_was_sent() -> None:
    text = '  a | "b" \\ שלום 😀\r\nc\t'
    assert lead(text=text)["Description"] == text
    assert case(text=text)["Description"] == text


MARK = "… (cut; open it in Bird)"


def test_a_text_that_is_too_long_ends_in_a_mark() -> None:
    text = "😀 word " * 10_000
    fields, shortened = fill(
        BirdMessage.parse({"channel": "whatsapp", "sender": "1", "text": text}), "Lead"
    )
    description = fields["Description"]
    assert shortened == ("Description",)
    assert units(description) <= 32_000
    words, _, who = description.rpartition(MARK)
    assert text.startswith(words) and who == "\nWhatsApp: 1", "how to answer stays"


def test_where_the_lines_leave_no_room_for_words_the_end_is_cut() -> None:
    links = [f"https://media.example/{at}/{'a' * 1_000}" for at in range(40)]
    description = lead(channel="sms", sender="+447700900142", text="Look", media=links)[
        "Description"
    ]
    assert description.startswith("Look\nAttachment: ") and description.endswith(MARK)
    assert units(description) <= 32_000


@pytest.mark.parametrize(
    ("bird", "opt_out"),
    [
        ({"channel": "sms", "text": "STOP"}, True),
        ({"channel": "sms", "text": " stopall\n"}, True),
        ({"channel": "sms", "text": "Unsubscribe"}, True),
        ({"channel": "sms", "text": "STOP it, please"}, False),
        ({"channel": "sms", "text": "STOP."}, False),
        ({"channel": "sms", "text": "STOP", "media": "https://m.example/1"}, False),
        ({"channel": "sms", "text": "STOP", "subject": "Where is my lamp?"}, False),
        ({"channel": "whatsapp", "text": "STOP"}, False),
        ({"channel": "sms", "text": ""}, False),
    ],
)
def test_a_word_that_the_table_ignores_is_no_request_when_it_comes_alone(
    bird: dict[str, str], opt_out: bool
) -> None:
    assert is_opt_out(BirdMessage.parse(bird)) is opt_out


@pytest.mark.parametrize(
    ("text", "length", "begins"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("ab😀", 3, "ab"),
        ("ab😀", 4, "ab😀"),
        ("😀😀", 3, "😀"),
        ("😀", 1, ""),
        ("", 0, ""),
    ],
)
def test_a_cut_counts_utf_16_units_and_halves_no_pair(text: str, length: int, begins: str) -> None:
    assert cut(text, length) == begins


# Reading the object


TEXTS = ("text", "subject", "displayName", "name", "sender", "phone", "email", "firstName")


@pytest.mark.parametrize(
    "value",
    [
        {"text": WORDS},
        {"type": "text", "text": {"text": WORDS}},
        [{"body": WORDS}],
        ["First", WORDS],
        [["First"], [[WORDS]]],
        ["{{a}}", None, WORDS],
    ],
)
@pytest.mark.parametrize("key", [*TEXTS, "media", "tags", "channel", "adTitle", "attributes"])
def test_words_are_in_the_record_whatever_holds_them(key: str, value: object) -> None:
    """A variable of Bird's may hold an object or a list where a flow's author expects a text."""
    message = BirdMessage.parse({"channel": "whatsapp", key: value})
    shown = [*map(str, fill(message, "Lead")[0].values()), message.called, *message.tags]
    assert WORDS in " ".join(shown)
    assert not any(WORDS in path for path in message.unread)


LINK = "https://m.example/1"
VARIABLES = {"url": "{{messageFile}}", "name": "{{messageFileName}}", "type": "image/png"}


@pytest.mark.parametrize(
    ("bird", "details", "unread"),
    [
        (
            {"txet": "Hello", "custom": {"size": [38, 39]}},
            ("txet: Hello", "custom.size: 38", "custom.size: 39"),
            ("txet", "custom.size"),
        ),
        *(
            (
                {"media": [{"url": LINK, key: WORDS}]},
                (f"Attachment: {LINK}", f"media.{key}: {WORDS}"),
                (f"media.{key}",),
            )
            for key in ("caption", "altText", "link", "NAME")
        ),
        ({"media": {"name": "lamp.jpg"}}, ("Attachment (lamp.jpg)",), ()),
        ({"media": [VARIABLES]}, (), ()),
        # A flow that puts a text between no quotes sends a customer's "true" as a mark.
        ({"text": True}, ("text: true",), ()),
    ],
)
def test_what_has_no_field_is_a_line(
    bird: dict[str, Any], details: tuple[str, ...], unread: tuple[str, ...]
) -> None:
    message = BirdMessage.parse({"channel": "sms", **bird})
    assert (message.details, message.unread) == (details, unread)


NOTHING: dict[str, Any] = {"sender": "", "text": "", "called": ""}


@pytest.mark.parametrize(
    ("bird", "read"),
    [
        # keys are compared without case, and numbers are read as text
        (
            {"MessageID": 98231, "SENDER": 447700900142, "CHANNEL": "sms"},
            {"message_id": "98231", "phone": "+447700900142"},
        ),
        *(
            ({"sender": one, "text": one, "channel": one}, NOTHING)
            for one in (True, [], {}, [[{"id": "x"}, None]], {"id": "x"}, None)
        ),
        ({"tags": "a, b"}, {"tags": ("a", "b")}),
        ({"tags": ["a", " b ", 7, "", None, "{{t}}", {"x": 1}]}, {"tags": ("a", "b", "7")}),
        ({"tags": {"a": 1}}, {"tags": ()}),
        ({"tags": None}, {"tags": ()}),
        # an empty twin of a key takes nothing away
        ({"text": WORDS, "Text": ""}, {"text": WORDS}),
        ({"TEXT": None, "text": WORDS}, {"text": WORDS}),
        # As a key it would be everybody's, and all messages after the first would be lost; as a
        # text a customer may write it.
        *(
            (
                dict.fromkeys(("messageId", "conversationId", "sender", "text"), one),
                {"message_id": "", "conversation_id": "", "sender": "", "text": one},
            )
            for one in ("null", "undefined", "None")
        ),
    ],
)
def test_what_is_read_of_the_object(bird: dict[str, Any], read: dict[str, Any]) -> None:
    message = BirdMessage.parse(bird)
    assert {name: getattr(message, name) for name in read} == read


@pytest.mark.parametrize("more", [{"firstName": "Ada"}, {"name": "Ada"}, {"lastName": "Ada"}])
def test_each_of_two_names_is_in_the_record(more: dict[str, str]) -> None:
    message = BirdMessage.parse({"displayName": "Bob", **more})
    fields, _ = fill(message, "Lead")
    assert "Ada" in str(fields.values()) and "Bob" in str(fields.values())


def test_a_number_of_any_length_leaves_the_words_in_their_place() -> None:
    message = BirdMessage.parse({"channel": "sms", "text": "Hi", "phone": "0 1 " * 100_000})
    assert message.unshown() == {}
    assert fill(message, "Task")[0]["Description"].startswith("Hi\nPhone: 0 1 ")


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_key_that_counts_as_known_is_read(key: str) -> None:
    values = {"channel": "viber", "direction": "outgoing"}
    given = BirdMessage.parse({key: values.get(key, "x-1")})
    assert vars(given) != vars(BirdMessage.parse({})) and not given.unread


def test_nothing_personal_is_in_the_repr() -> None:
    message = BirdMessage.parse(
        {"sender": "+447700900142", "displayName": "Noor", "text": "secret", "messageId": "m-1"}
    )
    assert not any(word in repr(message) for word in ("4477", "Noor", "secret", "m-1"))
