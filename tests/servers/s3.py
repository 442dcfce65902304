"""Makes a bucket, and prints what it has as JSON: {key: {"size", "encryption", "type"}}.

usage: s3.py --endpoint URL --bucket NAME [--make] [--save DIRECTORY]        (credentials: AWS_* in the environment)

--save stores each object as a file.
"""

import argparse
import json
import pathlib
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def made(client, bucket):
    """SeaweedFS refuses buckets for a moment after it has started."""
    for attempt in range(100):
        try:
            return client.create_bucket(Bucket=bucket)
        except ClientError:
            if attempt == 99:
                raise
            time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--save", type=pathlib.Path)
    args = parser.parse_args()

    config = Config(s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=args.endpoint, region_name="us-east-1", config=config)
    if args.make:
        made(client, args.bucket)
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=args.bucket):
        for entry in page.get("Contents", []):
            key = entry["Key"]
            got = client.get_object(Bucket=args.bucket, Key=key)
            body = got["Body"].read()
            found[key] = {
                "size": len(body),
                "encryption": got.get("ServerSideEncryption"),
                "type": got.get("ContentType"),
            }
            if args.save:
                file = args.save / key
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(body)
    json.dump(found, sys.stdout)


main()
