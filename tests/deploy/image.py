"""Builds the image of deploy/Dockerfile without Docker, and runs it as `docker run` would.

usage: image.py [--binary BINARY] [--target-dir DIRECTORY]

Reads the Dockerfile and performs its steps in a scratch directory: each COPY through
Dockerfile.dockerignore, each RUN unchanged in its own root directory, and the last stage on top of the
files of its base image. Then it runs each `docker run` of the Dockerfile's comments except the
daemon's: read-only, as the user of the image.

The base images are not used: the toolchain of this machine replaces the first one, and its C library
the second. With BINARY, nothing is compiled: that binary replaces the result of cargo. With DIRECTORY,
cargo finds there what it has compiled before. Needs Linux and root, for the mounts.
"""

import argparse
import fnmatch
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What a build stage uses of this machine: the toolchain (and the name server, in /run), not the sources.
TOOLCHAIN = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "etc", "dev", "proc", "sys", "root", "home", "opt", "run")
# The shared libraries of gcr.io/distroless/cc that a Rust program with C in it may need.
LIBRARIES = (
    "ld-linux*.so.*",
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libresolv.so.2",
    "libnss_files.so.2",
    "libnss_dns.so.2",
    "libgcc_s.so.1",
    "libssl.so.3",
    "libcrypto.so.3",
    # What OpenSSL of Debian 13 needs.
    "libz.so.1",
    "libzstd.so.1",
)
LIBRARY_DIRECTORIES = (f"/lib/{platform.machine()}-linux-gnu", "/lib64", "/lib", "/usr/lib64", "/usr/lib")
BASE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Replaces cargo if there is a binary already.
CARGO = """#!/bin/sh
set -eu
[ "$1" = build ] && [ -f Cargo.toml ] && [ -f Cargo.lock ] || { echo "cargo $*: not in a workspace" >&2; exit 1; }
profile=debug name=
while [ $# -gt 0 ]; do
    case $1 in --profile) profile=$2 ;; --bin) name=$2 ;; esac
    shift
done
install -D /cargo/binary "${CARGO_TARGET_DIR:-target}/$profile/$name"
"""
RUN_OPTIONS = {
    "rm": False,
    "read-only": False,
    "detach": False,
    "volume": True,
    "publish": True,
    "name": True,
    "restart": True,
}


class ImageError(Exception):
    """The Dockerfile does not build an image that works."""


def instructions(text):
    """The instructions of a Dockerfile: the name of each, and what follows it."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages(text):
    found = []
    for name, value in instructions(text):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, value))
    return found


def ignore_patterns(text):
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def ignored(path, patterns):
    """Whether .dockerignore excludes a path. The last pattern that matches it or a directory above it decides."""
    parts = Path(path).parts
    above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    verdict = False
    for pattern in patterns:
        if any(fnmatch.fnmatchcase(part, pattern.lstrip("!")) for part in above):
            verdict = not pattern.startswith("!")
    return verdict


class Run:
    """A `docker run`: its options, and the arguments of the image."""

    def __init__(self, words):
        self.options, self.volumes = set(), {}
        words = list(words)
        while words[0].startswith("--"):
            name = words.pop(0)[2:]
            if name not in RUN_OPTIONS:
                raise ImageError(f"docker run: --{name} is not known here")
            value = words.pop(0) if RUN_OPTIONS[name] else None
            if name == "volume":
                source, place, *mode = value.split(":")
                self.volumes[place] = (source, mode == ["ro"])
            self.options.add(name)
        self.image, *self.arguments = words


def runs(text):
    """Each `docker run` in a Dockerfile's comments."""
    comments = "\n".join(line[1:].strip() for line in text.splitlines() if line.startswith("#"))
    for line in re.sub(r"\\\n", " ", comments).splitlines():
        if line.startswith("docker run "):
            yield Run(shlex.split(line)[2:])


