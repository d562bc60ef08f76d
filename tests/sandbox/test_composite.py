"""Many records in one call: what is shared between them, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.org import Org, sample

from .conftest import Caller, composite, lead, sub, typed

# --- composite ----------------------------------------------------------------------------


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


# --- limits -------------------------------------------------------------------------------


QUERIES = [
    sub("a", "GET", "/query?q=SELECT+Id+FROM+Lead"),
    sub("b", "GET", "/queryAll?q=SELECT+Id+FROM+Lead"),
    sub("c", "POST", "/composite/sobjects", {"records": []}),
    *(sub(f"q{n}", "GET", "/queryAll/?q=SELECT+Id+FROM+Case") for n in range(3)),
]
GRAPH = {"graphId": "1", "compositeRequest": [sub("a", "POST", "/sobjects/Lead", lead())]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/composite", []),
        ("/composite", {"compositeRequest": [1]}),
        ("/composite/sobjects", {"records": [1]}),
        ("/composite/sobjects", {"records": [{"attributes": 1}]}),
        ("/composite/sobjects/Lead", {"ids": 1}),
        ("/composite/graph", {"graphs": 1}),
        ("/composite/graph", {"graphs": [{"graphId": "1"}]}),
        ("/composite/graph", {"graphs": [GRAPH, GRAPH]}),
        ("/composite", {"compositeRequest": [sub(f"r{n}", "GET", "/limits") for n in range(26)]}),
        ("/composite", {"compositeRequest": QUERIES}),
        ("/composite/sobjects", {"records": typed(lead()) * 201}),
        ("/composite/sobjects", {"records": typed(lead(), lead(Nope__c=1))}),
        ("/composite/sobjects", {"records": typed(lead(), lead(DoNotCall="perhaps"))}),
    ],
)
def test_a_body_with_one_fault_is_refused_whole(caller: Caller, path: str, body: Any) -> None:
    """[O] 25 parts, five of them queries or collections, 200 records. [C] one unknown field or
    unreadable value refuses the whole collection."""
    response = caller.call("POST", path, body)
    assert response.status == 400
    assert set(response.json()[0]) == {"message", "errorCode"}
    assert caller.org.journal.counts["defects"] == 0
    assert caller.org.records("Lead") == []


def test_a_part_of_the_wrong_shape_fails_alone(caller: Caller) -> None:
    wrong = {**sub("a", "GET", "/limits"), "httpHeaders": 1}
    parts = composite(caller, wrong, sub("b", "POST", "/sobjects/Lead", lead()))
    assert [part["httpStatusCode"] for part in parts] == [400, 201]


# --- graphs -------------------------------------------------------------------------------


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
    response = graph(admin, good, bad)
    assert response.status == 200
    assert org.usage.used() - before == 1
    first, second = response.json()["graphs"]
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
    response = graph(admin, *([node("a", {})] for _ in range(15)), [node("a", lead())])
    last = response.json()["graphs"][-1]
    assert last["isSuccessful"] is False
    (part,) = last["graphResponse"]["compositeResponse"]
    assert part["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert org.records("Lead") == []
    response = graph(admin, *([node("a", {})] for _ in range(14)), [node("a", lead())])
    assert response.json()["graphs"][-1]["isSuccessful"] is True


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
