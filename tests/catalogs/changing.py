"""An estate that changes: tables in moto, which dynacrawl crawls after each change, with a state and a sink for each
catalog. It records what the sinks send."""

import json
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from datetime import datetime

import answers
from receiver import Receiver

TOKEN = "a-token-for-tests"
ACCOUNT, REGION = "123456789012", "eu-west-1"
CONNECTION = "default/dynamodb/1735689600"
# The server takes a free port, and ends when its standard input is closed: also if this process is killed.
MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
SINKS = {
    "datahub": lambda: answers.datahub("v1.7.0"),
    "datahub_old": lambda: answers.datahub("v0.15.0"),
    "openmetadata": answers.openmetadata,
    "atlan": answers.atlan,
}


def attributes(**kinds):
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in kinds.items()]


def key(*names):
    return [{"AttributeName": name, "KeyType": role} for name, role in zip(names, ("HASH", "RANGE"))]


ALL = {"ProjectionType": "ALL"}
ORDERS = {
    "TableName": "orders",
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": key("customer", "placed"),
    "AttributeDefinitions": attributes(customer="S", placed="N", total="N", courier="S"),
    "LocalSecondaryIndexes": [{"IndexName": "by.total", "KeySchema": key("customer", "total"), "Projection": ALL}],
    "GlobalSecondaryIndexes": [{"IndexName": "by.courier", "KeySchema": key("courier"), "Projection": ALL}],
}
# A name with a dot is quoted in OpenMetadata.
CARTS = {
    "TableName": "app.carts",
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": key("id"),
    "AttributeDefinitions": attributes(id="S"),
}
# Nothing happens to this one.
STOCK = {**CARTS, "TableName": "stock"}
NO_COURIER = {
    "TableName": "orders",
    "AttributeDefinitions": attributes(customer="S", placed="N", total="N"),
    "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by.courier"}}],
}
ITEM = {"customer": {"S": "c"}, "placed": {"N": "1"}, "total": {"N": "2"}}
STEPS = {
    "appeared": [("CreateTable", table) for table in (ORDERS, CARTS, STOCK)],
    "counted": [("PutItem", {"TableName": "orders", "Item": ITEM})],
    "changed": [("UpdateTable", NO_COURIER)],
    "removed": [("DeleteTable", {"TableName": "app.carts"})],
    "returned": [("CreateTable", CARTS)],
}


@contextmanager
def moto(python):
    """The address of a server of DynamoDB and STS."""
    if not python.exists():
        sys.exit(f"{python} is missing: run tests/setup, which installs moto")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([python, "-c", MOTO], text=True, **pipes) as server:
        port = server.stdout.readline().strip()
        assert port, "moto does not start"
        yield f"http://127.0.0.1:{port}"


def call(url, operation, body):
    scope = f"test/20260101/{REGION}/dynamodb/aws4_request"
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"DynamoDB_20120810.{operation}",
        # moto takes the Region from this, and does not check the signature.
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=60).close()


def configuration(url, directory, receivers):
    lines = [
        f'[crawl]\ndeliver_within = "30s"\n[state]\npath = "{directory}/changing.db"',
        f'[aws]\nendpoint_url = "{url}"\n[sts]\nendpoint_url = "{url}"',
        f'[[target]]\nname = "shop"\nregions = ["{REGION}"]',
        'credentials = { access_key_id = { env = "KEY_ID" }, secret_access_key = { env = "KEY" } }',
    ]
    for name, receiver in receivers.items():
        # Statistics are due at each crawl.
        lines.append(f'[sink.{name}.{name.split("_")[0]}]\nurl = "{receiver.url}"\nstats_every = "1ms"')
        lines.append('token = { env = "CATALOG_TOKEN" }')
        if name == "atlan":
            lines.append(f'connections."{ACCOUNT}/{REGION}" = "{CONNECTION}"')
    return "\n".join(lines)


def read(output):
    records = [json.loads(line) for line in output.read_text().splitlines()]
    return [(one, one["table"]) for one in records if one["type"] == "table"]


def counted_at(record, first):
    """When the statistics of a table were first observed, in ms. That is the time which sinks give them, also if the table
    has changed since then, or was created anew."""
    observed = round(datetime.fromisoformat(record["observed_at"]).timestamp() * 1000)
    table = record["table"]
    return first.setdefault((table["name"], table["item_count"], table["size_bytes"]), observed)


def record(binary, directory, python):
    """For each step the records of the tables, and the requests of each sink. `python` has moto."""
    receivers = {name: Receiver(of()) for name, of in SINKS.items()}
    config, output, steps, first = directory / "changing.toml", directory / "changing.jsonl", {}, {}
    environment = {"CATALOG_TOKEN": TOKEN, "KEY_ID": "test", "KEY": "test"}
    with moto(python) as url:
        config.write_text(configuration(url, directory, receivers))
        for step, operations in STEPS.items():
            for operation, body in operations:
                call(url, operation, body)
            command = [binary, "crawl", "--config", config, "--output", output]
            crawled = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
            assert crawled.returncode == 0, crawled.stderr
            requests = {name: receiver.taken() for name, receiver in receivers.items()}
            assert all(requests.values()), f"{step}: a sink sends nothing"
            found = {table["name"]: table | {"counted_at": counted_at(one, first)} for one, table in read(output)}
            steps[step] = {"tables": found, "requests": requests}
    return steps
