"""What schemathesis does not know of API v1, and a schema cannot say."""

import schemathesis


@schemathesis.hook
def before_call(context, case, **kwargs):
    """B.1.4: an integer is written as one. For JSON Schema 99.0 is an integer too."""
    case.body = _integers(case.body)


def _integers(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _integers(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_integers(entry) for entry in value]
    return value
