"""A certificate for 127.0.0.1, and the authority that has issued it.

usage: certificates.py DIRECTORY

Writes `authority.pem`, `server.pem` and `server.key`.
"""

import datetime
import ipaddress
import sys
from pathlib import Path

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


def write(directory):
    """The paths of the authority's certificate, and of the server's certificate and key."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = certificate("Test Authority", authority_key, None, authority_key, True)
    leaf = certificate("127.0.0.1", key, authority, authority_key, False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths = [Path(directory) / name for name in ("authority.pem", "server.pem", "server.key")]
    for path, content in zip(paths, (pem(authority), pem(leaf), private)):
        path.write_bytes(content)
    return paths


if __name__ == "__main__":
    write(*sys.argv[1:])
