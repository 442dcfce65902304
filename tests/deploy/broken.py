"""Shows that each check of check.py can fail: breaks a copy of deploy/ in many ways, one at a time.

usage: broken.py BINARY

Needs what check.py needs. Each way names the check that has to find it, and the words that have to be in what it finds.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import check

CRON_JOB = "kubernetes/cronjob.yaml"
CHECK_JOB = "kubernetes/check-job.yaml"
TASK = "ecs/task-definition.json"
ACCESS = "iam/access-policy.json"
IAM_README = "iam/README.md"

# The check, words of what it says, the file, what is in it, and what stands there instead.
WAYS = [
    ("files_parse", "twice", CRON_JOB, "  concurrencyPolicy: Forbid\n", "  concurrencyPolicy: Forbid\n" * 2),
    ("files_parse", "task-definition.json", TASK, '"cpu": "256",', '"cpu": "256"'),
    ("files_parse", "twice", ACCESS, '"Effect": "Allow",', '"Effect": "Allow", "Effect": "Allow",'),
    ("files_parse", "a JSON block", "ecs/README.md", '"MaximumRetryAttempts": 2', '"MaximumRetryAttempts": two'),
    ("files_parse", "cronjob.yaml", CRON_JOB, "#:            - name: data", "#:          - name: data"),
    ("configurations_are_accepted", "graze", CRON_JOB, 'grace = "20s"', 'graze = "20s"'),
    ("configurations_are_accepted", "arn", CRON_JOB, "{ arn = ", "{ role = "),
    ("configurations_are_accepted", "README.md", IAM_README, "credentials = {", "credential = {"),
    ("arguments_are_accepted", "--silent", CRON_JOB, "[crawl, --quiet]", "[crawl, --silent]"),
    ("arguments_are_accepted", "chek", CHECK_JOB, "args: [check]", "args: [chek]"),
    ("arguments_are_accepted", "--silent", TASK, '"--quiet"', '"--silent"'),
    ("arguments_are_accepted", "--demonstration", "Dockerfile", "crawl --demo\n", "crawl --demonstration\n"),
    ("environment_variables_exist", "DYNACRAWL_REGIONS", TASK, "DYNACRAWL_REGION", "DYNACRAWL_REGIONS"),
    ("environment_variables_exist", "DYNACRAWL_OUT", CRON_JOB, "DYNACRAWL_OUTPUT", "DYNACRAWL_OUT"),
    ("links_lead_somewhere", "access.json", IAM_README, "(access-policy.json)", "(access.json)"),
    ("links_lead_somewhere", "no assume.json", IAM_README, "file://assume-policy.json", "file://assume.json"),
    ("links_lead_somewhere", "#1-a-user", IAM_README, "#1-an-iam-user-with-keys", "#1-a-user"),
    ("links_lead_somewhere", "irsa-trust.json", CRON_JOB, "trust-policy-irsa.json", "irsa-trust.json"),
    ("dockerfile_passes_hadolint", "DL3000", "Dockerfile", "WORKDIR /src", "WORKDIR src"),
    ("dockerfile_passes_hadolint", "DL3007", "Dockerfile", "rust:1.95-slim-trixie", "rust:latest"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "USER root", "Dockerfile", "USER 65532:65532", "USER root"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "USER is missing", "Dockerfile", "USER 65532:65532\n", ""),
    ("dockerfile_has_a_small_unprivileged_last_stage", "another user", "Dockerfile", "65532:65532", "65533:65533"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "one stage", "Dockerfile", "\nFROM gcr.io", "\n# FROM gcr.io"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "minimal", "Dockerfile", "cc-debian13:nonroot", "cc:debug"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "ENTRYPOINT", "Dockerfile", 'CMD ["crawl"]', "CMD crawl"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "runs", "Dockerfile", "ENTRYPOINT", "RUN id\nENTRYPOINT"),
    ("dockerfile_brings_nothing_from_the_network", "ADD", "Dockerfile", "COPY crates", "ADD crates"),
    ("dockerfile_brings_nothing_from_the_network", "curl", "Dockerfile", "WORKDIR", "RUN curl -O x.example\nWORKDIR"),
    ("dockerfile_copies_what_cargo_builds", "no release build", "Dockerfile", " --locked", ""),
    ("dockerfile_copies_what_cargo_builds", "installed", "Dockerfile", "/release/dynacrawl", "/debug/dynacrawl"),
    ("dockerfile_copies_what_cargo_builds", "COPY", "Dockerfile", "=build /out/", "=build /src/target/release/"),
    ("dockerfile_copies_what_cargo_builds", "cache mount", "Dockerfile", "TARGET_DIR=/var/cache/", "TARGET_DIR=/tmp/"),
    ("dockerfile_has_the_right_versions", "Rust 1.94", "Dockerfile", "rust:1.95", "rust:1.94"),
    ("dockerfile_has_the_right_versions", "linked on", "Dockerfile", "cc-debian13", "cc-debian12"),
    ("dockerfile_sees_all_sources_and_little_else", "keeps", "Dockerfile.dockerignore", "!config/reference.toml\n", ""),
    ("dockerfile_sees_all_sources_and_little_else", "lets", "Dockerfile.dockerignore", "*\n", "target\n"),
    (
        "dockerfile_sees_all_sources_and_little_else",
        "no COPY",
        "Dockerfile",
        "COPY config/reference.toml config/\n",
        "",
    ),
    ("manifests_follow_the_schemas", "replicas", CRON_JOB, "  timeZone:", "  replicas: 2\n  timeZone:"),
    ("manifests_follow_the_schemas", "backoffLimit", CHECK_JOB, "backoffLimit: 0", "backoffLimit: none"),
    ("manifests_follow_the_schemas", "#: lines", CRON_JOB, "#:  accessModes: [ReadWriteOnce]", "#:  accessModes: RWO"),
    ("manifests_name_no_namespace", "namespace", CHECK_JOB, "  name: dynacrawl-", "  namespace: x\n  name: dynacrawl-"),
    ("pods_are_restricted", "runAsNonRoot", CRON_JOB, "runAsNonRoot: true", "runAsNonRoot: false"),
    ("pods_are_restricted", "runAsUser", CHECK_JOB, "runAsUser: 65532", "runAsUser: 0"),
    ("pods_are_restricted", "seccomp", CHECK_JOB, "type: RuntimeDefault", "type: Unconfined"),
    ("pods_are_restricted", "Escalation", CRON_JOB, "Escalation: false", "Escalation: true"),
    ("pods_are_restricted", "readOnlyRoot", CRON_JOB, "                readOnlyRootFilesystem: true\n", ""),
    ("pods_are_restricted", "capabilities", CHECK_JOB, "drop: [ALL]", "drop: [NET_RAW]"),
    (
        "pods_are_restricted",
        "privileged",
        CHECK_JOB,
        "Filesystem: true",
        "Filesystem: true\n            privileged: true",
    ),
    ("pods_are_restricted", "host", CHECK_JOB, "      restartPolicy:", "      hostNetwork: true\n      restartPolicy:"),
    (
        "pods_are_restricted",
        "volumes",
        CHECK_JOB,
        "configMap:\n            name: dynacrawl",
        "hostPath:\n            path: /",
    ),
    ("pods_are_restricted", "automount", CHECK_JOB, "automountServiceAccountToken: false", ""),
    ("pods_are_restricted", "ServiceLinks", CRON_JOB, "enableServiceLinks: false", "enableServiceLinks: true"),
    ("pods_have_resources", "limits.memory", CRON_JOB, "memory: 256Mi", "ephemeral-storage: 1Gi"),
    ("pods_find_what_they_name", "ServiceAccount", CHECK_JOB, "serviceAccountName: dynacrawl", "serviceAccountName: x"),
    ("pods_find_what_they_name", "DYNACRAWL_CONFIG", CHECK_JOB, "value: /etc/dynacrawl/", "value: /etc/"),
    ("pods_find_what_they_name", "DYNACRAWL_CONFIG", CRON_JOB, "  dynacrawl.toml: |", "  config.toml: |"),
    (
        "pods_find_what_they_name",
        "without its volume",
        CHECK_JOB,
        "        - name: config\n          config",
        "        - name: other\n          config",
    ),
    ("pods_find_what_they_name", "DYNACRAWL_OUTPUT", CRON_JOB, "value: /data/", "value: /tmp/"),
    ("pods_find_what_they_name", "PersistentVolumeClaim", CRON_JOB, "claimName: dynacrawl", "claimName: other"),
    (
        "pods_find_what_they_name",
        "not mounted",
        CRON_JOB,
        "#:                - name: data\n#:                  mountPath: /data\n",
        "",
    ),
    ("optional_lines_bring_a_file_on_a_volume", "no Pers", CRON_JOB, "#:kind: PersistentVolumeClaim", "#:kind: Secret"),
    (
        "optional_lines_bring_a_file_on_a_volume",
        "no DYNA",
        CRON_JOB,
        "- name: DYNACRAWL_OUTPUT",
        "- name: DYNACRAWL_LAYOUT",
    ),
    ("cron_job_runs_one_crawl_at_a_time", "concurrency", CRON_JOB, "Policy: Forbid", "Policy: Allow"),
    ("cron_job_runs_one_crawl_at_a_time", "timeZone", CRON_JOB, "  timeZone: Etc/UTC\n", ""),
    ("cron_job_runs_one_crawl_at_a_time", "schedule", CRON_JOB, '"17 3 * * *"', '"17 3 * *"'),
    (
        "cron_job_runs_one_crawl_at_a_time",
        "starting",
        CRON_JOB,
        "startingDeadlineSeconds: 600",
        "startingDeadlineSeconds: 5",
    ),
    ("jobs_end", "activeDeadline", CRON_JOB, "      activeDeadlineSeconds: 3600\n", ""),
    ("jobs_end", "backoffLimit", CHECK_JOB, "  backoffLimit: 0\n", ""),
    ("jobs_end", "restartPolicy", CRON_JOB, "restartPolicy: Never", "restartPolicy: OnFailure"),
    ("jobs_end", "termination", CRON_JOB, "PeriodSeconds: 45", "PeriodSeconds: 20"),
    ("jobs_end", "termination", CRON_JOB, 'grace = "20s"', 'grace = "60s"'),
    ("exit_codes_are_handled", "code 3", CRON_JOB, "values: [3]", "values: [4]"),
    ("exit_codes_are_handled", "code 2", CRON_JOB, "values: [2]", "values: [1]"),
    ("exit_codes_are_handled", "without end", CRON_JOB, "action: FailJob", "action: Ignore"),
    ("exit_codes_are_handled", "not about dynacrawl", CRON_JOB, "containerName: dynacrawl", "containerName: sidecar"),
    ("exit_codes_are_handled", "out of order", CRON_JOB, "values: [3]", "values: [3, 2]"),
    ("exit_codes_are_handled", "disruptions", CRON_JOB, "type: DisruptionTarget", "type: PodReadyToStartContainers"),
    ("ecs_parameters_are_valid", "Unknown parameter", TASK, '"essential"', '"isEssential"'),
    ("ecs_parameters_are_valid", "LINUXX", TASK, '"LINUX"', '"LINUXX"'),
    ("ecs_parameters_are_valid", "Task.", TASK, '"memory": "512"', '"memory": "768"'),
    ("ecs_parameters_are_valid", "Unknown parameter", "ecs/README.md", '"LaunchType"', '"launchType"'),
    ("ecs_parameters_are_valid", "FARGATED", "ecs/README.md", '"FARGATE"', '"FARGATED"'),
    ("ecs_task_is_restricted", "user", TASK, "65532:65532", "0:0"),
    ("ecs_task_is_restricted", "readonly", TASK, '"readonlyRootFilesystem": true', '"readonlyRootFilesystem": false'),
    ("ecs_task_is_restricted", "capabilities", TASK, '"drop": ["ALL"]', '"add": ["SYS_PTRACE"]'),
    ("ecs_task_is_restricted", "stopTimeout", TASK, '"stopTimeout": 45', '"stopTimeout": 15'),
    ("ecs_task_is_restricted", "lost", TASK, '"blocking"', '"non-blocking"'),
    ("ecs_task_is_restricted", "key", TASK, "DYNACRAWL_LOG_FORMAT", "AWS_SECRET_ACCESS_KEY"),
    ("ecs_task_is_restricted", "Fargate", TASK, '["FARGATE"]', '["EC2"]'),
    (
        "ecs_task_is_restricted",
        "task role",
        TASK,
        '"taskRoleArn": "arn:aws:iam::111122223333:role/DynacrawlCrawler",',
        "",
    ),
    ("policies_allow_nothing_else", "dynamodb:*", ACCESS, "dynamodb:ListTables", "dynamodb:*"),
    (
        "policies_allow_nothing_else",
        "dynamodb:Scan",
        ACCESS,
        '"dynamodb:DescribeTable"',
        '["dynamodb:DescribeTable", "dynamodb:Scan"]',
    ),
    ("policies_allow_nothing_else", "NotAction", ACCESS, '"Action": "dynamodb:ListTables"', '"NotAction": "iam:*"'),
    (
        "policies_allow_nothing_else",
        "on every resource",
        "iam/assume-policy.json",
        "arn:aws:iam::444455556666:role/DynacrawlReader",
        "*",
    ),
    (
        "policies_allow_nothing_else",
        "trusts everybody",
        "iam/trust-policy-external-id.json",
        "arn:aws:iam::111122223333:role/DynacrawlCrawler",
        "*",
    ),
    (
        "policies_allow_nothing_else",
        "AssumeRole",
        "iam/trust-policy-irsa.json",
        "sts:AssumeRoleWithWebIdentity",
        "sts:AssumeRole",
    ),
    ("policies_allow_nothing_else", "Principal", "iam/trust-policy-irsa.json", '"Federated"', '"Federation"'),
    (
        "policies_allow_nothing_else",
        "Principal",
        "iam/trust-policy-ecs-task.json",
        '{\n        "Service": "ecs-tasks.amazonaws.com"\n      }',
        '"*"',
    ),
    ("policies_allow_nothing_else", "Effect", ACCESS, '"Allow"', '"Deny"'),
    ("policies_allow_nothing_else", "only", "iam/more.json", None, '{"Version": "2012-10-17", "Statement": []}'),
    (
        "trust_has_its_conditions",
        "ExternalId",
        "iam/trust-policy-external-id.json",
        '"sts:ExternalId"',
        '"aws:SourceArn"',
    ),
    ("trust_has_its_conditions", "sub", "iam/trust-policy-irsa.json", "EXAMPLE:sub", "EXAMPLE:amr"),
    (
        "trust_has_its_conditions",
        "no ServiceAccount",
        "iam/trust-policy-irsa.json",
        ":dynacrawl:dynacrawl",
        ":dynacrawl:default",
    ),
    (
        "trust_has_its_conditions",
        "SourceAccount",
        "iam/trust-policy-ecs-task.json",
        "aws:SourceAccount",
        "aws:SourceVpc",
    ),
    (
        "trust_has_its_conditions",
        "namespace",
        "iam/trust-policy-pod-identity.json",
        "kubernetes-namespace",
        "kubernetes-pod-uid",
    ),
    (
        "policies_are_what_dynacrawl_prints",
        "access-policy.json",
        ACCESS,
        "arn:aws:dynamodb:*:*",
        "arn:aws:dynamodb:*:444455556666",
    ),
    (
        "policies_are_what_dynacrawl_prints",
        "assume-policy.json",
        IAM_README,
        "--assume --role-arn arn:aws:iam::4444",
        "--assume --role-arn arn:aws:iam::5555",
    ),
    (
        "policies_are_what_dynacrawl_prints",
        "external-id.json",
        "iam/trust-policy-external-id.json",
        "REPLACE-WITH",
        "CHANGE-TO",
    ),
    ("policies_are_what_dynacrawl_prints", "prints", IAM_README, " > access-policy.json", ""),
    ("policies_follow_the_grammar", "describetabel", ACCESS, "dynamodb:DescribeTable", "dynamodb:DescribeTabel"),
    ("policies_follow_the_grammar", "AccessPolicy", ACCESS, '"Effect": "Allow"', '"Effect": "Permit"'),
    ("policies_follow_the_grammar", "AssumePolicy", "iam/assume-policy.json", '"Resource"', '"Resources"'),
    ("policies_follow_the_grammar", "TrustPolicyIrsa", "iam/trust-policy-irsa.json", '"StringEquals"', '"StringIs"'),
    (
        "policies_follow_the_grammar",
        "TrustPolicyPodIdentity",
        "iam/trust-policy-pod-identity.json",
        '"Condition"',
        '"When"',
    ),
    (
        "policies_follow_the_grammar",
        "TrustPolicyEcsTask",
        "iam/trust-policy-ecs-task.json",
        '"2012-10-17"',
        '"2012-10-18"',
    ),
]


def broken(way, binary):
    """What is wrong with a check that should have found this; nothing if it has."""
    name, words, file, old, new = way
    function = next(function for function in check.CHECKS if function.__name__ == name)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(shutil.copytree(check.REPOSITORY / "deploy", Path(directory) / "deploy"))
        text = (root / file).read_text() if old else ""
        if old and old not in text:
            return "cannot be broken so: this is not in it"
        (root / file).write_text(text.replace(old, new) if old else new)
        try:
            problems = [str(problem) for problem in function(check.Deploy(root, binary))]
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    if not problems:
        return "was not found"
    return None if any(words in problem for problem in problems) else f"was found as something else: {problems}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    binary = sys.argv[1]
    failed = 0
    for way in WAYS:
        if problem := broken(way, binary):
            failed += 1
            print(f"FAIL\t{way[0]}: {way[2]}: {way[3]!r} as {way[4]!r}: {problem}")
    for function in check.CHECKS:
        if function.__name__ not in {way[0] for way in WAYS}:
            failed += 1
            print(f"FAIL\t{function.__name__}: nothing is broken for it")
    print(f"{len(WAYS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
