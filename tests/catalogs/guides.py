"""Walks through the guide of each catalog as a reader would: writes its configuration, runs its commands one after the
other, and compares what they print with the guide. The catalog keeps what it is sent, and AWS is moto."""

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import answers
from changing import ACCOUNT, CARTS, REGION, TOKEN, call, moto
from receiver import Receiver

GUIDES = Path(__file__).parent / "../../docs/guides"
ADDRESSES = {
    "datahub": ("https://datahub.example.com/gms", lambda: answers.datahub("v1.7.0")),
    "openmetadata": ("https://openmetadata.example.com", answers.openmetadata),
    "atlan": ("https://example.atlan.com", answers.atlan),
}
TABLES = [f"table-{number}" for number in range(18)]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(guide):
    """Each block of code that a reader uses, with the output that the guide shows next."""
    found = BLOCK.findall(guide)
    for (language, text), (shown, output) in zip(found, [*found[1:], ("", "")]):
        if language in ("toml", "yaml", "sh", "python"):
            yield language, text, output if shown in ("text", "json") else None


def settled(text):
    """A text without what differs from run to run."""
    text = re.sub(r"arn:aws:(iam|sts)::\d+:user/\w+", "USER", text)
    text = re.sub(r"(?<!\[)\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d\.\d+Z)?", "TIME", text)
    text = re.sub(r"\b\d+\.\d s\b", "SECONDS", text)
    # DataHub's command line also logs.
    return [line.rstrip() for line in text.strip().splitlines() if not line.startswith("[20")]


class Reader:
    """A reader of one guide."""

    def __init__(self, catalog, place, binary, venvs, aws):
        address, answer = ADDRESSES[catalog]
        self.receiver, self.place, self.aws, self.venv = Receiver(answer()), place, aws, venvs / catalog
        secrets = {f"/run/secrets/{catalog}-token": place / "token", "/var/lib/dynacrawl": place}
        self.replaced = {address: self.receiver.url} | {name: str(path) for name, path in secrets.items()}
        (place / "token").write_text(TOKEN)
        (place / "headers.txt").write_text(f"Authorization: Bearer {TOKEN}\n")
        self.environment = {
            "PATH": f"{Path(binary).parent}:{self.venv}/bin:{os.environ['PATH']}",
            "HOME": str(place),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "DATAHUB_TOKEN": TOKEN,
            "DATAHUB_TELEMETRY_ENABLED": "false",
        }

    def own(self, text):
        """The text with the reader's own addresses and paths."""
        for shown, own in self.replaced.items():
            text = text.replace(shown, own)
        return text

    def write(self, text):
        name = text.splitlines()[0].removeprefix("# ")
        text = self.own(text)
        if "[[target]]" in text:
            text += f'[aws]\nendpoint_url = "{self.aws}"\n[sts]\nendpoint_url = "{self.aws}"\n'
            text += '[serve]\nlisten = "127.0.0.1:0"\n'
        (self.place / name).write_text(text)

    def run(self, *command):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.place, env=self.environment, **pipes)

    def serve(self, command):
        """Starts the daemon, and stops it as soon as it can be asked."""
        daemon, printed = self.run(*command.split()), ""
        # It must not wait for a line that does not come.
        late = threading.Timer(60, daemon.kill)
        late.start()
        for line in daemon.stdout:
            printed += line
            if "listen" in line:
                break
        daemon.send_signal(signal.SIGTERM)
        rest, _ = daemon.communicate(timeout=60)
        late.cancel()
        assert daemon.returncode == 0, printed + rest

    def follow(self, language, text, output):
        if language in ("toml", "yaml"):
            return self.write(text)
        if text.startswith("dynacrawl serve"):
            return self.serve(text)
        program = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [self.venv / "bin/python", "-c"]
        running = self.run(*program, self.own(text))
        printed, _ = running.communicate(timeout=300)
        assert running.returncode == 0, f"{text}ends with {running.returncode}:\n{printed}"
        if output is not None:
            assert settled(printed) == settled(output), f"{text}prints:\n{printed}\nThe guide shows:\n{output}"


def walk(binary, place, venvs, python):
    """Follows the guides. `python` has moto."""
    with moto(python) as url:
        for name in TABLES:
            call(url, "CreateTable", {**CARTS, "TableName": name})
        for catalog in ADDRESSES:
            own = place / f"guide-{catalog}"
            own.mkdir()
            reader = Reader(catalog, own, binary, venvs, url)
            guide, count = (GUIDES / f"{catalog}.md").read_text(), 0
            for block in blocks(guide):
                reader.follow(*block)
                count += 1
            writes = [request for request in reader.receiver.taken() if request["method"] != "GET"]
            of_others = [one for one in writes if not one["headers"]["user-agent"].startswith("dynacrawl/")]
            # The import of the file, by the guide's own tools. Atlan's files are published by its own apps.
            if catalog == "openmetadata":
                assert len(of_others) == len((own / "requests.jsonl").read_text().splitlines()), len(of_others)
            assert of_others or catalog == "atlan", "the file is not imported"
            sent = [str(request["body"]) for request in writes]
            lacking = [name for name in TABLES if not any(f"{name}'" in body or f"{name}," in body for body in sent)]
            assert not lacking, f"{catalog}: {lacking} did not arrive"
            assert ACCOUNT in guide and REGION in guide
            print(f"{catalog}: {count} steps of its guide do what it says")
