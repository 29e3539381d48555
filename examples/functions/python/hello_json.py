"""Requests are JSON objects on stdin, one after the other; each gets one on stdout."""

import json
import sys

text = ""
for line in sys.stdin:
    text += line
    try:
        request = json.loads(text)
    except json.JSONDecodeError:
        continue  # There are more lines of it.
    text = ""

    name = request["body"].strip() or "world"
    print(f"greeting {name}", file=sys.stderr, flush=True)
    headers = {"Content-Type": ["text/plain; charset=utf-8"]}
    answer = {"body": f"Hello, {name}!\n", "protocol": {"status_code": 200, "headers": headers}}
    print(json.dumps(answer), flush=True)
