"""A function of the tests, on the Fn Project's kit for Python. The header Kit-Do says what it does; it echoes otherwise."""

import io
import json
import logging

from fdk import response


def handler(ctx, data: io.BytesIO = None):
    body = data.getvalue()
    headers = {name.lower(): value for name, value in {**ctx.Headers(), **ctx.HTTPHeaders()}.items()}
    do = headers.get("kit-do", "echo")
    logging.getLogger("test").warning("doing %s with %d bytes", do, len(body))

    if do == "throw":
        raise ValueError("thrown on purpose")
    if do == "json":
        answer = json.dumps({"asked": json.loads(body), "call": ctx.CallID()})
        return response.Response(ctx, response_data=answer, headers={"Content-Type": "application/json"})
    if do == "status":
        headers = {"Content-Type": "text/plain", "X-Kit": "python"}
        return response.Response(ctx, response_data="teapot", headers=headers, status_code=418)
    if do == "facts":
        facts = {
            "method": ctx.Method(),
            "url": ctx.RequestURL(),
            "config": ctx.Config().get("COLOUR"),
            "header": headers.get("x-asked"),
            "deadline": ctx.Deadline(),
        }
        return response.Response(ctx, response_data=json.dumps(facts), headers={"Content-Type": "application/json"})
    content_type = headers.get("content-type", "application/octet-stream")
    return response.Response(ctx, response_data=body, headers={"Content-Type": content_type})
