"""Checks what is in deploy/.

usage: check.py BINARY [--deploy DIRECTORY]

BINARY is the dynacrawl that checks configurations and prints policies. Needs the packages of
requirements.txt:

    python3 -m venv VENV && VENV/bin/pip install --requirement tests/deploy/requirements.txt
    VENV/bin/python tests/deploy/check.py target/debug/dynacrawl

A check is a function of a Deploy that yields problems, and passes if it yields none. broken.py shows
that each check can fail. A check fails if its tool is missing on this machine; setup installs them all.
"""

import argparse
import contextlib
import copy
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import tomllib
import urllib.error
import urllib.request
from ipaddress import ip_address
from pathlib import Path

import botocore.session
import botocore.validate
import kubernetes_validate
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

import image
import pages
import queries

REPOSITORY = Path(__file__).resolve().parents[2]
# The oldest version in which podFailurePolicy is stable, and the newest one with a schema.
KUBERNETES = ("1.31", kubernetes_validate.latest_version())
# Not in Kubernetes' own schemas.
CUSTOM_RESOURCES = {"monitoring.coreos.com/v1"}
# What a pod may connect to: name servers, AWS, and the agent of Pod Identity.
EGRESS = {
    ("53/UDP", ""),
    ("53/TCP", ""),
    ("443/TCP", ""),
    ("80/TCP", "169.254.170.23/32"),
    ("80/TCP", "fd00:ec2::23/128"),
}
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_FAILED_FOR_NOW = 5
EXIT_INTERRUPTED = 130
# What systemd-analyze may find missing in the unit: it uses the network and the host's files, reads
# /proc/stat, and has no list of addresses.
EXPOSED = {
    "RootDirectory=/RootImage=",
    "RestrictAddressFamilies=~AF_UNIX",
    "RestrictAddressFamilies=~AF_(INET|INET6)",
    "ProcSubset=",
    "PrivateNetwork=",
    "DeviceAllow=",
    "IPAddressDeny=",
}
# The actions that each policy allows.
ALLOWED = {
    "access-policy.json": {"dynamodb:ListTables", "dynamodb:DescribeTable"},
    "assume-policy.json": {"sts:AssumeRole"},
    "trust-policy-external-id.json": {"sts:AssumeRole"},
    "trust-policy-irsa.json": {"sts:AssumeRoleWithWebIdentity"},
    "trust-policy-pod-identity.json": {"sts:AssumeRole", "sts:TagSession"},
    "trust-policy-ecs-task.json": {"sts:AssumeRole"},
}
PRINCIPALS = {"AWS", "Federated", "Service"}
# The conditions without which a trust policy trusts too many.
NEEDED_CONDITIONS = {
    "trust-policy-external-id.json": {"sts:ExternalId"},
    "trust-policy-irsa.json": {"aud", "sub"},
    "trust-policy-pod-identity.json": {
        "aws:RequestTag/kubernetes-namespace",
        "aws:RequestTag/kubernetes-service-account",
    },
    "trust-policy-ecs-task.json": {"aws:SourceAccount", "aws:SourceArn"},
}
CHECKS = []
register_default_plugins()


class MissingError(Exception):
    """A tool that a check needs is not on this machine."""


def check(function):
    CHECKS.append(function)
    return function


