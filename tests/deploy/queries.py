"""Checks PromQL queries without a Prometheus, and makes a test for promtool that checks the rest."""

import re

import promql_parser

# The labels that Prometheus itself adds.
SCRAPED = {"job", "instance", "namespace"}
# The functions that turn a counter into a value that can be shown.
RATES = {"rate", "irate", "increase", "resets"}
# Values that are valid for Grafana's own variables.
GRAFANA = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


class Metric:
    """A metric of the daemon: a line of metrics.txt."""

    def __init__(self, line):
        self.name, self.type, *labels = line.split()
        pairs = [label.partition("=") for label in labels]
        # Each label with the values that it may have, or with none if they are not known.
        self.labels = {name: values.split("|") if values else [] for name, _, values in pairs}

    def series(self):
        """The names of its series, each with all its labels."""
        if self.type != "histogram":
            return {self.name: self.labels}
        bucket = {**self.labels, "le": ["0.1", "+Inf"]}
        return {f"{self.name}_bucket": bucket, f"{self.name}_sum": self.labels, f"{self.name}_count": self.labels}


def metrics(text):
    """Every series of metrics.txt, with its type and its labels."""
    found = [Metric(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {name: (metric.type, labels) for metric in found for name, labels in metric.series().items()}


def filled_in(query):
    for variable, value in GRAFANA.items():
        query = query.replace(variable, value)
    return query


def nodes(expression, function=None):
    """Every part of a query, with the function that is called with it."""
    yield expression, function
    if isinstance(expression, promql_parser.Call):
        for argument in expression.args:
            yield from nodes(argument, expression.func.name)
    elif isinstance(expression, promql_parser.MatrixSelector):
        yield from nodes(expression.vector_selector, function)
    elif isinstance(expression, promql_parser.BinaryExpr):
        yield from nodes(expression.lhs)
        yield from nodes(expression.rhs)
    elif hasattr(expression, "expr"):
        yield from nodes(expression.expr)


def named_labels(node):
    """The labels that an aggregation or a matching names."""
    modifier = getattr(node, "modifier", None)
    for part in (modifier, getattr(modifier, "matching", None)):
        yield from getattr(part, "labels", None) or []
    yield from getattr(modifier, "group_labels", None) or []


def can_match(matcher, values):
    """Whether each alternative of a matcher is a possible value. A variable always is."""
    if not values or "$" in matcher.value:
        return True
    is_regex = matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe)
    alternatives = matcher.value.split("|") if is_regex else [matcher.value]
    return all(any(re.fullmatch(alternative, value) for value in values) for alternative in alternatives)


def problems(query, known):
    """What is wrong with a query, as far as that is visible without series."""
    try:
        parts = list(nodes(promql_parser.parse(filled_in(query))))
    except ValueError as error:
        yield f"{query!r}: {error}"
        return
    used = set(SCRAPED)
    for node, function in parts:
        if not isinstance(node, promql_parser.VectorSelector) or node.name == "up":
            continue
        if node.name not in known:
            yield f"there is no metric {node.name}"
            continue
        kind, labels = known[node.name]
        used |= labels.keys()
        if (kind != "gauge") != (function in RATES):
            yield f"{node.name} is a {kind}, and {'in a' if kind == 'gauge' else 'not in a'} rate"
        for matcher in node.matchers.matchers:
            if matcher.name not in labels.keys() | SCRAPED:
                yield f"{node.name} has no label {matcher.name}"
            elif not can_match(matcher, labels.get(matcher.name)):
                yield f"{node.name} has no {matcher.name} {matcher.value}"
    for node, _ in parts:
        for label in named_labels(node):
            if label not in used:
                yield f"no metric of the query has a label {label}"


def series(known):
    """Series of every metric, in the form of a promtool test."""
    for name, (kind, labels) in sorted(known.items()):
        sets = [{"job": "dynacrawl", "instance": "a:9464"}]
        for label, values in labels.items():
            sets = [{**chosen, label: value} for chosen in sets for value in values or ["one", "two"]]
        for chosen in sets:
            shown = ",".join(f'{label}="{value}"' for label, value in chosen.items())
            yield {"series": f"{name}{{{shown}}}", "values": "1+0x60" if kind == "gauge" else "0+1x60"}


def promtool_test(queries, known):
    """A test that each query finds something if there is a series of every metric."""
    tests = []
    for query in queries:
        # $job and the like match any value.
        filled = re.sub(r'=~"\$\w+"', '=~".*"', filled_in(query))
        found = {"expr": f"count({filled}) > bool 0", "eval_time": "30m", "exp_samples": [{"labels": "{}", "value": 1}]}
        tests.append(found)
    group = {"name": "panels", "interval": "1m", "input_series": list(series(known)), "promql_expr_test": tests}
    return {"rule_files": [], "evaluation_interval": "1m", "tests": [group]}
