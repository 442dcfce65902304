"""Makes event buses, each with a rule that copies its events to a log group, and prints what a bus got, in order.

usage: events.py --endpoint URL [--make BUS]... [--read BUS]        (credentials: AWS_* in the environment)
"""

import argparse
import json
import sys

import boto3

REGION = "eu-west-1"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--make", action="append", default=[])
    parser.add_argument("--read")
    args = parser.parse_args()

    events = boto3.client("events", endpoint_url=args.endpoint, region_name=REGION)
    logs = boto3.client("logs", endpoint_url=args.endpoint, region_name=REGION)
    for bus in args.make:
        account = events.create_event_bus(Name=bus)["EventBusArn"].split(":")[4]
        group = f"/aws/events/{bus}"
        logs.create_log_group(logGroupName=group)
        events.put_rule(Name="all", EventBusName=bus, EventPattern=json.dumps({"source": [{"prefix": ""}]}))
        target = {"Id": "1", "Arn": f"arn:aws:logs:{REGION}:{account}:log-group:{group}"}
        events.put_targets(Rule="all", EventBusName=bus, Targets=[target])
    found = []
    if args.read:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/events/{args.read}")
        found = [json.loads(event["message"]) for page in pages for event in page["events"]]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
