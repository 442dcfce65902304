"""Checks what is in deploy/.

usage: check.py BINARY [--deploy DIRECTORY]

BINARY is the dynacrawl that is asked about configurations and policies. Needs what is in requirements.txt:

    python3 -m venv VENV && VENV/bin/pip install --requirement tests/deploy/requirements.txt
    VENV/bin/python tests/deploy/check.py target/debug/dynacrawl

A check is a function of a Deploy that yields problems; none means that it has passed. broken.py shows that each can
fail.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import botocore.session
import botocore.validate
import kubernetes_validate
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
# The oldest that podFailurePolicy is stable in, and the newest that there is a schema of.
KUBERNETES = ("1.31", kubernetes_validate.latest_version())
EXIT_USAGE = 2
EXIT_PARTIAL = 3
# What each policy may allow.
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


def check(function):
    CHECKS.append(function)
    return function


class Unique(yaml.SafeLoader):
    """YAML whose mappings say nothing twice."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def unique(pairs):
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the key {key!r} stands twice")
    return dict(pairs)


class Deploy:
    """A deploy/ directory, and the binary that it is for."""

    def __init__(self, root, binary):
        self.root = Path(root).resolve()
        self.binary = Path(binary).resolve()

    def files(self, pattern):
        found = sorted(self.root.rglob(pattern))
        assert found, f"there is no {pattern} in {self.root}"
        return found

    def name(self, path):
        return path.relative_to(self.root)

    def json(self, name):
        return json.loads((self.root / name).read_text(), object_pairs_hook=unique)

    def policies(self):
        return {path.name: self.json(path) for path in sorted((self.root / "iam").glob("*.json"))}

    def manifests(self, path):
        """A YAML file's documents: as it is, and with its optional lines."""
        text = path.read_text()
        variants = {"": text}
        if re.search("^#:", text, re.MULTILINE):
            variants[" with its #: lines"] = re.sub("^#:", "", text, flags=re.MULTILINE)
        return {kind: [d for d in yaml.load_all(variant, Unique) if d] for kind, variant in variants.items()}

    def objects(self):
        """Every Kubernetes object with where it stands."""
        for path in self.files("*.yaml"):
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

    def containers(self):
        for place, job in self.jobs():
            for container in job["template"]["spec"]["containers"]:
                yield place, job["template"]["spec"], container

    def config_maps(self):
        """The configuration files in ConfigMaps, by the ConfigMap's name and theirs."""
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
                yield self.name(path), block

    def dynacrawl(self, *arguments):
        # Nothing of this environment counts, and nothing outside is asked for credentials.
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
        """How long dynacrawl may take to end: the longest of the default and what the ConfigMaps say."""
        texts = [(REPOSITORY / "config/reference.toml").read_text(), *self.config_maps().values()]
        values = [tomllib.loads(text).get("crawl", {}).get("grace") for text in texts]
        return max(int(re.fullmatch(r"(\d+)s", value)[1]) for value in values if value)


def as_list(value):
    return value if isinstance(value, list) else [value]


def tool(name, *arguments):
    """Runs a tool that was installed with requirements.txt."""
    beside_python = Path(sys.executable).parent / name
    command = beside_python if beside_python.exists() else name
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
    for key, toml in deploy.config_maps().items():
        if problem := deploy.config_problem(toml):
            yield f"ConfigMap {key}: {problem}"
    for path, block in deploy.blocks("toml"):
        if problem := deploy.config_problem(block):
            yield f"{path}: {problem}"


@check
def arguments_are_accepted(deploy):
    commands = [(place, container["args"]) for place, _, container in deploy.containers()]
    ecs = deploy.json("ecs/task-definition.json")["containerDefinitions"]
    commands += [("ecs/task-definition.json", container["command"]) for container in ecs]
    for text in [path.read_text() for path in deploy.files("Dockerfile")]:
        runs = re.findall(r"^# +docker run .*?dynacrawl:\S+ (.*)$", text, re.MULTILINE)
        commands += [("Dockerfile: docker run", shlex.split(run)) for run in runs]
    for place, command in commands:
        result = deploy.dynacrawl(*command, "--help")
        if result.returncode:
            yield f"{place}: {command}: {result.stderr.strip()}"


