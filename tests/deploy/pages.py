"""Converts pages of metrics that a real daemon answered into the series of a promtool test.

The pages are in pages/: the first one completely, and of each later one the lines that changed. The
tests of crates/daemon/tests/daemon/pages.rs record them.

A test in alerts_test.yaml names them, with the labels that Prometheus would add, and may leave out
some of them:

    pages: {name: nights, labels: {job: dynacrawl, instance: 'a:9464'}, unanswered: [10, 40]}

`unanswered` contains the minute at which the daemon stops answering, and the one at which it answers
again.
"""

import math
import re
from pathlib import Path

PAGES = Path(__file__).parent / "pages"
# The minutes between two pages.
STEP = 5
# Series whose value is a time, in seconds. A promtool test begins at 0, and the pages at a real time.
TIMES = re.compile(r"^\w+_timestamp_seconds\b")


def read(name):
    """All pages by their minute, each as a dictionary of series and values."""
    began, page, pages = 0.0, {}, {}
    for line in (PAGES / f"{name}.txt").read_text().splitlines():
        if began_at := re.fullmatch(r"# began (\d+)", line):
            began = float(began_at[1])
        elif minute := re.fullmatch(r"# minute (\d+)", line):
            page = dict(page)
            pages[int(minute[1])] = page
        elif not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            if value == "gone":
                del page[series]
            else:
                page[series] = float(value) - (began if TIMES.match(series) else 0.0)
    return pages


def run_length(values):
    """Values in promtool's notation. None stands for a missing value."""
    parts, start = [], 0
    while start < len(values):
        end = start
        while end + 1 < len(values) and values[end + 1] == values[start]:
            end += 1
        count = end - start
        value = values[start]
        if value is None:
            parts.append(f"_x{count + 1}")
        else:
            shown = str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
            parts.append(f"{shown}+0x{count}")
        start = end + 1
    return " ".join(parts)


def with_labels(series, labels):
    name, _, own = series.partition("{")
    own = own.rstrip("}")
    added = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{','.join(part for part in (own, added) if part)}}}"


def input_series(name, labels, minutes, unanswered=()):
    """The series of a Prometheus that scrapes these pages for this many minutes."""
    pages = read(name)
    answered, page = [], {}
    for minute in range(0, minutes + 1, STEP):
        page = pages.get(minute, page)
        silent = unanswered and unanswered[0] <= minute < unanswered[1]
        answered.append({} if silent else page)
    found = sorted({series for page in answered for series in page})
    return [
        {"series": with_labels(series, labels), "values": run_length([page.get(series) for page in answered])}
        for series in found
    ]


def minutes(time):
    """A time in promtool's notation, such as 1h15m, in minutes."""
    return sum(int(number) * {"h": 60, "m": 1}[unit] for number, unit in re.findall(r"(\d+)([hm])", time))


def filled_in(document):
    """The document of alerts_test.yaml, with series instead of the pages that its tests name."""
    for test in document["tests"]:
        pages = test.pop("pages", None)
        if pages is None:
            continue
        end = max(minutes(case["eval_time"]) for case in test["alert_rule_test"])
        series = input_series(pages["name"], pages["labels"], end + STEP, pages.get("unanswered", ()))
        test["interval"] = f"{STEP}m"
        test["input_series"] = series + test.get("input_series", [])
    return document


def names(name):
    """The names of the metrics on the pages."""
    return {series.partition("{")[0] for page in read(name).values() for series in page}
