"""A function as the Fn Project's kit for Python has it: a handler that is given a context and a body."""

import logging

from fdk import response


def handler(ctx, data=None):
    name = data.getvalue().decode().strip() or "world"
    logging.getLogger().info("greeting %s", name)
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return response.Response(ctx, response_data=f"Hello, {name}!\n", headers=headers)