@check
def environment_variables_exist(deploy):
    helps = [deploy.dynacrawl(command, "--help").stdout for command in ("crawl", "check", "policy")]
    known = set(re.findall(r"DYNACRAWL_[A-Z_]+(?==)", "".join(helps)))
    for path in [path for path in deploy.root.rglob("*") if path.is_file()]:
        for name in set(re.findall(r"DYNACRAWL_[A-Z_]+", path.read_text())) - known:
            yield f"{deploy.name(path)}: dynacrawl knows no {name}"


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
    for path in deploy.files("*.yaml"):
        for file in re.findall(r"\.\./\w+/[\w-]+\.\w+", path.read_text()):
            if not (path.parent / file).exists():
                yield f"{deploy.name(path)}: there is no {file}"


# Dockerfile


def instructions(deploy):
    """The Dockerfile's instructions: each one's name and what follows it."""
    text = (deploy.root / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def last(of, name):
    values = [value for instruction, value in of if instruction == name]
    return values[-1] if values else ""


def stages(deploy):
    found = []
    for name, value in instructions(deploy):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, value))
    return found


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
        yield f"USER {user or 'is missing'}: has to be numbers, and not root's"
    users = {place: pod["securityContext"] for place, pod, _ in deploy.containers()}
    for place, context in users.items():
        if f"{context.get('runAsUser')}:{context.get('runAsGroup')}" != user:
            yield f"{place}: runs as another user than the image, {user}"
    if not re.match(r"gcr\.io/distroless/cc-debian\d+:nonroot$|debian:\w+-slim$", last(final, "FROM")):
        yield f"FROM {last(final, 'FROM')}: is no minimal image with a C library"
    if any(name == "RUN" for name, _ in final):
        yield "the last stage runs something"
    if last(final, "ENTRYPOINT") != '["dynacrawl"]' or last(final, "CMD") != '["crawl"]':
        yield 'ENTRYPOINT and CMD are not ["dynacrawl"] and ["crawl"]'


@check
def dockerfile_brings_nothing_from_the_network(deploy):
    for name, value in instructions(deploy):
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
    if f"cargo build --release --locked -p dynacrawl --bin {binary}" not in run:
        yield f"no release build of {binary} that keeps to Cargo.lock"
    installed = re.search(r'install -D "?(\S+?)"? (\S+)$', run)
    if not installed or installed[1] != f"$CARGO_TARGET_DIR/release/{binary}":
        yield f"what is installed is not $CARGO_TARGET_DIR/release/{binary}"
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
    image = re.match(r"rust:(\d+\.\d+)(?:\.\d+)?-slim-(\w+) AS ", last(builder, "FROM"))
    if not image:
        yield f"FROM {last(builder, 'FROM')}: is not rust:VERSION-slim-DEBIAN"
        return
    if image[1] != rust:
        yield f"Rust {image[1]}, but rust-version in Cargo.toml is {rust}"
    releases = {"bookworm": "12", "trixie": "13"}
    release = re.search(r"debian(\d+)|debian:(\w+)-slim", last(final, "FROM"))
    if not release or (release[1] or releases.get(release[2])) != releases.get(image[2]):
        yield f"linked on Debian {image[2]}, run on {last(final, 'FROM')}"


def ignored(path, patterns):
    """Whether .dockerignore keeps a path out: the last pattern that matches it or a directory above it counts."""
    parts = Path(path).parts
    above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    verdict = False
    for pattern in patterns:
        if any(fnmatch.fnmatchcase(part, pattern.lstrip("!")) for part in above):
            verdict = not pattern.startswith("!")
    return verdict


def compiled_in():
    """What the binary is built from: manifests, sources, and what these include."""
    yield from ("Cargo.toml", "Cargo.lock")
    for manifest in REPOSITORY.glob("crates/*/Cargo.toml"):
        yield str(manifest.relative_to(REPOSITORY))
        for source in [*manifest.parent.glob("build.rs"), *manifest.parent.glob("src/**/*.rs")]:
            yield str(source.relative_to(REPOSITORY))
            for included in re.findall(r'include(?:_str|_bytes)?!\(\s*"([^"]+)"', source.read_text()):
                yield os.path.relpath((source.parent / included).resolve(), REPOSITORY)