class Unique(yaml.SafeLoader):
    """YAML that refuses a duplicate key in a mapping."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} occurs twice", node.start_mark)
        return super().construct_mapping(node, deep)


def unique(pairs):
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the key {key!r} occurs twice")
    return dict(pairs)


class Deploy:
    """A deploy/ directory, and the binary that it is for."""

    def __init__(self, root, binary):
        self.root = Path(root).resolve()
        self.binary = Path(binary).resolve()

    def files(self, pattern):
        found = sorted(path for path in self.root.rglob(pattern) if path.is_file())
        assert found, f"there is no {pattern} in {self.root}"
        return found

    def name(self, path):
        return path.relative_to(self.root)

    def json(self, name):
        return json.loads((self.root / name).read_text(), object_pairs_hook=unique)

    def policies(self):
        return {path.name: self.json(path) for path in sorted((self.root / "iam").glob("*.json"))}

    def manifests(self, path):
        """The documents of a YAML file: as it is, and with its optional lines."""
        text = path.read_text()
        variants = {"": text}
        if re.search("^#:", text, re.MULTILINE):
            variants[" with its #: lines"] = re.sub("^#:", "", text, flags=re.MULTILINE)
        return {kind: [d for d in yaml.load_all(variant, Unique) if d] for kind, variant in variants.items()}

    def objects(self):
        """Every Kubernetes object, with its place."""
        for path in self.files("kubernetes/*.yaml"):
            for variant, documents in self.manifests(path).items():
                for document in documents:
                    yield f"{self.name(path)}{variant}: {document['kind']}", document

    def jobs(self):
        """The spec of every Job and of every CronJob's Job."""
        for place, document in self.objects():
            if document["kind"] == "CronJob":
                yield place, document["spec"]["jobTemplate"]["spec"]
            elif document["kind"] == "Job":
                yield place, document["spec"]

    def daemons(self):
        """Every StatefulSet, and the objects of its file, by kind."""
        for path in self.files("kubernetes/*.yaml"):
            for variant, documents in self.manifests(path).items():
                beside = {}
                for document in documents:
                    beside.setdefault(document["kind"], []).append(document)
                for document in beside.get("StatefulSet", []):
                    yield f"{self.name(path)}{variant}: StatefulSet", document["spec"], beside

    def templates(self):
        """Every pod template, and its volume claim templates."""
        for place, job in self.jobs():
            yield place, job["template"], []
        for place, daemon, _ in self.daemons():
            yield place, daemon["template"], daemon.get("volumeClaimTemplates", [])

    def containers(self):
        for place, template, _ in self.templates():
            for container in template["spec"]["containers"]:
                yield place, template["spec"], container

    def config_maps(self):
        """The configuration files in ConfigMaps, by the names of the ConfigMap and the file."""
        return {
            (document["metadata"]["name"], key): text
            for _, document in self.objects()
            if document["kind"] == "ConfigMap"
            for key, text in document["data"].items()
        }

    def blocks(self, language):
        """The fenced blocks of a language in the READMEs."""
        for path in self.files("*.md"):
            for block in re.findall(rf"^ *```{language}\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL):
                yield self.name(path), textwrap.dedent(block)

    def configurations(self):
        """Every configuration, with its place."""
        for key, toml in self.config_maps().items():
            yield f"ConfigMap {key}", toml
        for path in self.files("*.toml"):
            yield self.name(path), path.read_text()
        yield from self.blocks("toml")

    def task_definitions(self):
        return {path.name: self.json(self.name(path)) for path in self.files("ecs/*task-definition.json")}

    def queries(self):
        """Every query, with its place."""
        dashboard = self.json("grafana/dynacrawl.json")
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"panel {panel['title']}", target["expr"]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
                # As a query that uses the label. Without a match it is empty, and cannot be parsed.
                yield f"variable {variable['name']}", f"sum by ({found[2]}) ({found[1]})" if found else ""
        for rule in self.rules():
            yield f"alert {rule['alert']}", rule["expr"]

    def rules(self):
        alerts = yaml.load((self.root / "prometheus/alerts.yaml").read_text(), Unique)
        return [rule for group in alerts["groups"] for rule in group["rules"]]

    def dynacrawl(self, *arguments):
        # Not this environment, and no request for credentials to a metadata service.
        environment = {"AWS_EC2_METADATA_DISABLED": "true"}
        return subprocess.run(
            [self.binary, *arguments], check=False, env=environment, capture_output=True, text=True, timeout=60
        )

    def config_problem(self, toml):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(toml)
            file.flush()
            result = self.dynacrawl("config", "check", file.name)
            return result.stderr.strip() if result.returncode else None

    def grace(self):
        """How long dynacrawl may take to end, in seconds: the longest of the default and the configured values."""
        texts = [(REPOSITORY / "config/reference.toml").read_text(), *[toml for _, toml in self.configurations()]]
        values = [tomllib.loads(text).get("crawl", {}).get("grace") for text in texts]
        return max(int(re.fullmatch(r"(\d+)s", value)[1]) for value in values if value)


def as_list(value):
    return value if isinstance(value, list) else [value]


def tool(name, *arguments):
    """Runs a tool that was installed with requirements.txt or by setup, or that this machine has."""
    places = [Path(sys.executable).parent / name, REPOSITORY / "tests/.servers/bin" / name]
    command = next((place for place in places if place.exists()), shutil.which(name))
    if not command:
        raise MissingError(f"there is no {name}; tests/deploy/setup installs it")
    return subprocess.run([command, *arguments], check=False, capture_output=True, text=True, timeout=300)


# Everything


@check
def files_parse(deploy):
    for path in deploy.files("*.json"):
        try:
            deploy.json(path)
        except ValueError as error:
            yield f"{deploy.name(path)}: {error}"
    for path in deploy.files("*.yaml"):
        try:
            deploy.manifests(path)
        except yaml.YAMLError as error:
            yield f"{deploy.name(path)}: {error}"
    for path, block in deploy.blocks("json"):
        try:
            json.loads(block, object_pairs_hook=unique)
        except ValueError as error:
            yield f"{path}: a JSON block: {error}"


@check
def configurations_are_accepted(deploy):
    for place, toml in deploy.configurations():
        if problem := deploy.config_problem(toml):
            yield f"{place}: {problem}"


@check
def arguments_are_accepted(deploy):
    commands = [(place, container["args"]) for place, _, container in deploy.containers()]
    for name, definition in deploy.task_definitions().items():
        commands += [(name, container["command"]) for container in definition["containerDefinitions"]]
    for run in image.runs(dockerfile(deploy)):
        commands.append(("Dockerfile: docker run", run.arguments))
    commands.append(("dynacrawl.service", shlex.split(unit(deploy)["ExecStart"][0])[1:]))
    for place, command in commands:
        result = deploy.dynacrawl(*command, "--help")
        if result.returncode:
            yield f"{place}: {command}: {result.stderr.strip()}"


@check
def environment_variables_exist(deploy):
    helps = [deploy.dynacrawl(command, "--help").stdout for command in ("crawl", "check", "policy", "serve")]
    known = set(re.findall(r"DYNACRAWL_[A-Z_]+(?=[=\]])", "".join(helps)))
    for path in [path for path in deploy.root.rglob("*") if path.is_file()]:
        for name in set(re.findall(r"DYNACRAWL_[A-Z_]+", path.read_text())) - known:
            yield f"{deploy.name(path)}: dynacrawl does not read {name}"


@check
def links_lead_somewhere(deploy):
    for path in deploy.files("*.md"):
        text = path.read_text()
        for link in re.findall(r"\]\((?!https?://)([^)#]+)", text):
            if not (path.parent / link).exists():
                yield f"{deploy.name(path)}: there is no {link}"
        for file in re.findall(r"file://(\S+\.json)", text):
            if not (path.parent / file).exists() and f"`{file}`" not in text:
                yield f"{deploy.name(path)}: there is no {file}"
        anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}
        for anchor in re.findall(r"\]\(#([^)]+)\)", text):
            if anchor not in anchors:
                yield f"{deploy.name(path)}: there is no heading #{anchor}"
    for path in [*deploy.files("*.yaml"), *deploy.files("*.toml"), *deploy.files("*.service")]:
        for file in re.findall(r"\.\./\w+/[\w-]+\.\w+", path.read_text()):
            if not (path.parent / file).exists():
                yield f"{deploy.name(path)}: there is no {file}"


# Dockerfile


def dockerfile(deploy):
    return (deploy.root / "Dockerfile").read_text()


def last(of, name):
    values = [value for instruction, value in of if instruction == name]
    return values[-1] if values else ""


def stages(deploy):
    return image.stages(dockerfile(deploy))


@check
def dockerfile_passes_hadolint(deploy):
    result = tool("hadolint", "--no-color", "--failure-threshold", "style", deploy.root / "Dockerfile")
    if result.returncode:
        yield (result.stdout + result.stderr).strip()


@check
def dockerfile_has_a_small_unprivileged_last_stage(deploy):
    *builders, final = stages(deploy)
    if not builders:
        yield "one stage only: the compiler would be in the image"
    user = last(final, "USER")
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
        yield f"USER {user or 'is missing'}: must be numbers, and not those of root"
    users = {place: pod["securityContext"] for place, pod, _ in deploy.containers()}
    for place, context in users.items():
        if f"{context.get('runAsUser')}:{context.get('runAsGroup')}" != user:
            yield f"{place}: runs as another user than the image, {user}"
    if not re.match(r"gcr\.io/distroless/cc-debian\d+:nonroot$|debian:\w+-slim$", last(final, "FROM")):
        yield f"FROM {last(final, 'FROM')}: is not a minimal image with a C library"
    if any(name == "RUN" for name, _ in final):
        yield "the last stage runs something"
    if last(final, "ENTRYPOINT") != '["dynacrawl"]' or last(final, "CMD") != '["crawl"]':
        yield 'ENTRYPOINT and CMD are not ["dynacrawl"] and ["crawl"]'


@check
def dockerfile_brings_nothing_from_the_network(deploy):
    for name, value in image.instructions(dockerfile(deploy)):
        if name == "ADD":
            yield f"ADD {value}"
        if name == "RUN" and re.search(r"\b(curl|wget|git clone)\b|https?://", value):
            yield f"RUN {value}"
        if name == "COPY" and "://" in value:
            yield f"COPY {value}"


