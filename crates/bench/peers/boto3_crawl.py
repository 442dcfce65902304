"""A typical script with boto3: describes all tables of all accounts and Regions, with 50 threads.

usage: boto3_crawl.py --accounts ID... --regions REGION... --output FILE       (endpoint and credentials: AWS_* in the environment)

Assumes the role Reader of each account, uses one client for each account and Region, and writes one JSON
line for each table. Failures are printed to standard error and left out; the exit code is then 1.
"""

import argparse
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

THREADS = 50
# A connection for each thread, so that no thread waits for one. With a quota, the retry mode
# "standard" loses tables, because it uses up its own limit of retries; "legacy" gets them all.
CONFIG = Config(max_pool_connections=THREADS, retries={"mode": "legacy", "total_max_attempts": 10})


class Crawl:
    def __init__(self, regions, output):
        self.regions = regions
        self.output = output
        self.pool = ThreadPoolExecutor(THREADS)
        self.session = boto3.Session()
        self.sts = self.session.client("sts", region_name="us-east-1", config=CONFIG)
        # Threads may share clients, but not sessions, which create them.
        self.making = threading.Lock()
        self.writing = threading.Lock()
        self.failures = 0

    def run(self, accounts):
        # Each step only submits the next one, so no thread waits for another.
        clients = [self.pool.submit(self.clients_of, account) for account in accounts]
        listings = [self.pool.submit(self.list_tables, client) for each in clients for client in each.result()]
        for listing in listings:
            for description in listing.result():
                description.result()
        self.pool.shutdown()
        return self.failures

    def clients_of(self, account):
        try:
            role = f"arn:aws:iam::{account}:role/Reader"
            keys = self.sts.assume_role(RoleArn=role, RoleSessionName="boto3-crawl")["Credentials"]
        except (BotoCoreError, ClientError) as error:
            self.failed(account, error)
            return []
        with self.making:
            return [self.client(keys, region) for region in self.regions]

    def client(self, keys, region):
        return self.session.client(
            "dynamodb",
            region_name=region,
            config=CONFIG,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )

    def list_tables(self, client):
        descriptions = []
        try:
            for page in client.get_paginator("list_tables").paginate():
                descriptions += [self.pool.submit(self.describe, client, name) for name in page["TableNames"]]
        except (BotoCoreError, ClientError) as error:
            self.failed(client.meta.region_name, error)
        return descriptions

    def describe(self, client, name):
        try:
            table = client.describe_table(TableName=name)["Table"]
        except (BotoCoreError, ClientError) as error:
            self.failed(name, error)
            return
        line = json.dumps(table, default=str) + "\n"
        with self.writing:
            self.output.write(line)

    def failed(self, what, error):
        with self.writing:
            self.failures += 1
            print(f"{what}: {error}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", nargs="+", required=True)
    parser.add_argument("--regions", nargs="+", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    with open(args.output, "w", encoding="utf-8") as output:
        failures = Crawl(args.regions, output).run(args.accounts)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