@check
def dockerfile_sees_all_sources_and_little_else(deploy):
    lines = (deploy.root / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    copied = [
        source
        for name, value in stages(deploy)[0]
        if name == "COPY"
        for source in value.split()[:-1]
        if not source.startswith("--")
    ]
    for path in sorted(set(compiled_in())):
        if ignored(path, patterns):
            yield f"Dockerfile.dockerignore keeps {path} out"
        if not any(path == source or path.startswith(source + "/") for source in copied):
            yield f"no COPY brings {path}"
    for path in (".git/config", "target/debug/dynacrawl", "tests/deploy/check.py", ".env", "deploy/Dockerfile"):
        if not ignored(path, patterns):
            yield f"Dockerfile.dockerignore lets {path} in"


# Kubernetes


@check
def manifests_follow_the_schemas(deploy):
    for place, document in deploy.objects():
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{place}: {version}: {'.'.join(map(str, error.path))}: {error.message}"


@check
def manifests_name_no_namespace(deploy):
    for place, document in deploy.objects():
        if "namespace" in document["metadata"]:
            yield f"{place}: the namespace is the user's to choose"


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
    for place, pod, container in deploy.containers():
        if pod.get("serviceAccountName") not in accounts:
            yield f"{place}: there is no ServiceAccount {pod.get('serviceAccountName')}"
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
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
                yield f"{place}: a rule on exit codes that is not about dynacrawl's"
            for code in codes["values"]:
                actions.setdefault(code, rule["action"])
        for code in (EXIT_USAGE, EXIT_PARTIAL):
            if actions.get(code) != "FailJob":
                yield f"{place}: exit code {code}: {actions.get(code)}, not FailJob"
        if "Ignore" in actions.values():
            yield f"{place}: ignoring an exit code crawls again without end"
        conditions = [
            (rule["action"], condition["type"])
            for rule in job.get("podFailurePolicy", {}).get("rules", [])
            for condition in rule.get("onPodConditions", [])
        ]
        if conditions != [("Ignore", "DisruptionTarget")]:
            yield f"{place}: disruptions count as failures"


# ECS


def api_problems(service, operation, parameters):
    """What AWS's own model of an API has against parameters: shape, names, types and enumerations."""
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
        yield f"{place}: {value} is none of {', '.join(shape.enum)}"


def cloudformation(value, within=""):
    """ECS's camelCase in CloudFormation's case; what stands in maps stays as it is."""
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
    definition = deploy.json("ecs/task-definition.json")
    yield from api_problems("ecs", "RegisterTaskDefinition", definition)
    task = {"Type": "AWS::ECS::TaskDefinition", "Properties": cloudformation(definition)}
    yield from cfn_lint({"Task": task})
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
def ecs_task_is_restricted(deploy):
    definition = deploy.json("ecs/task-definition.json")
    user = last(stages(deploy)[-1], "USER")
    if definition.get("requiresCompatibilities") != ["FARGATE"] or definition.get("networkMode") != "awsvpc":
        yield "not for Fargate"
    if not definition.get("taskRoleArn"):
        yield "no task role"
    for container in definition["containerDefinitions"]:
        options = container.get("logConfiguration", {}).get("options", {})
        for setting, right in {
            "user": container.get("user") == user,
            "readonlyRootFilesystem": container.get("readonlyRootFilesystem") is True,
            "capabilities": container.get("linuxParameters", {}).get("capabilities") == {"drop": ["ALL"]},
            "privileged": not container.get("privileged"),
            "stopTimeout": deploy.grace() + 10 <= container.get("stopTimeout", 30) <= 120,
            "records can be lost: the log mode": options.get("mode") == "blocking",
            "a key in the environment": not any("KEY" in v["name"] for v in container.get("environment", [])),
        }.items():
            if not right:
                yield f"{container['name']}: {setting}"


# IAM


@check
def policies_allow_nothing_else(deploy):
    policies = deploy.policies()
    for name in policies.keys() ^ ALLOWED.keys():
        yield f"{name}: is in one of deploy/iam and this check only"
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


def run(deploy, checks):
    """Runs checks, prints what they find, and returns how many failed."""
    failed = 0
    for function in checks:
        try:
            problems = list(function(deploy))
        except Exception as error:  # what is broken enough cannot even be judged
            problems = [f"{type(error).__name__}: {error}"]
        failed += bool(problems)
        print(f"{'FAIL' if problems else 'ok'}\t{function.__name__}")
        for problem in problems:
            print("\t" + str(problem).replace("\n", "\n\t"))
    return failed


def main():
    parser = argparse.ArgumentParser(description="Checks what is in deploy/.")
    parser.add_argument("binary", type=Path, help="the dynacrawl to ask")
    parser.add_argument("--deploy", type=Path, default=REPOSITORY / "deploy", metavar="DIRECTORY")
    arguments = parser.parse_args()
    if not os.access(arguments.binary, os.X_OK):
        parser.error(f"{arguments.binary} is no program")
    failed = run(Deploy(arguments.deploy, arguments.binary), CHECKS)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