@check
def dockerfile_copies_what_cargo_builds(deploy):
    builder, final = stages(deploy)[0], stages(deploy)[-1]
    manifest = tomllib.loads((REPOSITORY / "crates/dynacrawl/Cargo.toml").read_text())
    (binary,) = [target["name"] for target in manifest["bin"]]
    run = last(builder, "RUN")
    if f"cargo build --profile dist --locked --all-features -p dynacrawl --bin {binary}" not in run:
        yield f"no dist build of {binary} with --locked"
    installed = re.search(r'install -D "?(\S+?)"? (\S+)$', run)
    if not installed or installed[1] != f"$CARGO_TARGET_DIR/dist/{binary}":
        yield f"the installed file is not $CARGO_TARGET_DIR/dist/{binary}"
    directory = re.search(r"CARGO_TARGET_DIR=(\S+)", last(builder, "ENV"))
    caches = re.findall(r"--mount=type=cache,target=([^\s,]+)", run)
    if not directory or not any(directory[1].startswith(cache) for cache in caches):
        yield "CARGO_TARGET_DIR is not in a cache mount"
    name = re.search(r" AS (\w+)$", last(builder, "FROM"))
    wanted = f"--from={name and name[1]} {installed and installed[2]} /usr/local/bin/{binary}"
    if last(final, "COPY") != wanted:
        yield f"COPY {last(final, 'COPY')}: expected COPY {wanted}"


@check
def dockerfile_has_the_right_versions(deploy):
    builder, final = stages(deploy)[0], stages(deploy)[-1]
    rust = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    toolchain = re.match(r"rust:(\d+\.\d+)(?:\.\d+)?-(\w+) AS ", last(builder, "FROM"))
    if not toolchain:
        yield f"FROM {last(builder, 'FROM')}: is not rust:VERSION-DEBIAN"
        return
    if toolchain[1] != rust:
        yield f"Rust {toolchain[1]}, but rust-version in Cargo.toml is {rust}"
    releases = {"bookworm": "12", "trixie": "13"}
    release = re.search(r"debian(\d+)|debian:(\w+)-slim", last(final, "FROM"))
    if not release or (release[1] or releases.get(release[2])) != releases.get(toolchain[2]):
        yield f"linked on Debian {toolchain[2]}, run on {last(final, 'FROM')}"


def compiled_in():
    """The files that the binary is built from: manifests, sources, and the files that they include."""
    yield from ("Cargo.toml", "Cargo.lock")
    for manifest in REPOSITORY.glob("crates/*/Cargo.toml"):
        yield str(manifest.relative_to(REPOSITORY))
        for source in [*manifest.parent.glob("build.rs"), *manifest.parent.glob("src/**/*.rs")]:
            yield str(source.relative_to(REPOSITORY))
            for included in re.findall(r'include(?:_str|_bytes)?!\(\s*"([^"]+)"', source.read_text()):
                yield os.path.relpath((source.parent / included).resolve(), REPOSITORY)


@check
def dockerfile_sees_all_sources_and_little_else(deploy):
    patterns = image.ignore_patterns((deploy.root / "Dockerfile.dockerignore").read_text())
    copied = [
        source
        for name, value in stages(deploy)[0]
        if name == "COPY"
        for source in value.split()[:-1]
        if not source.startswith("--")
    ]
    for path in sorted(set(compiled_in())):
        if image.ignored(path, patterns):
            yield f"Dockerfile.dockerignore keeps {path} out"
        if not any(path == source or path.startswith(source + "/") for source in copied):
            yield f"no COPY brings {path}"
    kept_out = (".git/config", "target/debug/dynacrawl", "tests/deploy/check.py", ".env", "deploy/Dockerfile")
    for path in (*kept_out, "crates/fuzz/corpus/cron/1"):
        if not image.ignored(path, patterns):
            yield f"Dockerfile.dockerignore lets {path} in"


# The configuration of the daemon in the image. It must never crawl.
DAEMON = """
[state]
path = "/var/lib/dynacrawl/state.db"
[serve]
listen = "0.0.0.0:9464"
token = { file = "/etc/dynacrawl/token" }
[[schedule]]
name = "new-year"
cron = "0 0 1 1 *"
time_zone = "Europe/Berlin"
[[target]]
name = "nowhere"
account_id = "111122223333"
regions = ["eu-west-1"]
credentials = { access_key_id = { file = "/etc/dynacrawl/key" }, secret_access_key = { file = "/etc/dynacrawl/key" } }
[aws]
endpoint_url = "http://127.0.0.1:9"
"""


@contextlib.contextmanager
def built(deploy):
    """A container of the image, built from the Dockerfile with the binary instead of cargo's result."""
    if lack := image.can_build():
        raise MissingError(lack)
    with tempfile.TemporaryDirectory() as directory:
        made = image.Builder(deploy.root / "Dockerfile", Path(directory), deploy.binary).image()
        yield image.Container(made, Path(directory))


@check
def image_crawls(deploy):
    with built(deploy) as container:
        for run in image.runs(dockerfile(deploy)):
            if "read-only" not in run.options:
                yield f"docker run {shlex.join(run.arguments)}: not --read-only"
            if "detach" not in run.options:
                yield from image.problems(run, container.start(run), container)


