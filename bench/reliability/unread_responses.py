"""HTTP/2 connections whose client requests many responses and reads none."""
import json
import socket
import struct
import urllib.request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, HEADERS, DATA, WINDOW_UPDATE = 4, 1, 0, 8
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4
WINDOW = (1 << 31) - 1


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name, value):
    """A header without indexing and without Huffman coding (RFC 7541, section 6.2.2)."""
    def text(value):
        assert len(value) < 127
        return bytes([len(value)]) + value.encode()

    return b"\x00" + text(name) + text(value)


def request(stream, body):
    """The frames of a POST request."""
    headers = [(":method", "POST"), (":scheme", "http"), (":path", "/graphql"), (":authority", "localhost"),
               ("content-type", "application/json"), ("content-length", str(len(body)))]
    block = b"".join(header(name, value) for name, value in headers)
    return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)


def large_query(port):
    """A query with a large response, and the size of the response."""
    query = "{ artifacts(first: 100) { nodes { content } } }"
    body = json.dumps({"query": query}).encode()
    post = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"content-type": "application/json"})
    with urllib.request.urlopen(post) as response:
        return body, len(response.read())


def start(port, connections, requests):
    """Sends requests on each connection; returns the size of a response, and the connections."""
    body, size = large_query(port)
    opened = []
    for _ in range(connections):
        connection = socket.socket()
        # The system, too, takes little of what is not read.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", port))
        settings = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW))
        window = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW - 65_535))
        connection.sendall(PREFACE + settings + window)
        connection.sendall(b"".join(request(2 * n + 1, body) for n in range(requests)))
        opened.append(connection)
    return size, opened
