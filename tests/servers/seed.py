"""Creates tables of many shapes on a DynamoDB server, and prints as JSON what it created.

usage: seed.py --endpoint URL --tables N REGION...        (credentials: AWS_* in the environment)

Table number i of a Region always has the same name and shape. A name is the same in every Region while
its shape differs, so that a crawler that mixes up Regions is detected. Use one Region for servers that do
not separate Regions.
"""

import argparse
import itertools
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

THREADS = 8
ACTIVE_WITHIN = 60  # seconds
ITEMS = 3  # in every 50th table

# Names and attributes that break naive code: the longest, the shortest, quotes, blanks, control characters, non-ASCII.
ODD_NAMES = ["a.b", "-_-", "._.", "UPPER.lower-9_", "n" * 255, "0" * 12]
ODD_ATTRIBUTES = [
    "größe",
    "日本語",
    "🗝",
    "a b",
    "tab\there",
    "line\nbreak",
    'say "hi"',
    "back\\slash",
    ":#{}",
    "a" * 255,
]
NON_KEY_ATTRIBUTES = ["total", "currency", "status", "größe", "note"]

# Features that not every server supports. Each is first tried on its own table. If it is refused, all
# later tables are created without it.
OPTIONAL = {
    "stream": {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}},
    "sse": {"SSESpecification": {"Enabled": True, "SSEType": "KMS"}},
    "table_class": {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
    "deletion_protection": {"DeletionProtectionEnabled": True},
    "tags": {"Tags": [{"Key": "team", "Value": "catalog"}, {"Key": "größe", "Value": ""}]},
    "on_demand_limits": {"OnDemandThroughput": {"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": 20}},
    "multi_attribute_keys": {},  # up to four partition and four sort attributes in a global index
}


def shape(number, region_number):
    """The CreateTable request of one table, its attributes, and the names of the optional features it asks for."""
    rng = random.Random(1_000_003 * region_number + number)
    attributes = {}

    def attribute(name, kind=None):
        attributes.setdefault(name, kind or rng.choice("SNB"))
        return name

    odd = iter(rng.sample(ODD_ATTRIBUTES, 2) if number % 5 == 3 else [])
    partition = attribute(next(odd, "pk"))
    sort = attribute(next(odd, "sk")) if rng.random() < 0.7 else None
    request = {"TableName": name_of(number), "KeySchema": keys([partition], [sort] if sort else [])}

    if sort and (count := rng.choice([0, 0, 1, 2])):
        request["LocalSecondaryIndexes"] = [
            {
                "IndexName": f"local.{n}",
                "KeySchema": keys([partition], [attribute(f"local_sk{n}")]),
                "Projection": projection(rng),
            }
            for n in range(count)
        ]

    wishes = {name for name in OPTIONAL if rng.random() < 0.25}
    provisioned = rng.random() < 0.5
    if provisioned:
        wishes.discard("on_demand_limits")
        request["BillingMode"] = "PROVISIONED"
        request["ProvisionedThroughput"] = {
            "ReadCapacityUnits": rng.randint(1, 9),
            "WriteCapacityUnits": rng.randint(1, 9),
        }
    else:
        request["BillingMode"] = "PAY_PER_REQUEST"

    indexes = []
    for n in range(rng.choice([0, 0, 1, 2, 3])):
        # An attribute of the table's own key may also be a key of an index, where its type must also be found.
        partitions = [attribute(rng.choice([f"gsi{n}_pk", "shared", partition]))]
        sorts = [attribute(f"gsi{n}_sk")] if rng.random() < 0.6 else []
        index = {
            "IndexName": f"global-{n}",
            "KeySchema": keys(partitions, sorts),
            "Projection": projection(rng),
        }
        if provisioned:
            index["ProvisionedThroughput"] = {"ReadCapacityUnits": n + 1, "WriteCapacityUnits": n + 2}
        indexes.append(index)
    if indexes:
        request["GlobalSecondaryIndexes"] = indexes
    else:
        wishes.discard("multi_attribute_keys")
    return request, attributes, wishes