def can_build():
    """What this machine lacks to build and run images, or None."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "needs Linux and root"
    for name in ("unshare", "mount", "chroot"):
        if not shutil.which(name):
            return f"needs {name}"
    result = namespace("mount -t tmpfs none /tmp", [])
    return result.stderr.strip() if result.returncode else None


def namespace(script, words, start=subprocess.run, **more):
    """Runs a shell script with words as its arguments, in its own mount and process namespaces."""
    command = [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "/bin/sh",
        "-euc",
        script,
        "sh",
        *map(str, words),
    ]
    if start is subprocess.run:
        more = {"check": False, "timeout": 3600, **more}
    return start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def in_root(environment, root, *options):
    """The end of such a script: continues in another root, with only these environment variables."""
    variables = shlex.join(f"{name}={value}" for name, value in environment.items())
    return f'exec env --ignore-environment {variables} "$(command -v chroot)" {shlex.join([*options, str(root)])}'


def copy(source, place, owner, skip=lambda path: False):
    """Copies a file or the content of a directory, and creates the directories above."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        place.mkdir(exist_ok=True)
        for child in sorted(source.iterdir()):
            if not skip(child):
                copy(child, place / child.name, owner, skip)
    else:
        shutil.copy2(source, place, follow_symlinks=False)
    os.chown(place, *owner, follow_symlinks=False)


class Stage:
    """A stage, which is built in a directory."""

    def __init__(self, root, builder):
        self.root, self.builder = root, builder
        self.environment, self.variables = {}, {}
        self.directory, self.user, self.entrypoint, self.command = "/", "0:0", [], []
        root.mkdir()

    def path(self, name):
        """Where a path of the image is on this machine."""
        return self.root / os.path.normpath(os.path.join(self.directory, name)).lstrip("/")

    def expand(self, text):
        known = {**self.variables, **self.environment}
        return re.sub(r"\$\{?(\w+)\}?", lambda match: known.get(match[1], ""), text)

    def do(self, name, value):
        function = getattr(self, "do_" + name.lower(), None)
        if not function:
            raise ImageError(f"{name} is not known here")
        function(value)

    def do_arg(self, value):
        name, _, default = value.partition("=")
        self.variables[name] = self.builder.arguments.get(name, default)

    def do_env(self, value):
        for word in shlex.split(value):
            name, _, text = word.partition("=")
            self.environment[name] = self.expand(text)

    def do_workdir(self, value):
        self.directory = os.path.join(self.directory, value)
        self.path("").mkdir(parents=True, exist_ok=True)

    def do_copy(self, value):
        words = shlex.split(value)
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        *sources, place = [word for word in words if not word.startswith("--")]
        owner = tuple(int(part) for part in options.pop("chown", "0:0").split(":"))
        stage = options.pop("from", None)
        if options:
            raise ImageError(f"COPY {value}: {', '.join(options)} is not known here")
        for source in sources:
            if stage:
                found, skip = self.builder.stages[stage].path("/" + source), lambda path: False
            else:
                found, skip = self.builder.context / source, self.builder.skips
            if not found.exists() or skip(found):
                raise ImageError(f"COPY {value}: there is no {source}")
            into = self.path(place)
            if place.endswith("/") or (len(sources) > 1 and not found.is_dir()):
                into = into / found.name if found.is_file() else into
            copy(found, into, owner, skip)

    def do_run(self, value):
        script = re.sub(r"--mount=\S+ *", "", value).strip()
        environment = {**self.variables, **self.environment, **self.builder.toolchain_environment()}
        result = self.builder.in_toolchain(self, script, environment)
        if result.returncode:
            raise ImageError(f"RUN {script}: exit code {result.returncode}\n{result.stdout}{result.stderr}".strip())

    def do_user(self, value):
        self.user = value

    def do_entrypoint(self, value):
        self.entrypoint = self.exec_form(value)

    def do_cmd(self, value):
        self.command = self.exec_form(value)

    def do_from(self, value):
        pass

    do_label = do_expose = do_from

    @staticmethod
    def exec_form(value):
        words = re.findall(r'"([^"]*)"', value)
        if not value.startswith("[") or not words:
            raise ImageError(f"{value}: there is no shell in the image")
        return words