def status(url, **request):
    """The status of the answer, or None without an answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, **request), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@check
def image_serves(deploy):
    daemons = [run for run in image.runs(dockerfile(deploy)) if "detach" in run.options]
    if len(daemons) != 1:
        yield f"{len(daemons)} docker runs of a daemon, expected one"
        return
    with built(deploy) as container, socket.create_server(("127.0.0.1", 0)) as free:
        (run,) = daemons
        for place, (source, _) in run.volumes.items():
            if place == "/etc/dynacrawl":
                for name, text in {
                    "dynacrawl.toml": DAEMON,
                    "token": "token\n",
                    "key": "AKIAIOSFODNN7EXAMPLE\n",
                }.items():
                    (container.volume(source, place) / name).write_text(text)
        # Another process may take the port in between. The container has the network of this machine,
        # because the demo needs a loopback interface.
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        process = container.start(run, {"DYNACRAWL_LISTEN": address}, subprocess.Popen)
        try:
            deadline = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < deadline and status(f"http://{address}/readyz") != 200:
                time.sleep(0.1)
            found = {path: status(f"http://{address}{path}") for path in ("/healthz", "/readyz", "/metrics")}
            found["POST without the token"] = status(f"http://{address}/api/v1/runs", data=b"", method="POST")
            wanted = dict.fromkeys(found, 200) | {"POST without the token": 401}
            if found != wanted:
                yield f"{shlex.join(run.arguments)}: answers {found}"
            if process.poll() is None:
                image.stop(process)
            _, errors = process.communicate(timeout=60)
            if process.returncode:
                yield f"{shlex.join(run.arguments)}: ended with {process.returncode}: {errors.strip()}"
        finally:
            process.kill()
            process.wait()


# Kubernetes


@check
def manifests_follow_the_schemas(deploy):
    for place, document in deploy.objects():
        if document["apiVersion"] in CUSTOM_RESOURCES:
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{place}: {version}: {'.'.join(map(str, error.path))}: {error.message}"


@check
def manifests_name_no_namespace(deploy):
    for place, document in deploy.objects():
        if "namespace" in document["metadata"]:
            yield f"{place}: the user chooses the namespace"


@check
def objects_of_one_name_are_the_same(deploy):
    seen = {}
    for place, document in deploy.objects():
        file = place.split(".yaml")[0]
        other, same = seen.setdefault((document["kind"], document["metadata"]["name"]), (file, document))
        if file != other and document != same:
            yield f"{place} {document['metadata']['name']}: differs from the one in {other}.yaml"


@check
def pods_are_restricted(deploy):
    for place, pod, container in deploy.containers():
        in_pod, own = pod.get("securityContext", {}), container.get("securityContext", {})
        for setting, right in {
            "runAsNonRoot": in_pod.get("runAsNonRoot") is True and own.get("runAsNonRoot", True),
            "runAsUser": in_pod.get("runAsUser", 0) > 0 and own.get("runAsUser", 1) > 0,
            "seccompProfile": in_pod.get("seccompProfile") == {"type": "RuntimeDefault"}
            and "seccompProfile" not in own,
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "privileged": not own.get("privileged"),
            "host namespaces": not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
            "volumes": not any("hostPath" in volume for volume in pod.get("volumes", [])),
            "automountServiceAccountToken": pod.get("automountServiceAccountToken") is False,
            "enableServiceLinks": pod.get("enableServiceLinks") is False,
        }.items():
            if not right:
                yield f"{place}: {setting}"


@check
def pods_have_resources(deploy):
    for place, _, container in deploy.containers():
        resources = container.get("resources", {})
        for kind in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                if resource not in resources.get(kind, {}):
                    yield f"{place}: no resources.{kind}.{resource}"


@check
def pods_find_what_they_name(deploy):
    accounts, claims = [
        {document["metadata"]["name"] for _, document in deploy.objects() if document["kind"] == kind}
        for kind in ("ServiceAccount", "PersistentVolumeClaim")
    ]
    for place, template, made in deploy.templates():
        pod = template["spec"]
        (container,) = pod["containers"]
        if pod.get("serviceAccountName") not in accounts:
            yield f"{place}: there is no ServiceAccount {pod.get('serviceAccountName')}"
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        volumes |= {claim["metadata"]["name"]: {"persistentVolumeClaim": {}} for claim in made}
        mounts = {mount["mountPath"]: volumes.get(mount["name"]) for mount in container.get("volumeMounts", [])}
        unmounted = volumes.keys() - {mount["name"] for mount in container.get("volumeMounts", [])}
        for name in unmounted:
            yield f"{place}: the volume {name} is not mounted"
        if None in mounts.values():
            yield f"{place}: a mount without its volume"
            continue
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and claim not in claims:
                yield f"{place}: there is no PersistentVolumeClaim {claim}"
        environment = {variable["name"]: variable["value"] for variable in container.get("env", [])}
        config = Path(environment.get("DYNACRAWL_CONFIG", "/missing"))
        source = mounts.get(str(config.parent), {}).get("configMap", {}).get("name")
        if (source, config.name) not in deploy.config_maps():
            yield f"{place}: DYNACRAWL_CONFIG={config} is in no ConfigMap that is mounted there"
        output = environment.get("DYNACRAWL_OUTPUT")
        if output and "persistentVolumeClaim" not in mounts.get(str(Path(output).parent), {}):
            yield f"{place}: DYNACRAWL_OUTPUT={output} is on no volume"


@check
def optional_lines_bring_a_file_on_a_volume(deploy):
    documents = deploy.manifests(deploy.root / "kubernetes/cronjob.yaml").get(" with its #: lines", [])
    if "PersistentVolumeClaim" not in [document["kind"] for document in documents]:
        yield "no PersistentVolumeClaim"
    text = yaml.safe_dump_all(documents)
    if "DYNACRAWL_OUTPUT" not in text or "persistentVolumeClaim" not in text:
        yield "no DYNACRAWL_OUTPUT on a persistent volume"


@check
def cron_job_runs_one_crawl_at_a_time(deploy):
    for place, document in deploy.objects():
        if document["kind"] != "CronJob":
            continue
        spec = document["spec"]
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{place}: concurrencyPolicy"
        if not spec.get("timeZone"):
            yield f"{place}: timeZone"
        if len(spec["schedule"].split()) != 5:
            yield f"{place}: schedule {spec['schedule']}"
        if spec.get("startingDeadlineSeconds", 0) < 60:
            yield f"{place}: startingDeadlineSeconds"


@check
def jobs_end(deploy):
    for place, job in deploy.jobs():
        pod = job["template"]["spec"]
        if not job.get("activeDeadlineSeconds"):
            yield f"{place}: no activeDeadlineSeconds"
        if "backoffLimit" not in job:
            yield f"{place}: no backoffLimit"
        if pod.get("restartPolicy") != "Never":
            yield f"{place}: restartPolicy {pod.get('restartPolicy')}"
        crawls = any(container["args"][0] == "crawl" for container in pod["containers"])
        if crawls and pod.get("terminationGracePeriodSeconds", 30) < deploy.grace() + 10:
            yield f"{place}: terminationGracePeriodSeconds is not well above dynacrawl's grace of {deploy.grace()} s"


@check
def exit_codes_are_handled(deploy):
    for place, job in deploy.jobs():
        if not job["backoffLimit"]:
            continue
        names = {container["name"] for container in job["template"]["spec"]["containers"]}
        actions = {}
        for rule in job.get("podFailurePolicy", {}).get("rules", []):
            codes = rule.get("onExitCodes", {"values": []})
            if codes["values"] != sorted(set(codes["values"])):
                yield f"{place}: exit codes out of order: {codes['values']}"
            if codes["values"] and (codes.get("containerName") not in names or codes["operator"] != "In"):
                yield f"{place}: a rule on exit codes that is not about dynacrawl"
            for code in codes["values"]:
                actions.setdefault(code, rule["action"])
        for code in (EXIT_USAGE, EXIT_PARTIAL):
            if actions.get(code) != "FailJob":
                yield f"{place}: exit code {code}: {actions.get(code)}, not FailJob"
        # A full disk or a state in use may pass.
        if actions.get(EXIT_FAILED_FOR_NOW) not in (None, "Count"):
            yield f"{place}: exit code {EXIT_FAILED_FOR_NOW}: {actions[EXIT_FAILED_FOR_NOW]}, so it is not tried again"
        if "Ignore" in actions.values():
            yield f"{place}: ignoring an exit code crawls again without end"
        conditions = [
            (rule["action"], condition["type"])
            for rule in job.get("podFailurePolicy", {}).get("rules", [])
            for condition in rule.get("onPodConditions", [])
        ]
        if conditions != [("Ignore", "DisruptionTarget")]:
            yield f"{place}: disruptions count as failures"


def selects(selector, labels):
    return selector.items() <= labels.items()


def mount_of(container, path):
    """The mount that contains a path."""
    mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
    return next((mounts[str(above)] for above in Path(path).parents if str(above) in mounts), {})


def configuration_of(deploy, pod):
    """The path in a pod's DYNACRAWL_CONFIG, and the configuration at that path in its ConfigMap."""
    (container,) = pod["containers"]
    (path,) = [Path(variable["value"]) for variable in container["env"] if variable["name"] == "DYNACRAWL_CONFIG"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    name = volumes[mount_of(container, path)["name"]]["configMap"]["name"]
    return path, tomllib.loads(deploy.config_maps()[name, path.name])


@check
def daemon_keeps_its_state(deploy):
    if not list(deploy.daemons()):
        yield "there is no StatefulSet"
    for place, daemon, _ in deploy.daemons():
        pod = daemon["template"]["spec"]
        _, configuration = configuration_of(deploy, pod)
        if daemon.get("replicas") != 1:
            yield f"{place}: replicas {daemon.get('replicas')}: the state has one writer"
        if daemon.get("updateStrategy") != {"type": "RollingUpdate"}:
            yield f"{place}: updateStrategy"
        if pod.get("terminationGracePeriodSeconds", 30) < deploy.grace() + 10:
            yield f"{place}: terminationGracePeriodSeconds is not well above dynacrawl's grace of {deploy.grace()} s"
        path = configuration.get("state", {}).get("path", "")
        mount = mount_of(pod["containers"][0], path)
        claims = {claim["metadata"]["name"]: claim["spec"] for claim in daemon.get("volumeClaimTemplates", [])}
        if mount.get("name") not in claims or mount.get("readOnly"):
            yield f"{place}: state.path={path} is on no volume of the pod's own"
            continue
        modes = claims[mount["name"]]["accessModes"]
        if modes not in (["ReadWriteOncePod"], ["ReadWriteOnce"]):
            yield f"{place}: accessModes {modes}: only network file systems have them"


@check
def daemon_is_found_by_probes_and_prometheus(deploy):
    pods = [(place, template["metadata"]["labels"]) for place, template, _ in deploy.templates()]
    monitors = 0
    for place, daemon, beside in deploy.daemons():
        template = daemon["template"]
        labels, annotations = template["metadata"]["labels"], template["metadata"].get("annotations", {})
        (container,) = template["spec"]["containers"]
        _, configuration = configuration_of(deploy, template["spec"])
        host, _, port = configuration["serve"]["listen"].rpartition(":")
        named = {at["name"]: str(at["containerPort"]) for at in container.get("ports", [])}
        if ip_address(host.strip("[]")).is_loopback:
            yield f"{place}: serve.listen={host}: unreachable from outside of the pod"
        for probe, path in {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
            get = container.get(probe, {}).get("httpGet", {})
            if get.get("path") != path or named.get(get.get("port")) != port:
                yield f"{place}: {probe} does not request {path} at {port}"
        for name, value in {"scrape": "true", "port": port, "path": "/metrics"}.items():
            if annotations.get(f"prometheus.io/{name}") != value:
                yield f"{place}: the annotation prometheus.io/{name} is not {value}"
        services = {service["metadata"]["name"]: service for service in beside.get("Service", [])}
        if daemon["serviceName"] not in services:
            yield f"{place}: there is no Service {daemon['serviceName']}"
        for name, service in services.items():
            chosen = {other.rpartition(": ")[2] for other, its in pods if selects(service["spec"]["selector"], its)}
            if chosen != {"StatefulSet"}:
                yield f"{place}: the Service {name} leads to {sorted(chosen)}"
            for at in service["spec"]["ports"]:
                if named.get(at.get("targetPort")) != port:
                    yield f"{place}: the Service {name} does not lead to {port}"
        for monitor in beside.get("ServiceMonitor", []):
            monitors += 1
            spec = monitor["spec"]
            found = [s for s in services.values() if selects(spec["selector"]["matchLabels"], s["metadata"]["labels"])]
            ports = {at["name"] for service in found for at in service["spec"]["ports"]}
            if [(end.get("port") in ports, end.get("path")) for end in spec["endpoints"]] != [(True, "/metrics")]:
                yield f"{place}: the ServiceMonitor does not find /metrics"
        if not selects(daemon["selector"]["matchLabels"], labels):
            yield f"{place}: its selector does not match its pod"
    if not monitors:
        yield "the #: lines bring no ServiceMonitor"


@check
def daemon_has_a_token_and_sees_changes(deploy):
    for place, daemon, _ in deploy.daemons():
        pod = daemon["template"]["spec"]
        (container,) = pod["containers"]
        path, configuration = configuration_of(deploy, pod)
        if "subPath" in mount_of(container, path):
            yield f"{place}: a changed ConfigMap would not arrive behind a subPath"
        token = Path(configuration["serve"].get("token", {}).get("file", ""))
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        secret = volumes.get(mount_of(container, token).get("name"), {}).get("secret")
        if not secret:
            yield f"{place}: serve.token={token} is in no Secret"
            continue
        keys = {item["path"]: item["key"] for item in secret.get("items", [])}
        made = f"create secret generic {secret['secretName']} --from-file={keys.get(token.name)}="
        if made not in (deploy.root / place.split(":")[0].split(" ")[0]).read_text():
            yield f"{place}: nothing says how to {made}…"
        if secret.get("defaultMode", 0o644) & 0o007:
            yield f"{place}: everybody may read the Secret {secret['secretName']}"


@check
def network_policies_let_little_through(deploy):
    policies = [document["spec"] for _, document in deploy.objects() if document["kind"] == "NetworkPolicy"]
    besides = {place: beside.get("NetworkPolicy", []) for place, _, beside in deploy.daemons()}
    for place, template, _ in deploy.templates():
        # The daemon's file must work without the other one.
        candidates = [policy["spec"] for policy in besides[place]] if place in besides else policies
        labels = template["metadata"]["labels"]
        chosen = [policy for policy in candidates if selects(policy["podSelector"]["matchLabels"], labels)]
        if {kind for policy in chosen for kind in policy["policyTypes"]} != {"Ingress", "Egress"}:
            yield f"{place}: no NetworkPolicy for ingress and egress"
    ports = {at["name"] for _, _, container in deploy.containers() for at in container.get("ports", [])}
    for policy in policies:
        egress = {
            (f"{at['port']}/{at['protocol']}", to.get("ipBlock", {}).get("cidr", ""))
            for rule in policy["egress"]
            for at in rule.get("ports", [{"port": "any", "protocol": "any"}])
            for to in rule.get("to", [{}])
        }
        if egress != EGRESS:
            yield f"NetworkPolicy: egress to {sorted(egress ^ EGRESS)}"
        for rule in policy["ingress"]:
            if not rule.get("from") or not all(from_.get("namespaceSelector") for from_ in rule["from"]):
                yield "NetworkPolicy: everybody may come in"
            if not {at["port"] for at in rule.get("ports", [{"port": "any"}])} <= ports:
                yield "NetworkPolicy: ingress to more than the daemon's port"


# systemd


def unit(deploy):
    """The unit's settings, each with all its values."""
    found = {}
    for line in (deploy.root / "systemd/dynacrawl.service").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def analyze(deploy, *command):
    """Runs systemd-analyze on the unit, with this binary instead of the installed one."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "dynacrawl.service"
        text = (deploy.root / "systemd/dynacrawl.service").read_text()
        file.write_text(text.replace("/usr/local/bin/dynacrawl", str(deploy.binary)))
        result = tool("systemd-analyze", *command, file)
    if "unrecognized option" in result.stderr:
        raise MissingError(f"systemd-analyze is too old for {' '.join(command)}")
    return result


@check
def unit_is_valid(deploy):
    result = analyze(deploy, "verify", "--man=no")
    # On a machine that runs systemd it also complains about other units.
    own = [line for line in result.stderr.splitlines() if "dynacrawl" in line]
    if own or result.returncode:
        yield "\n".join(own) or result.stderr


@check
def unit_is_hardened(deploy):
    result = analyze(deploy, "security", "--json=short", "--offline=true")
    for found in json.loads(result.stdout):
        if found["exposure"] and found["name"] not in EXPOSED:
            yield f"{found['name']} {found['description']}"


@check
def unit_fits_its_configuration(deploy):
    settings = unit(deploy)
    text = (deploy.root / "systemd/dynacrawl.toml").read_text()
    readme = (deploy.root / "systemd/README.md").read_text()
    configuration = tomllib.loads(text)
    for name, value in {
        "Type": "exec",
        "Restart": "on-failure",
        "SuccessExitStatus": str(EXIT_INTERRUPTED),
        "RestartPreventExitStatus": str(EXIT_USAGE),
        "ExecReload": "/bin/kill -HUP $MAINPID",
        "DynamicUser": "yes",
    }.items():
        if settings.get(name) != [value]:
            yield f"{name}={settings.get(name)}: expected {value}"
    if int(settings["TimeoutStopSec"][0].removesuffix("s")) < deploy.grace() + 10:
        yield f"TimeoutStopSec is not well above dynacrawl's grace of {deploy.grace()} s"
    directory = Path("/var/lib", settings["StateDirectory"][0])
    for key, value in {
        "state.path": configuration["state"]["path"],
        "crawl.output": configuration["crawl"]["output"],
    }.items():
        if Path(value).parent != directory:
            yield f"{key}={value}: the unit may write to {directory} only"
    credentials = dict(value.split(":") for value in settings.get("LoadCredential", []))
    named = set(re.findall(r'"/run/credentials/dynacrawl\.service/([^"/]+)"', text))
    if named != credentials.keys():
        yield f"the configuration reads the credentials {sorted(named)}, the unit loads {sorted(credentials)}"
    if other := [file for file in re.findall(r'file = "([^"]+)"', text) if "/run/credentials/" not in file]:
        yield f"not a credential: {other}"
    wanted = [f"> {source}\n" for source in credentials.values()]
    wanted += [
        f"dynacrawl.toml {settings['ExecStart'][0].split()[-1]}\n",
        f"dynacrawl {settings['ExecStart'][0].split()[0]}\n",
    ]
    for words in wanted:
        if words not in re.sub(r"   # .*", "", readme):
            yield f"README.md does not install {words.strip()}"


# ECS


def api_problems(service, operation, parameters):
    """What AWS's own model of an API refuses in parameters: shape, names, types and enumerations."""
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    if report.has_errors():
        yield report.generate_report()
        return
    yield from enum_problems(shape, parameters, operation)


def enum_problems(shape, value, place):
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from enum_problems(shape.members[name], member, f"{place}.{name}")
    elif shape.type_name == "list":
        for member in value:
            yield from enum_problems(shape.member, member, place)
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{place}: {value} is not one of {', '.join(shape.enum)}"


def cloudformation(value, within=""):
    """ECS's camelCase keys in CloudFormation's case. The keys of maps stay as they are."""
    if isinstance(value, dict) and within != "options":
        return {key[0].upper() + key[1:]: cloudformation(member, key) for key, member in value.items()}
    return [cloudformation(member) for member in value] if isinstance(value, list) else value


def cfn_lint(resources):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}, file)
        file.flush()
        result = tool("cfn-lint", "--format", "json", "--regions", "eu-west-1", "--template", file.name)
        if not result.stdout.strip().startswith("["):
            yield f"cfn-lint did not run: {result.stderr.strip()}"
            return
        for match in json.loads(result.stdout):
            path = ".".join(map(str, match["Location"]["Path"] or []))
            yield f"{path}: {match['Rule']['Id']} {match['Message']}"


