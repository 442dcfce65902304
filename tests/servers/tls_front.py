"""Terminates TLS in front of a server without TLS, with a certificate of its own authority.

usage: tls_front.py HOST:PORT FILE

Writes the certificate of the authority to FILE, prints the port on which it listens, and ends when its
standard input is closed.
"""

import datetime
import ipaddress
import socket
import ssl
import sys
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(name, key, issuer, issuer_key, authority):
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(listener, context, upstream):
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=forward, args=(plain, context, upstream), daemon=True).start()


def forward(plain, context, upstream):
    try:
        inside = context.wrap_socket(plain, server_side=True)
        outside = socket.create_connection(upstream)
    except OSError:
        # A client that does not trust the certificate hangs up.
        plain.close()
        return
    threading.Thread(target=pump, args=(inside, outside), daemon=True).start()
    pump(outside, inside)


authority_key = ec.generate_private_key(ec.SECP256R1())
authority = certificate("Test Authority", authority_key, None, authority_key, True)
key = ec.generate_private_key(ec.SECP256R1())
leaf = certificate("127.0.0.1", key, authority, authority_key, False)
with open(sys.argv[2], "wb") as file:
    file.write(pem(authority))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.NamedTemporaryFile() as chain:
    private = serialization.PrivateFormat.PKCS8
    chain.write(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()) + pem(leaf))
    chain.flush()
    context.load_cert_chain(chain.name)
host, port = sys.argv[1].split(":")
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener, context, (host, int(port))), daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.buffer.read()
