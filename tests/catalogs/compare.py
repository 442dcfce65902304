"""Compares requests of a sink with those of a catalog's client, and shows that the comparison can fail."""

import json

from changing import TOKEN


def said(request):
    """What a request says to the server."""
    headers = request["headers"]
    assert headers["authorization"] == f"Bearer {TOKEN}", headers
    plain = {key: request[key] for key in ("method", "path", "query")}
    if "x-restli-protocol-version" in headers:
        plain["protocol"] = headers["x-restli-protocol-version"]
    if request["body"] is None:
        # Some clients name a content type nevertheless.
        return plain
    return plain | {"body": request["body"], "content-type": headers["content-type"].split(";")[0]}


def same_requests(ours, theirs, plain):
    """Asserts that the requests say the same, in any order. `plain` leaves out of a request what may differ. Then alters
    each value of ours, one at a time, to show that `plain` does not leave out that one. Returns how many were altered."""
    assert ours and theirs, f"{len(ours)} requests of the sink, {len(theirs)} of the client"
    ours, theirs = [said(one) for one in ours], [said(one) for one in theirs]
    text = lambda requests: sorted(json.dumps(plain(one), sort_keys=True) for one in requests)
    lacking, more = set(text(theirs)) - set(text(ours)), set(text(ours)) - set(text(theirs))
    assert text(ours) == text(theirs), f"only the client sends {lacking}\nonly the sink sends {more}"
    ways = 0
    for request in ours:
        for other in altered(request):
            ways += 1
            assert text([other]) != text([request]), f"the comparison does not notice {other}"
    return ways


def altered(value):
    """Copies of JSON in which one value is another, or one member is missing."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield {name: one for name, one in value.items() if name != key}
            yield from ({**value, key: other} for other in altered(member))
    elif isinstance(value, list):
        yield [*value, "another"]
        for at, member in enumerate(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in altered(member))
    else:
        yield f"not {value}"


def without_nulls(value):
    """JSON without members that are null, and with 4 instead of 4.0."""
    if isinstance(value, dict):
        return {key: without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