@check
def ecs_parameters_are_valid(deploy):
    for definition in deploy.task_definitions().values():
        yield from api_problems("ecs", "RegisterTaskDefinition", definition)
        yield from cfn_lint({"Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": cloudformation(definition)}})
    service = deploy.json("ecs/daemon-service.json")
    yield from api_problems("ecs", "CreateService", service)
    yield from cfn_lint({"Service": {"Type": "AWS::ECS::Service", "Properties": cloudformation(service)}})
    targets = [json.loads(block) for path, block in deploy.blocks("json") if path.parent.name == "ecs"]
    if len(targets) != 1:
        yield f"{len(targets)} JSON blocks in the README, expected the schedule's target"
    for target in targets:
        schedule = {
            "Name": "dynacrawl",
            "ScheduleExpression": "cron(17 3 * * ? *)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
        }
        yield from api_problems("scheduler", "CreateSchedule", schedule)
        properties = {**schedule, "Target": {**target, "EcsParameters": cloudformation_ecs(target["EcsParameters"])}}
        yield from cfn_lint({"Schedule": {"Type": "AWS::Scheduler::Schedule", "Properties": properties}})


def cloudformation_ecs(parameters):
    network = {key[0].upper() + key[1:]: value for key, value in parameters["NetworkConfiguration"].items()}
    return {**parameters, "NetworkConfiguration": network}


