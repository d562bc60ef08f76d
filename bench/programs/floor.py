"""A floor: one POST to Salesforce by urllib3, with boto3 and one of its clients before or without.

floor.py RESULT boto3-post|urllib3-post URL HEADERS BODY
"""

import time

STARTED = time.process_time()

import sys  # noqa: E402

if sys.argv[2] == "boto3-post":
    import boto3

    boto3.client("ssm")

import json  # noqa: E402
import ssl  # noqa: E402

import urllib3  # noqa: E402

url, headers, body = sys.argv[3:]
pool = urllib3.PoolManager(ssl_context=ssl.create_default_context())
response = pool.request("POST", url, headers=json.loads(headers), body=body.encode(), retries=False)
assert response.status in (200, 201), response.data

ENDED = time.process_time()

with open(sys.argv[1], "w") as file:
    json.dump({"cpu": ENDED - STARTED, "process": ENDED, "modules": len(sys.modules)}, file)
