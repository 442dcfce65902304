"""Makes topics, and prints what is in one: [{"partition", "key", "headers", "value"}].

usage: kafka.py --endpoint http://HOST:PORT [--make TOPIC PARTITIONS]... [--read TOPIC]
                [--ca FILE] [--sasl MECHANISM USER PASSWORD]

With --ca the connection has TLS, and FILE has the certificate of the authority. With --sasl the user logs in.
"""

import argparse
import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

# How many seconds without a message mean that there are no more.
QUIET = 0.3


def make(brokers, topics):
    admin = AdminClient(brokers)
    for attempt in range(100):
        try:
            made = admin.create_topics([NewTopic(name, int(partitions), 1) for name, partitions in topics])
            for result in made.values():
                result.result(timeout=10)
            return
        except KafkaException:
            if attempt == 99:
                raise
            time.sleep(0.1)


def read(brokers, topic):
    # No group: the broker would take long to give the first member its partitions.
    settings = {"group.id": "none", "enable.auto.commit": False, "fetch.wait.max.ms": 20}
    consumer = Consumer({**brokers, **settings})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    left = {}
    for partition in partitions:
        _, left[partition] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    found, until = [], time.time() + 60
    while True:
        message = consumer.poll(QUIET)
        if message is None:
            # Tansu's end of a partition may be a few messages too early, so it is only the least that has to arrive.
            if all(end <= 0 for end in left.values()):
                return found
            if time.time() > until:
                sys.exit(f"{left} messages did not arrive")
            continue
        if message.error():
            continue
        headers = {name: value.decode() for name, value in message.headers() or []}
        key = message.key().decode() if message.key() is not None else None
        value = json.loads(message.value())
        found.append({"partition": message.partition(), "key": key, "headers": headers, "value": value})
        left[message.partition()] -= 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--make", nargs=2, action="append", default=[])
    parser.add_argument("--read")
    parser.add_argument("--ca")
    parser.add_argument("--sasl", nargs=3)
    args = parser.parse_args()

    brokers = {"bootstrap.servers": args.endpoint.removeprefix("http://")}
    if args.ca:
        brokers |= {"security.protocol": "ssl", "ssl.ca.location": args.ca}
    if args.sasl:
        mechanism, user, password = args.sasl
        brokers |= {"security.protocol": "sasl_ssl" if args.ca else "sasl_plaintext", "sasl.mechanism": mechanism}
        brokers |= {"sasl.username": user, "sasl.password": password}
    if args.make:
        make(brokers, args.make)
    json.dump(read(brokers, args.read) if args.read else [], sys.stdout)


if __name__ == "__main__":
    main()
