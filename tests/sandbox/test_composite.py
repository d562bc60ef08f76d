"""Many records in one call: what is shared between them, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.org import Org, sample

from .conftest import Caller, composite, lead, sub, typed

# --- composite ----------------------------------------------------------------------------


def test_a_case_and_its_number_come_in_one_round_trip(caller: Caller, org: Org) -> None:
    post = sub("made", "POST", "/sobjects/Case", {"Subject": "x", "Bird_Key__c": "k"})
    read = sub("shown", "GET", "/sobjects/Case/Bird_Key__c/k?fields=Id,CaseNumber")
    first = composite(caller, post, read)
    assert [r["httpStatusCode"] for r in first] == [201, 200]
    assert first[1]["body"]["CaseNumber"] == "00001001"
    again = composite(caller, post, read)
    assert [r["httpStatusCode"] for r in again] == [400, 200]
    assert again[0]["body"][0]["errorCode"] == "DUPLICATE_VALUE"
    assert again[1]["body"] == first[1]["body"]
    assert org.usage.used() == 2


def test_only_headers_of_the_subrequest_itself_count(caller: Caller, org: Org) -> None:
    mine = org.oauth.user(sample.INTEGRATION_USER)
    assert mine is not None
    outer: dict[str, Any] = {"Sforce_Auto_Assign": "FALSE"}
    composite(caller, sub("a", "POST", "/sobjects/Case", {"Bird_Key__c": "outer"}), **outer)
    own = sub("a", "POST", "/sobjects/Case", {"Bird_Key__c": "own"}, Sforce_Auto_Assign="FALSE")
    composite(caller, own)
    given_away, kept = org.find("Case", "outer"), org.find("Case", "own")
    assert given_away is not None
    assert given_away["OwnerId"] != mine["Id"]
    assert kept is not None
    assert kept["OwnerId"] == mine["Id"]


def test_allow_save_counts_only_in_the_subrequest(caller: Caller, org: Org) -> None:
    org.create("Lead", lead(Phone="12345"))
    org.set_duplicate_rule("Lead")
    header: dict[str, Any] = {"Sforce_Duplicate_Rule_Header": "allowSave=true"}
    refused = composite(caller, sub("a", "POST", "/sobjects/Lead", lead(Phone="12345")), **header)
    assert refused[0]["body"][0]["errorCode"] == "DUPLICATES_DETECTED"
    passed = composite(caller, sub("a", "POST", "/sobjects/Lead", lead(Phone="12345"), **header))
    assert passed[0]["httpStatusCode"] == 201


def test_a_later_subrequest_may_use_an_earlier_answer(admin: Caller, org: Org) -> None:
    results = composite(
        admin,
        sub("account", "POST", "/sobjects/Account", {"Name": "x"}),
        sub(
            "contact", "POST", "/sobjects/Contact", {"LastName": "y", "AccountId": "@{account.id}"}
        ),
        sub("shown", "GET", "/sobjects/Contact/@{contact.id}?fields=AccountId"),
    )
    assert results[2]["body"]["AccountId"] == results[0]["body"]["id"]


def test_a_reference_to_nothing_fails_alone(caller: Caller) -> None:
    results = composite(
        caller,
        sub("a", "GET", "/sobjects/Lead/@{nothing.id}"),
        sub("b", "POST", "/sobjects/Lead", lead()),
    )
    assert [r["httpStatusCode"] for r in results] == [400, 201]
    assert results[0]["body"][0]["message"].startswith("Invalid reference specified.")


def test_all_or_none_undoes_what_was_done(caller: Caller, org: Org) -> None:
    results = composite(
        caller,
        sub("good", "POST", "/sobjects/Lead", lead(Bird_Key__c="k")),
        sub("bad", "POST", "/sobjects/Lead", lead(XName=1)),
        sub("late", "POST", "/sobjects/Lead", lead()),
        all_or_none=True,
    )
    codes = [r["body"][0]["errorCode"] for r in results]
    assert codes == ["PROCESSING_HALTED", "INVALID_FIELD", "PROCESSING_HALTED"]
    assert org.records("Lead") == []
    assert caller.create("Lead", **lead(Bird_Key__c="k")).status == 201


def test_more_than_25_subrequests_are_refused(caller: Caller) -> None:
    subs = [sub(f"r{n}", "GET", "/limits") for n in range(26)]
    answer = caller.call("POST", "/composite", {"compositeRequest": subs})
    assert answer.status == 400


# --- collections --------------------------------------------------------------------------


def test_a_collection_answers_record_by_record_and_in_order(caller: Caller, org: Org) -> None:
    first = org.create("Lead", lead(Bird_Key__c="taken"))
    results = caller.collection(
        lead(Bird_Key__c="a"), lead(Bird_Key__c="taken"), {"Email": "x"}, lead(type="Lead")
    )
    assert [r["success"] for r in results] == [True, False, False, True]
    assert results[0] == {"id": results[0]["id"], "success": True, "errors": []}
    assert results[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "DUPLICATE_VALUE",
                "message": "duplicate value found: Bird_Key__c duplicates value on record with "
                f"id: {first}",
                "fields": [],
            }
        ],
    }
    assert [e["statusCode"] for e in results[2]["errors"]] == [
        "REQUIRED_FIELD_MISSING",
        "INVALID_EMAIL_ADDRESS",
    ]
    assert org.usage.used() == 1


def test_a_key_twice_in_one_call_is_made_once(caller: Caller, org: Org) -> None:
    results = caller.collection(lead(Bird_Key__c="k"), lead(Bird_Key__c="k"))
    assert results[0]["success"]
    assert results[0]["id"] in results[1]["errors"][0]["message"]
    assert len(org.records("Lead")) == 1


def test_a_duplicate_rule_does_not_see_records_of_the_same_call(caller: Caller, org: Org) -> None:
    org.set_duplicate_rule("Lead")
    results = caller.collection(lead(Phone="12345"), lead(Phone="12345"))
    assert [r["success"] for r in results] == [True, True]
    error = caller.collection(lead(Phone="12345"))[0]["errors"][0]
    assert error == {
        "statusCode": "DUPLICATES_DETECTED",
        "message": "Use one of these records?",
        "fields": [],
    }


def test_one_unknown_field_refuses_the_whole_call(caller: Caller, org: Org) -> None:
    records = typed(lead(), lead(Nope__c=1))
    answer = caller.call("POST", "/composite/sobjects", {"records": records})
    assert answer.status == 400
    assert answer.json() == [
        {
            "message": "No such column 'Nope__c' on sobject of type Lead",
            "errorCode": "INVALID_FIELD",
        }
    ]
    assert org.records("Lead") == []


def test_one_unreadable_value_refuses_the_whole_call(caller: Caller, org: Org) -> None:
    records = typed(lead(), lead(DoNotCall="perhaps"))
    answer = caller.call("POST", "/composite/sobjects", {"records": records})
    assert (answer.status, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert org.records("Lead") == []


def test_all_or_none_rolls_a_collection_back(caller: Caller, org: Org) -> None:
    body = {"allOrNone": True, "records": typed(lead(Bird_Key__c="k"), {})}
    results = caller.call("POST", "/composite/sobjects", body).json()
    assert [r["errors"][0]["statusCode"] for r in results] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert "id" not in results[0]
    assert org.records("Lead") == []
    assert caller.create("Lead", **lead(Bird_Key__c="k")).status == 201


def test_more_than_200_records_are_refused(caller: Caller) -> None:
    records = typed(lead()) * 201
    assert caller.call("POST", "/composite/sobjects", {"records": records}).status == 400


def test_a_trigger_limit_breaks_large_calls_only(caller: Caller, org: Org) -> None:
    org.settings.trigger_limits = {"Lead": 2}
    large = caller.collection(*(lead() for _ in range(3)))
    codes = {r["errors"][0]["statusCode"] for r in large}
    assert codes == {"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"}
    assert all(r["success"] for r in caller.collection(lead(), lead()))


def test_a_full_storage_refuses_each_record(caller: Caller, org: Org) -> None:
    org.settings.storage_full = True
    assert caller.collection(lead())[0]["errors"][0]["statusCode"] == "STORAGE_LIMIT_EXCEEDED"


def test_a_collection_of_mixed_objects_keeps_its_order(caller: Caller) -> None:
    results = caller.collection(lead(), {"type": "Case", "Subject": "x"}, lead())
    assert [r["id"][:3] for r in results] == ["00Q", "500", "00Q"]


def test_records_are_changed_read_and_deleted_together(admin: Caller, org: Org) -> None:
    ids = [org.create("Lead", lead()) for _ in range(2)]
    changed = typed(*({"id": one, "LastName": "x"} for one in ids))
    results = admin.call("PATCH", "/composite/sobjects", {"records": changed}).json()
    assert [r["id"] for r in results] == ids
    path = f"/composite/sobjects/Lead?ids={','.join(ids)},00QABCDE0000abc&fields=LastName"
    assert [r and r["LastName"] for r in admin.call("GET", path).json()] == ["x", "x", None]
    gone = admin.call("DELETE", f"/composite/sobjects?ids={','.join(ids)}").json()
    assert all(r["success"] for r in gone)
    assert org.records("Lead") == []


def test_a_collection_upserts_by_key(admin: Caller, org: Org) -> None:
    org.create("Lead", lead(Bird_Key__c="a"))
    records = typed(*(lead(LastName="x", Bird_Key__c=key) for key in "ab"))
    path = "/composite/sobjects/Lead/Bird_Key__c"
    results = admin.call("PATCH", path, {"records": records}).json()
    assert [r["created"] for r in results] == [False, True]
    assert {r["LastName"] for r in org.records("Lead")} == {"x"}


# --- tree and batch -----------------------------------------------------------------------


def test_a_tree_is_made_whole_or_not_at_all(caller: Caller, org: Org) -> None:
    def tree(**second: str) -> Any:
        return caller.call(
            "POST",
            "/composite/tree/Lead",
            {
                "records": [
                    {"attributes": {"type": "Lead", "referenceId": "r1"}, **lead()},
                    {"attributes": {"type": "Lead", "referenceId": "r2"}, **lead(**second)},
                ]
            },
        )

    refused = tree(Email="123")
    assert refused.status == 400
    assert refused.json() == {
        "hasErrors": True,
        "results": [
            {
                "referenceId": "r2",
                "errors": [
                    {
                        "statusCode": "INVALID_EMAIL_ADDRESS",
                        "message": "Email: invalid email address: 123",
                        "fields": ["Email"],
                    }
                ],
            }
        ],
    }
    assert org.records("Lead") == []
    made = tree()
    assert made.status == 201
    assert [r["referenceId"] for r in made.json()["results"]] == ["r1", "r2"]
    assert made.json()["hasErrors"] is False


def test_each_part_of_a_batch_counts_and_stands_alone(caller: Caller, org: Org) -> None:
    requests = [
        {"method": "POST", "url": "v68.0/sobjects/Lead", "richInput": lead()},
        {"method": "POST", "url": "v68.0/sobjects/Lead", "richInput": {}},
        {"method": "GET", "url": "v68.0/query?q=SELECT+Id+FROM+Lead"},
    ]
    body = caller.call("POST", "/composite/batch", {"batchRequests": requests}).json()
    assert body["hasErrors"] is True
    assert [r["statusCode"] for r in body["results"]] == [201, 400, 200]
    assert org.usage.used() == 3
    halted = caller.call(
        "POST", "/composite/batch", {"haltOnError": True, "batchRequests": requests[1:]}
    )
    assert [r["statusCode"] for r in halted.json()["results"]] == [400, 412]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/composite", []),
        ("/composite", {"compositeRequest": [1]}),
        ("/composite", {"compositeRequest": [{**sub("a", "GET", "/limits"), "httpHeaders": 1}]}),
        ("/composite/sobjects", {"records": [1]}),
        ("/composite/sobjects", {"records": [{"attributes": 1}]}),
        ("/composite/sobjects/Lead", {"ids": 1}),
        ("/composite/batch", {"batchRequests": [1]}),
        ("/composite/tree/Lead", {"records": [lead()]}),
        ("/parameterizedSearch", {"q": "words", "overallLimit": "many"}),
        ("/parameterizedSearch", {"q": "words", "sobjects": {}, "fields": "Id"}),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_and_not_a_defect(
    caller: Caller, path: str, body: Any
) -> None:
    answer = caller.call("POST", path, body)
    assert answer.status in (200, 400)
    assert b"UNKNOWN_EXCEPTION" not in answer.data
    assert caller.org.journal.counts["defects"] == 0


# --- limits and graphs --------------------------------------------------------------------


def test_five_parts_may_be_queries_or_collections(admin: Caller) -> None:
    """[O] at most five of them, `query` and `queryAll` and collections together."""
    parts = [
        sub("a", "GET", "/query?q=SELECT+Id+FROM+Lead"),
        sub("b", "GET", "/queryAll?q=SELECT+Id+FROM+Lead"),
        sub("c", "POST", "/composite/sobjects", {"records": []}),
        *(sub(f"q{n}", "GET", "/queryAll/?q=SELECT+Id+FROM+Case") for n in range(2)),
        *(sub(f"g{n}", "GET", "/sobjects/Lead") for n in range(10)),
    ]
    answer = admin.call("POST", "/composite", {"compositeRequest": parts})
    assert {p["httpStatusCode"] for p in answer.json()["compositeResponse"]} == {200}
    parts.append(sub("more", "GET", "/query?q=SELECT+Id+FROM+Lead"))
    answer = admin.call("POST", "/composite", {"compositeRequest": parts})
    assert answer.status == 400


def node(reference: str, body: dict[str, Any], name: str = "Lead") -> dict[str, Any]:
    return sub(reference, "POST", f"/sobjects/{name}", body)


def graph(caller: Caller, *graphs: list[dict[str, Any]]) -> Any:
    body = {"graphs": [{"graphId": f"g{n}", "compositeRequest": g} for n, g in enumerate(graphs)]}
    return caller.call("POST", "/composite/graph", body)


def test_each_graph_is_done_whole_or_not_at_all(admin: Caller, org: Org) -> None:
    """[O] composite graph: the response, and the independence of graphs."""
    good = [
        node("case", {"Subject": "x"}, "Case"),
        node("comment", {"ParentId": "@{case.id}", "CommentBody": "y"}, "CaseComment"),
    ]
    bad = [node("one", lead()), node("two", {}), node("three", lead())]
    before = org.usage.used()
    answer = graph(admin, good, bad)
    assert answer.status == 200
    assert org.usage.used() - before == 1
    first, second = answer.json()["graphs"]
    assert (first["graphId"], first["isSuccessful"]) == ("g0", True)
    parts = first["graphResponse"]["compositeResponse"]
    assert [p["httpStatusCode"] for p in parts] == [201, 201]
    assert second["isSuccessful"] is False
    parts = second["graphResponse"]["compositeResponse"]
    assert [p["body"][0]["errorCode"] for p in parts] == [
        "PROCESSING_HALTED",
        "REQUIRED_FIELD_MISSING",
        "PROCESSING_HALTED",
    ]
    assert [p["referenceId"] for p in parts] == ["one", "two", "three"]
    assert org.records("Lead") == []
    assert len(org.records("CaseComment")) == 1


def test_after_fourteen_failed_graphs_the_rest_is_halted(admin: Caller, org: Org) -> None:
    """[O] more than 14 failures halt the remaining graphs."""
    answer = graph(admin, *([node("a", {})] for _ in range(15)), [node("a", lead())])
    last = answer.json()["graphs"][-1]
    assert last["isSuccessful"] is False
    (part,) = last["graphResponse"]["compositeResponse"]
    assert part["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert org.records("Lead") == []
    answer = graph(admin, *([node("a", {})] for _ in range(14)), [node("a", lead())])
    assert answer.json()["graphs"][-1]["isSuccessful"] is True


def chain(length: int) -> list[dict[str, Any]]:
    nodes = [node("r0", lead())]
    for n in range(1, length):
        nodes.append(node(f"r{n}", lead(Description=f"@{{r{n - 1}.id}}")))
    return nodes


@pytest.mark.parametrize(
    ("graphs", "good"),
    [
        ([chain(15)], True),
        ([chain(16)], False),
        ([[node(f"n{n}", lead()) for n in range(250)]] * 2, True),
        ([[node(f"n{n}", lead()) for n in range(250)]] * 2 + [[node("a", lead())]], False),
        ([[node("a", lead())]] * 75, True),
        ([[node("a", lead())]] * 76, False),
        ([[sub("a", "GET", "/query?q=SELECT+Id+FROM+Lead")]], False),
        (
            [
                [
                    sub(f"r{n}", "GET", f"/sobjects/{name}/00Q000000000001")
                    for n, name in enumerate(("Lead", "Case", "Task", "Event"))
                ]
                + [
                    {**node(f"v{n}", lead()), "url": f"/services/data/v{50 + n}.0/sobjects/Lead"}
                    for n in range(12)
                ]
            ],
            False,
        ),
    ],
)
def test_the_limits_of_graphs(
    admin: Caller, graphs: list[list[dict[str, Any]]], good: bool
) -> None:
    """[O] 75 graphs, 500 nodes, 15 levels, 15 different nodes; only records, no queries."""
    assert (graph(admin, *graphs).status == 200) is good


def test_graphs_need_names_of_their_own(admin: Caller) -> None:
    one = {"graphId": "1", "compositeRequest": [node("a", lead())]}
    for graphs in ([one, one], [{**one, "graphId": 1}], [], [{"graphId": "1"}], 1):
        answer = admin.call("POST", "/composite/graph", {"graphs": graphs})
        assert (answer.status == 200) is (graphs == [])
