"""Terminates TLS in front of a server without TLS, with a certificate of its own authority.

usage: tls_front.py HOST:PORT FILE

Writes the certificate of the authority to FILE, prints the port on which it listens, and ends when its
standard input is closed.
"""

import shutil
import socket
import ssl
import sys
import tempfile
import threading

import certificates


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


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.TemporaryDirectory() as directory:
    authority, chain, key = certificates.write(directory)
    shutil.copyfile(authority, sys.argv[2])
    context.load_cert_chain(chain, key)
host, port = sys.argv[1].split(":")
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener, context, (host, int(port))), daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.buffer.read()
