"""Reads what is in a DynamoDB server with boto3, which shares no code with the crawler.

usage: oracle.py --endpoint URL --region REGION        (credentials: AWS_* in the environment)

Lists every page, describes every table, and prints one JSON object: table name -> facts. Exits with an
error after any failure, so that a test never compares with incomplete facts.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

THREADS = 8


def facts(table):
    types = {item["AttributeName"]: item["AttributeType"] for item in table.get("AttributeDefinitions", [])}

    def key_schema(part):
        keys = part.get("KeySchema", [])
        return [[key["AttributeName"], types.get(key["AttributeName"]), key["KeyType"]] for key in keys]

    indexes = {}
    for kind, member in (("global", "GlobalSecondaryIndexes"), ("local", "LocalSecondaryIndexes")):
        for index in table.get(member, []):
            indexes[f"{kind}:{index['IndexName']}"] = {
                "key_schema": key_schema(index),
                "projection": index.get("Projection", {}).get("ProjectionType"),
                "non_key_attributes": sorted(index.get("Projection", {}).get("NonKeyAttributes", [])),
            }
    return {
        "arn": table.get("TableArn"),
        "id": table.get("TableId"),
        "status": table.get("TableStatus"),
        "key_schema": key_schema(table),
        "indexes": indexes,
        # AWS sends no summary for tables that were never on demand.
        "billing_mode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "item_count": table.get("ItemCount"),
        "stream_view": table.get("StreamSpecification", {}).get("StreamViewType"),
        "sse": table.get("SSEDescription", {}).get("Status"),
        "table_class": table.get("TableClassSummary", {}).get("TableClass"),
        "deletion_protection": table.get("DeletionProtectionEnabled"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--region", required=True)
    args = parser.parse_args()

    client = boto3.client(
        "dynamodb",
        endpoint_url=args.endpoint,
        region_name=args.region,
        config=Config(max_pool_connections=THREADS, retries={"mode": "standard", "max_attempts": 4}),
    )
    names = [name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]]
    if len(names) != len(set(names)):
        sys.exit("ListTables returned a name twice")
    with ThreadPoolExecutor(THREADS) as pool:
        tables = pool.map(lambda name: facts(client.describe_table(TableName=name)["Table"]), names)
        json.dump(dict(zip(names, tables)), sys.stdout)


if __name__ == "__main__":
    main()
