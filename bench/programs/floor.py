"""Floors: urllib3 with a TLS context; boto3 with one client; boto3, a client and a POST.

floor.py RESULT urllib3 | boto3 | boto3-post | urllib3-post [URL PATH HEADERS BODY]
"""

import time

BEGUN = time.process_time()

import sys  # noqa: E402


def post(tls: object) -> None:
    """One POST to Salesforce by urllib3."""
    import json

    import urllib3

    url, headers, body = sys.argv[3:6]
    pool = urllib3.PoolManager(ssl_context=tls)
    answer = pool.request(
        "POST", url, headers=json.loads(headers), body=body.encode(), retries=False
    )
    assert answer.status in (200, 201), answer.data


def tls_context() -> object:
    """urllib3, and the authorities of this machine."""
    import ssl

    import urllib3

    assert urllib3
    return ssl.create_default_context()


match sys.argv[2]:
    case "urllib3":
        tls_context()
    case "urllib3-post":
        post(tls_context())
    case "boto3" | "boto3-post" as which:
        import boto3

        boto3.client("ssm")
        if which == "boto3-post":
            post(tls_context())

ENDED = time.process_time()

import json  # noqa: E402

with open(sys.argv[1], "w") as said:
    json.dump({"cpu": ENDED - BEGUN, "process": ENDED, "modules": len(sys.modules)}, said)