def with_features(request, attributes, wishes):
    """The whole request: the plain one with the optional features that it asks for."""
    request, attributes = json.loads(json.dumps(request)), dict(attributes)
    for wish in sorted(wishes):
        request |= OPTIONAL[wish]
    if "multi_attribute_keys" in wishes:
        index = request["GlobalSecondaryIndexes"][0]
        attributes |= {"multi_pk1": "S", "multi_pk2": "N", "multi_sk1": "S", "multi_sk2": "B"}
        index["KeySchema"] = keys(["multi_pk1", "multi_pk2"], ["multi_sk1", "multi_sk2"])
    used = {
        key["AttributeName"]
        for part in itertools.chain(
            [request], request.get("LocalSecondaryIndexes", []), request.get("GlobalSecondaryIndexes", [])
        )
        for key in part["KeySchema"]
    }
    # DynamoDB refuses a definition that no key uses.
    request["AttributeDefinitions"] = [
        {"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items() if name in used
    ]
    return request


def name_of(number):
    if number % 10 == 4 and number // 10 < len(ODD_NAMES):
        return ODD_NAMES[number // 10]
    return f"{('orders', 'Events', 'user_sessions', 'app.config')[number % 4]}-{number:05}"


def keys(partitions, sorts):
    return [{"AttributeName": name, "KeyType": "HASH"} for name in partitions] + [
        {"AttributeName": name, "KeyType": "RANGE"} for name in sorts
    ]


def projection(rng):
    kind = rng.choice(["KEYS_ONLY", "INCLUDE", "ALL"])
    if kind != "INCLUDE":
        return {"ProjectionType": kind}
    # Unsorted on purpose: what a crawler prints must not depend on this order.
    return {"ProjectionType": kind, "NonKeyAttributes": rng.sample(NON_KEY_ATTRIBUTES, rng.randint(1, 3))}


class Region:
    """A Region of the server, while tables are created in it."""

    def __init__(self, endpoint, name, number):
        self.number = number
        self.client = boto3.client(
            "dynamodb",
            endpoint_url=endpoint,
            region_name=name,
            config=Config(
                max_pool_connections=THREADS,
                # Requests are valid by construction; checking each one costs more than sending it.
                parameter_validation=False,
                read_timeout=30,
                retries={"mode": "standard", "max_attempts": 4},
            ),
        )
        self.refused = {}
        self.pending = []

    def create(self, number, only=None):
        """Creates a table. `only` names its one optional feature, without which it is created if that is refused."""
        request, attributes, wishes = shape(number, self.number)
        if only:
            wishes = {only}
            if only == "multi_attribute_keys" and "GlobalSecondaryIndexes" not in request:
                request["GlobalSecondaryIndexes"] = [
                    {"IndexName": "multi", "KeySchema": [], "Projection": {"ProjectionType": "ALL"}}
                ]
                if request["BillingMode"] == "PROVISIONED":
                    request["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"] = request["ProvisionedThroughput"]
            if only == "on_demand_limits":
                request["BillingMode"] = "PAY_PER_REQUEST"
                for part in [request, *request.get("GlobalSecondaryIndexes", [])]:
                    part.pop("ProvisionedThroughput", None)
            try:
                return self.send(with_features(request, attributes, wishes))
            except ClientError as error:
                self.refused[only] = str(error)
                request, attributes, wishes = shape(number, self.number)
                wishes = set()
        self.send(with_features(request, attributes, wishes - self.refused.keys()))

    def send(self, request):
        deadline = time.monotonic() + ACTIVE_WITHIN
        while True:
            try:
                table = self.client.create_table(**request)["TableDescription"]
                break
            except ClientError as error:
                # Too many tables are in CREATING at once: a limit of AWS that a server may copy.
                if error.response["Error"]["Code"] != "LimitExceededException" or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        if table.get("TableStatus") != "ACTIVE":
            self.pending.append(request["TableName"])

    def await_active(self, name):
        deadline = time.monotonic() + ACTIVE_WITHIN
        while self.client.describe_table(TableName=name)["Table"]["TableStatus"] != "ACTIVE":
            if time.monotonic() > deadline:
                sys.exit(f"table {name} is not ACTIVE after {ACTIVE_WITHIN} s")
            time.sleep(0.05)

    def put_items(self, number):
        """A few items, so that item counts and sizes are not zero everywhere."""
        request, attributes, _ = shape(number, self.number)
        for n in range(ITEMS):
            values = {"S": {"S": f"item {n}"}, "N": {"N": str(n)}, "B": {"B": bytes([n])}}
            item = {key["AttributeName"]: values[attributes[key["AttributeName"]]] for key in request["KeySchema"]}
            self.client.put_item(TableName=request["TableName"], Item=item)


def fill(region, tables, pool):
    scouts = list(zip(range(tables), OPTIONAL))
    for number, feature in scouts:
        region.create(number, only=feature)
    # list() raises the failures of the pool here.
    list(pool.map(region.create, range(len(scouts), tables)))
    list(pool.map(region.await_active, region.pending))
    list(pool.map(region.put_items, range(0, tables, 50)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--tables", type=int, required=True)
    parser.add_argument("regions", nargs="+")
    args = parser.parse_args()

    started = time.monotonic()
    regions = {name: Region(args.endpoint, name, n) for n, name in enumerate(args.regions)}
    with ThreadPoolExecutor(THREADS) as pool:
        for region in regions.values():
            fill(region, args.tables, pool)
    json.dump(
        {
            "created": args.tables * len(regions),
            "seconds": round(time.monotonic() - started, 2),
            "refused": {name: region.refused for name, region in regions.items()},
        },
        sys.stdout,
        indent=1,
    )


if __name__ == "__main__":
    main()