@check
def ecs_tasks_are_restricted(deploy):
    user = last(stages(deploy)[-1], "USER")
    for name, definition in deploy.task_definitions().items():
        if definition.get("requiresCompatibilities") != ["FARGATE"] or definition.get("networkMode") != "awsvpc":
            yield f"{name}: not for Fargate"
        if not definition.get("taskRoleArn"):
            yield f"{name}: no task role"
        for container in definition["containerDefinitions"]:
            options = container.get("logConfiguration", {}).get("options", {})
            for setting, right in {
                "user": container.get("user") == user,
                "readonlyRootFilesystem": container.get("readonlyRootFilesystem") is True,
                "capabilities": container.get("linuxParameters", {}).get("capabilities") == {"drop": ["ALL"]},
                "privileged": not container.get("privileged"),
                "stopTimeout": deploy.grace() + 10 <= container.get("stopTimeout", 30) <= 120,
                "records can be lost: the log mode": options.get("mode") == "blocking",
                "a secret in the environment": not any(
                    re.search("KEY|TOKEN", variable["name"]) for variable in container.get("environment", [])
                ),
            }.items():
                if not right:
                    yield f"{name}: {setting}"


@check
def ecs_daemon_is_one_and_has_its_files(deploy):
    definition, service = deploy.json("ecs/daemon-task-definition.json"), deploy.json("ecs/daemon-service.json")
    (toml,) = [block for path, block in deploy.blocks("toml") if path.parent.name == "ecs"]
    configuration = tomllib.loads(toml)
    (container,) = definition["containerDefinitions"]
    rolling = service["deploymentConfiguration"]
    volumes = {volume["name"]: volume for volume in definition.get("volumes", [])}
    mounts = {mount["containerPath"]: volumes.get(mount["sourceVolume"]) for mount in container["mountPoints"]}
    state = mounts.get(str(Path(configuration["state"]["path"]).parent))
    for problem, right in {
        "two at once": (service["desiredCount"], rolling["maximumPercent"], rolling["minimumHealthyPercent"])
        == (1, 100, 0),
        "the service runs another task": service["taskDefinition"] == definition["family"],
        "the state is on no EBS volume": state is not None and state.get("configuredAtLaunch") is True,
        "the volumes are not those of the service": [v["name"] for v in service["volumeConfigurations"]]
        == list(volumes),
        "the token comes from nowhere": configuration["serve"]["token"].get("env")
        in [secret["name"] for secret in container.get("secrets", [])],
        "the port is another": [at["containerPort"] for at in container["portMappings"]]
        == [int(configuration["serve"]["listen"].rpartition(":")[2])],
    }.items():
        if not right:
            yield problem


