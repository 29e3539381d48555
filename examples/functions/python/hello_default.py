"""A container is started for each call: stdin is the body, stdout the answer, stderr the log."""

import sys

name = sys.stdin.read().strip() or "world"
print(f"greeting {name}", file=sys.stderr)
print(f"Hello, {name}!")
