"""Requests come on stdin, one after the other; each gets its response on stdout."""

import sys
from http.client import parse_headers

requests, responses = sys.stdin.buffer, sys.stdout.buffer


def chunks():
    """The parts of a body whose length its sender did not know. The last one is empty."""
    while size := int(requests.readline(), 16):
        yield requests.read(size)
        requests.readline()
    requests.readline()


while request_line := requests.readline():
    headers = parse_headers(requests)
    if headers["Transfer-Encoding"]:
        body = b"".join(chunks())
    else:
        body = requests.read(int(headers["Content-Length"] or 0))

    name = body.decode().strip() or "world"
    print(f"greeting {name}", file=sys.stderr, flush=True)
    answer = f"Hello, {name}!\n".encode()

    responses.write(b"HTTP/1.1 200 OK\r\n")
    responses.write(b"Content-Type: text/plain; charset=utf-8\r\n")
    responses.write(b"Content-Length: %d\r\n\r\n%s" % (len(answer), answer))
    responses.flush()