# IAM


@check
def policies_allow_nothing_else(deploy):
    policies = deploy.policies()
    for name in policies.keys() ^ ALLOWED.keys():
        yield f"{name}: is only in one of deploy/iam and this check"
    for name in policies.keys() & ALLOWED.keys():
        allowed = set()
        for statement in policies[name]["Statement"]:
            if extra := statement.keys() - {"Sid", "Effect", "Action", "Resource", "Principal", "Condition"}:
                yield f"{name}: {', '.join(extra)}"
            if statement["Effect"] != "Allow":
                yield f"{name}: Effect {statement['Effect']}"
            allowed.update(as_list(statement.get("Action", [])))
            # ListTables has no resource of its own.
            if "*" in as_list(statement.get("Resource", [])) and statement.get("Action") != "dynamodb:ListTables":
                yield f"{name}: {statement.get('Action')} on every resource"
            principals = statement.get("Principal", {})
            if not isinstance(principals, dict):
                principals = {"": principals}
            if name.startswith("trust-policy") != (len(principals) == 1 and principals.keys() <= PRINCIPALS):
                yield f"{name}: Principal {principals}"
            if any("*" in principal for value in principals.values() for principal in as_list(value)):
                yield f"{name}: trusts everybody"
        if allowed != ALLOWED[name]:
            yield f"{name}: allows {sorted(allowed)}, not {sorted(ALLOWED[name])}"


@check
def trust_has_its_conditions(deploy):
    names = {document["metadata"]["name"] for _, document in deploy.objects() if document["kind"] == "ServiceAccount"}
    for name, needed in NEEDED_CONDITIONS.items():
        for statement in deploy.json(f"iam/{name}")["Statement"]:
            conditions = {
                key: value for operator in statement.get("Condition", {}).values() for key, value in operator.items()
            }
            provider = str(statement["Principal"].get("Federated")).split(":oidc-provider/")[-1]
            keys = {f"{provider}:{key}" if key in ("aud", "sub") else key for key in needed}
            if conditions.keys() != keys:
                yield f"{name}: conditions on {sorted(conditions)}, not {sorted(keys)}"
            for key, values in conditions.items():
                if (key.endswith(":sub") or key.endswith("/kubernetes-service-account")) and not all(
                    value.split(":")[-1] in names for value in values
                ):
                    yield f"{name}: {values} is no ServiceAccount of deploy/kubernetes"


@check
def policies_are_what_dynacrawl_prints(deploy):
    commands = re.findall(r"^(dynacrawl policy.*) > (\S+)$", (deploy.root / "iam/README.md").read_text(), re.MULTILINE)
    printed = {"access-policy.json", "assume-policy.json", "trust-policy-external-id.json"}
    if {file for _, file in commands} != printed:
        yield f"README.md prints {sorted(file for _, file in commands)}, not {sorted(printed)}"
    for command, file in commands:
        result = deploy.dynacrawl(*shlex.split(command)[1:])
        if result.returncode or result.stderr:
            yield f"{command}: {result.stderr.strip()}"
        elif json.loads(result.stdout) != deploy.json(f"iam/{file}"):
            yield f"{file} is not what this prints: {command}"


@check
def policies_follow_the_grammar(deploy):
    resources = {}
    for name, policy in deploy.policies().items():
        logical = re.sub(r"\W", "", name.removesuffix(".json").title())
        if name.startswith("trust"):
            resources[logical] = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": policy}}
        else:
            resources[logical] = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
    yield from cfn_lint(resources)


# Prometheus and Grafana


METRICS = Path(__file__).parent / "metrics.txt"


@check
def queries_use_existing_metrics_and_labels(deploy):
    known = queries.metrics(METRICS.read_text())
    for place, query in deploy.queries():
        for problem in queries.problems(query, known):
            yield f"{place}: {problem}"


@check
def panels_find_something(deploy):
    panels = [query for place, query in deploy.queries() if place.startswith("panel")]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "test.yaml"
        file.write_text(yaml.safe_dump(queries.promtool_test(panels, queries.metrics(METRICS.read_text()))))
        result = tool("promtool", "test", "rules", file)
    if result.returncode:
        yield (result.stdout + result.stderr).strip()


ALERT_TESTS = Path(__file__).parent / "alerts_test.yaml"