class Builder:
    """Builds a Dockerfile in a scratch directory."""

    def __init__(self, dockerfile, scratch, binary=None, target_directory=None, context=REPOSITORY):
        self.text = dockerfile.read_text()
        self.patterns = ignore_patterns(dockerfile.with_name("Dockerfile.dockerignore").read_text())
        self.scratch, self.binary, self.target_directory, self.context = scratch, binary, target_directory, context
        self.arguments = {"TARGETARCH": ARCHITECTURES.get(platform.machine(), platform.machine())}
        self.stages = {}

    def skips(self, path):
        # Not if a pattern includes something below it again.
        relative = str(path.relative_to(self.context))
        return ignored(relative, self.patterns) and not any(
            pattern.startswith(f"!{relative}/") for pattern in self.patterns
        )

    def image(self):
        """Builds all stages, and returns the last one."""
        for index, steps in enumerate(stages(self.text)):
            (_, base), *steps = steps
            base, _, name = base.partition(" AS ")
            stage = self.stages[name or str(index)] = Stage(self.scratch / f"stage{index}", self)
            if not base.startswith("rust:"):
                distroless(stage)
            for step in steps:
                stage.do(*step)
        return stage

    def toolchain_environment(self):
        kept = ("PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "HTTPS_PROXY", "https_proxy")
        found = {name: os.environ[name] for name in kept if name in os.environ}
        if self.binary:
            found["PATH"] = "/cargo:" + found["PATH"]
        return found

    def in_toolchain(self, stage, script, environment):
        """Runs a step of a build stage, with its own files and the toolchain of this machine."""
        mounts = []
        for name in TOOLCHAIN:
            outside, inside = Path("/", name), stage.root / name
            if outside.is_symlink():
                if not inside.is_symlink():
                    inside.symlink_to(os.readlink(outside))
            elif outside.is_dir():
                inside.mkdir(exist_ok=True)
                mounts.append((outside, inside))
        for name in ("CARGO_HOME", "RUSTUP_HOME"):
            home = Path(environment.get(name, "/root"))
            if home.parts[1] not in TOOLCHAIN:
                (stage.root / str(home).lstrip("/")).mkdir(parents=True, exist_ok=True)
                mounts.append((home, stage.root / str(home).lstrip("/")))
        (stage.root / "tmp").mkdir(exist_ok=True)
        if self.binary:
            cargo = stage.root / "cargo"
            cargo.mkdir(exist_ok=True)
            (cargo / "cargo").write_text(CARGO)
            (cargo / "cargo").chmod(0o755)
            shutil.copy2(self.binary, cargo / "binary")
        elif self.target_directory and "CARGO_TARGET_DIR" in environment:
            inside = stage.path(environment["CARGO_TARGET_DIR"])
            inside.mkdir(parents=True, exist_ok=True)
            mounts.append((self.target_directory.resolve(), inside))
        lines = [f"mount --rbind {shlex.quote(str(outside))} {shlex.quote(str(inside))}" for outside, inside in mounts]
        inner = f"cd {shlex.quote(stage.directory)}\n{script}"
        lines.append(f"{in_root(environment, stage.root)} /bin/sh -euc {shlex.quote(inner)}")
        return namespace("\n".join(lines), [])


def distroless(stage):
    """Adds what a program may need of gcr.io/distroless/cc: libraries, certificates, time zones, users."""
    for directory in LIBRARY_DIRECTORIES:
        for pattern in LIBRARIES:
            for library in sorted(Path(directory).glob(pattern)):
                place = stage.path(directory) / library.name
                if not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(library, place)
    for name in ("/etc/ssl/certs", "/usr/share/zoneinfo", "/proc", "/dev", "/home/nonroot", "/tmp"):
        stage.path(name).mkdir(parents=True, exist_ok=True)
    stage.path("/tmp").chmod(0o1777)
    certificates = Path(BASE_ENVIRONMENT["SSL_CERT_FILE"])
    if certificates.exists():
        shutil.copy2(certificates, stage.path(str(certificates)))
    stage.path("/etc/passwd").write_text(
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    )
    stage.path("/etc/group").write_text("root:x:0:\nnonroot:x:65532:\n")
    stage.path("/etc/nsswitch.conf").write_text("hosts: files dns\n")
    stage.environment.update(BASE_ENVIRONMENT)


class Container:
    """Runs an image. Its named volumes exist as long as this object."""

    def __init__(self, image, scratch):
        self.image, self.directory = image, scratch / "volumes"

    def volume(self, source, place):
        """Where a volume is on this machine. Creates it as Docker would, or as the comments require it."""
        found = self.directory / source.replace("/", "_")
        if found.exists():
            return found
        found.mkdir(parents=True)
        user, group = map(int, self.image.user.split(":"))
        if "/" not in source:
            inside = self.image.path(place)
            user, group = (inside.stat().st_uid, inside.stat().st_gid) if inside.exists() else (0, 0)
        os.chown(found, user, group)
        return found

    def start(self, run, environment=None, start=subprocess.run, **more):
        root = self.image.root
        lines = [
            'mount --bind "$1" "$1"',
            'mount -t proc proc "$1/proc"',
            'mount --rbind /dev "$1/dev"',
            '[ ! -d /usr/share/zoneinfo ] || mount --rbind /usr/share/zoneinfo "$1/usr/share/zoneinfo"',
        ]
        for place, (source, read_only) in run.volumes.items():
            outside, inside = self.volume(source, place), self.image.path(place)
            inside.mkdir(parents=True, exist_ok=True)
            lines.append(f"mount --bind {shlex.quote(str(outside))} {shlex.quote(str(inside))}")
            if read_only:
                lines.append(f"mount -o remount,bind,ro {shlex.quote(str(inside))}")
        if "read-only" in run.options:
            lines.append('mount -o remount,bind,ro "$1"')
        user, group = self.image.user.split(":")
        command = self.image.entrypoint + (run.arguments or self.image.command)
        environment = {**self.image.environment, **(environment or {})}
        options = [f"--userspec={user}:{group}", "--groups="]
        lines.append(f"{in_root(environment, root, *options)} {shlex.join(command)}")
        return namespace("\n".join(lines), [root], start, **more)


def stop(process):
    """Sends SIGTERM to the program in a container, and not to the unshare around it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)


def problems(run, result, container):
    """What went wrong with a crawl in a container."""
    shown = shlex.join(run.arguments)
    if result.returncode:
        yield f"{shown}: exit code {result.returncode}: {result.stderr.strip()}"
        return
    records = result.stdout
    if "--output" in run.arguments:
        output = run.arguments[run.arguments.index("--output") + 1]
        source = run.volumes.get(os.path.dirname(output), [None])[0]
        file = source and container.volume(source, os.path.dirname(output)) / os.path.basename(output)
        if not file or not file.exists():
            yield f"{shown}: {output} is on no volume"
            return
        records = file.read_text()
    last = records.strip().rpartition("\n")[2]
    if '"type":"run_completed"' not in last or '"outcome":"complete"' not in last:
        yield f"{shown}: the last record does not show a complete run: {last[:200]}"


def main():
    parser = argparse.ArgumentParser(description="Builds the image of deploy/Dockerfile without Docker, and runs it.")
    parser.add_argument("--binary", type=Path, help="use this binary instead of running cargo")
    parser.add_argument("--target-dir", type=Path, metavar="DIRECTORY", help="where cargo has compiled before")
    arguments = parser.parse_args()
    if lack := can_build():
        parser.error(lack)
    failed = passed = 0
    with tempfile.TemporaryDirectory() as directory:
        dockerfile = REPOSITORY / "deploy/Dockerfile"
        builder = Builder(dockerfile, Path(directory), arguments.binary, arguments.target_dir)
        try:
            image = builder.image()
        except ImageError as error:
            sys.exit(f"deploy/Dockerfile: {error}")
        container = Container(image, Path(directory))
        for run in runs(builder.text):
            if "detach" in run.options:
                continue
            found = list(problems(run, container.start(run), container))
            failed, passed = failed + bool(found), passed + (not found)
            print(f"{'FAIL' if found else 'ok'}\tdocker run {shlex.join([run.image, *run.arguments])}")
            for problem in found:
                print("\t" + problem)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
