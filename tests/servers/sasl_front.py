"""Asks clients of Kafka for a password (SASL PLAIN or SCRAM) in front of a broker that does not.

usage: sasl_front.py HOST:PORT USER PASSWORD

Prints the port on which it listens, and ends when its standard input is closed.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import struct
import sys
import threading

HANDSHAKE, AUTHENTICATE, API_VERSIONS = 17, 36, 18
SCRAM = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
REFUSED = 58  # SASL_AUTHENTICATION_FAILED


class Refused(Exception):
    """The credentials are wrong."""


def plain(user, password):
    """The messages of the server, each of which answers one of the client."""
    _, name, secret = (yield None).decode().split("\0")
    if (name, secret) != (user, password):
        raise Refused
    yield b""


def scram(user, password, digest):
    mac = lambda key, text: hmac.digest(key, text, digest)
    first = (yield None).decode().removeprefix("n,,")
    asked = dict(part.split("=", 1) for part in first.split(","))
    if asked["n"] != user:
        raise Refused
    salt, rounds = os.urandom(16), 4096
    offer = f"r={asked['r']}{os.urandom(9).hex()},s={base64.b64encode(salt).decode()},i={rounds}"
    final = (yield offer.encode()).decode()
    bare, proof = final.rsplit(",p=", 1)
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, rounds)
    key, whole = mac(salted, b"Client Key"), f"{first},{offer},{bare}".encode()
    signature = mac(hashlib.new(digest, key).digest(), whole)
    if base64.b64decode(proof) != bytes(one ^ other for one, other in zip(key, signature)):
        raise Refused
    yield b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), whole))


def frame(source):
    """A request or an answer, or `None` at the end."""
    size = source.recv(4, socket.MSG_WAITALL)
    return source.recv(struct.unpack(">i", size)[0], socket.MSG_WAITALL) if len(size) == 4 else None


def send(sink, data):
    sink.sendall(struct.pack(">i", len(data)) + data)


def pump(source, sink):
    # The other thread closes its connection at the end.
    with contextlib.suppress(OSError):
        while data := frame(source):
            send(sink, data)
    sink.close()


def serve(client, upstream, user, password):
    broker, conversation = socket.create_connection(upstream), None
    while data := frame(client):
        kind, version, correlation, length = struct.unpack(">hhih", data[:10])
        body = data[10 + max(length, 0) :]
        answer = struct.pack(">i", correlation)
        if kind == HANDSHAKE:
            mechanism = body[2:].decode()
            conversation = plain(user, password) if mechanism == "PLAIN" else scram(user, password, SCRAM[mechanism])
            next(conversation)
            names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in ("PLAIN", *SCRAM))
            send(client, answer + struct.pack(">hi", 0, 3) + names)
        elif kind == AUTHENTICATE:
            assert version <= 1, version
            try:
                said = conversation.send(body[4:])
            except Refused:
                send(client, answer + struct.pack(">hhi", REFUSED, -1, 0) + bytes(8 * version))
                break
            send(client, answer + struct.pack(">hhi", 0, -1, len(said)) + said + bytes(8 * version))
            if not said.startswith(b"r="):
                # From now on, the broker answers.
                threading.Thread(target=pump, args=(broker, client), daemon=True).start()
                pump(client, broker)
        elif kind == API_VERSIONS:
            send(broker, data)
            send(client, frame(broker))
        else:
            break
    client.close()
    broker.close()


def listen(listener, *arguments):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, *arguments), daemon=True).start()


host, port = sys.argv[1].split(":")
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=listen, args=(listener, (host, int(port)), *sys.argv[2:4]), daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.buffer.read()