@check
def alerts_pass_their_tests(deploy):
    rules = deploy.root / "prometheus/alerts.yaml"
    result = tool("promtool", "check", "rules", rules)
    if result.returncode:
        yield (result.stdout + result.stderr).strip()
        return
    tests = pages.filled_in(yaml.load(ALERT_TESTS.read_text(), Unique))
    tests["rule_files"] = [str(rules)]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "test.yaml"
        file.write_text(yaml.safe_dump(tests))
        result = tool("promtool", "test", "rules", file)
    if result.returncode:
        yield (result.stdout + result.stderr).strip()


@check
def alerts_are_tested_with_recorded_pages(deploy):
    for test in yaml.load(ALERT_TESTS.read_text(), Unique)["tests"]:
        for series in test.get("input_series", []):
            if not series["series"].startswith("up{"):
                yield f"{test['name']}: {series['series']} is written by hand"
    recorded = {name for file in pages.PAGES.glob("*.txt") for name in pages.names(file.stem)}
    for place, query in deploy.queries():
        for name in set(re.findall(r"\bdynacrawl_\w+", query)):
            if place.startswith("alert") and name not in recorded:
                yield f"{place}: no recorded page has {name}"


@check
def alerts_are_tested_and_explained(deploy):
    tests = yaml.load(ALERT_TESTS.read_text(), Unique)["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    table = re.findall(r"^\| `(\w+)` \|", (deploy.root / "prometheus/README.md").read_text(), re.MULTILINE)
    names = [rule["alert"] for rule in deploy.rules()]
    if table != names:
        yield f"README.md has the alerts {table}, alerts.yaml {names}"
    for rule in deploy.rules():
        name = rule["alert"]
        fires = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == name}
        if fires != {True, False}:
            yield f"{name}: no test in which it fires and one in which it does not"
        if rule.get("labels", {}).get("severity") not in ("critical", "warning"):
            yield f"{name}: severity"
        for annotation in ("summary", "description"):
            if not rule.get("annotations", {}).get(annotation):
                yield f"{name}: no {annotation}"
        if not rule.get("for"):
            yield f"{name}: fires at once"


@check
def prometheus_accepts_what_the_readme_says(deploy):
    (block,) = [block for path, block in deploy.blocks("yaml") if path.parent.name == "prometheus"]
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy2(deploy.root / "prometheus/alerts.yaml", directory)
        file = Path(directory) / "prometheus.yml"
        file.write_text(block)
        result = tool("promtool", "check", "config", file)
    if result.returncode:
        yield (result.stdout + result.stderr).strip()
    (command,) = [block for path, block in deploy.blocks("sh") if path.parent.name == "prometheus"]
    shown = subprocess.run(
        ["/bin/sh", "-euc", "kubectl() { cat; }\n" + command],
        check=True,
        capture_output=True,
        text=True,
        cwd=deploy.root / "prometheus",
    )
    rule = yaml.load(shown.stdout, Unique)
    if rule["kind"] != "PrometheusRule" or rule["spec"] != yaml.load(
        (deploy.root / "prometheus/alerts.yaml").read_text(), Unique
    ):
        yield "README.md makes another PrometheusRule than alerts.yaml"


def lost(before, after, path=""):
    """The parts of a JSON value that another one lacks."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key not in after:
                yield f"{path}.{key}"
            else:
                yield from lost(value, after[key], f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{path}[{index}]")
    elif before != after:
        yield f"{path}: {before!r}"


def every(value, key):
    """The values of a key at any depth of a JSON value."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    if isinstance(value, dict) and key in value:
        yield value[key]
    for member in members:
        yield from every(member, key)


@check
def dashboard_has_only_what_grafana_reads(deploy):
    dashboard = deploy.json("grafana/dynacrawl.json")
    read = Dashboard.from_json(copy.deepcopy(dashboard))
    for place in lost(dashboard, json.loads(JSONEncoder().encode(read))):
        yield f"Grafana does not read {place}"


@check
def dashboard_can_be_imported(deploy):
    dashboard = deploy.json("grafana/dynacrawl.json")
    if dashboard.get("id") is not None or not dashboard.get("uid") or not dashboard.get("title"):
        yield "an id of one Grafana instance, or no uid or title"
    variables = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
    if variables.get("datasource") != "datasource":
        yield "no variable for the data source"
    text = json.dumps(dashboard)
    # Grafana itself defines those that begin with __.
    for name in set(re.findall(r"\$\{?(\w+)", text)) - variables.keys():
        if not name.startswith("__"):
            yield f"there is no variable {name}"
    for source in every(dashboard, "datasource"):
        if source != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"the data source {source} of one Grafana instance"


@check
def dashboard_is_laid_out(deploy):
    panels = deploy.json("grafana/dynacrawl.json")["panels"]
    identifiers = [panel["id"] for panel in panels]
    if len(set(identifiers)) != len(identifiers):
        yield f"ids that occur twice: {sorted(i for i in set(identifiers) if identifiers.count(i) > 1)}"
    taken = {}
    for panel in panels:
        at = panel["gridPos"]
        if at["x"] < 0 or at["x"] + at["w"] > 24 or min(at["w"], at["h"]) < 1:
            yield f"{panel['title']}: outside of the 24 columns"
        for place in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            other = taken.setdefault(place, panel["id"])
            if other != panel["id"]:
                yield f"{panel['title']}: over the panel {other}"
                break
        if panel["type"] == "row":
            continue
        names = [target["refId"] for target in panel.get("targets", [])]
        if not names or len(set(names)) != len(names):
            yield f"{panel['title']}: no queries, or two of one name"
        if not panel.get("title") or not panel.get("description"):
            yield f"{panel['title'] or panel['id']}: no title or no description"
        if not panel["fieldConfig"]["defaults"].get("unit") and panel["type"] != "table":
            yield f"{panel['title']}: no unit"


def found(function, deploy):
    """The problems that a check finds."""
    try:
        return [str(problem) for problem in function(deploy)]
    except (image.ImageError, MissingError) as error:
        return [str(error)]


def run(deploy, checks):
    """Runs checks, prints what they find, and returns how many failed."""
    failed = 0
    for function in checks:
        try:
            problems = found(function, deploy)
        except Exception as error:  # a file may be too broken for the check itself
            problems = [f"{type(error).__name__}: {error}"]
        failed += bool(problems)
        print(f"{'FAIL' if problems else 'ok'}\t{function.__name__}")
        for problem in problems:
            print("\t" + problem.replace("\n", "\n\t"))
    return failed


def main():
    parser = argparse.ArgumentParser(description="Checks what is in deploy/.")
    parser.add_argument("binary", type=Path, help="the dynacrawl to run")
    parser.add_argument("--deploy", type=Path, default=REPOSITORY / "deploy", metavar="DIRECTORY")
    arguments = parser.parse_args()
    if not os.access(arguments.binary, os.X_OK):
        parser.error(f"{arguments.binary} is not an executable")
    failed = run(Deploy(arguments.deploy, arguments.binary), CHECKS)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
