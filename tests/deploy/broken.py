"""Shows that each check of check.py can fail: breaks a copy of deploy/ in many ways, one at a time.

usage: broken.py BINARY

Needs what check.py needs. Each way names the check that must find it, and words that the problem must
contain.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import check

CRON_JOB = "kubernetes/cronjob.yaml"
CHECK_JOB = "kubernetes/check-job.yaml"
DAEMON = "kubernetes/daemon.yaml"
UNIT = "systemd/dynacrawl.service"
UNIT_CONFIG = "systemd/dynacrawl.toml"
TASK = "ecs/task-definition.json"
DAEMON_TASK = "ecs/daemon-task-definition.json"
DAEMON_SERVICE = "ecs/daemon-service.json"
ALERTS = "prometheus/alerts.yaml"
DASHBOARD = "grafana/dynacrawl.json"
ACCESS = "iam/access-policy.json"
IAM_README = "iam/README.md"

# The check, words of the problem that it reports, the file, the text to replace, and its replacement.
WAYS = [
    ("files_parse", "twice", CRON_JOB, "  concurrencyPolicy: Forbid\n", "  concurrencyPolicy: Forbid\n" * 2),
    ("files_parse", "task-definition.json", TASK, '"cpu": "256",', '"cpu": "256"'),
    ("files_parse", "twice", ACCESS, '"Effect": "Allow",', '"Effect": "Allow", "Effect": "Allow",'),
    ("files_parse", "a JSON block", "ecs/README.md", '"MaximumRetryAttempts": 2', '"MaximumRetryAttempts": two'),
    ("files_parse", "cronjob.yaml", CRON_JOB, "#:            - name: data", "#:          - name: data"),
    ("configurations_are_accepted", "graze", CRON_JOB, 'grace = "20s"', 'graze = "20s"'),
    ("configurations_are_accepted", "arn", CRON_JOB, "{ arn = ", "{ role = "),
    ("configurations_are_accepted", "README.md", IAM_README, "credentials = {", "credential = {"),
    ("configurations_are_accepted", "lissen", DAEMON, "    listen = ", "    lissen = "),
    ("configurations_are_accepted", "dynacrawl.toml", UNIT_CONFIG, "regions = [", "region = ["),
    ("configurations_are_accepted", "ecs/README.md", "ecs/README.md", "  time_zone =", "  timezone ="),
    ("arguments_are_accepted", "--silent", CRON_JOB, "[crawl, --quiet]", "[crawl, --silent]"),
    ("arguments_are_accepted", "chek", CHECK_JOB, "args: [check]", "args: [chek]"),
    ("arguments_are_accepted", "--silent", TASK, '"--quiet"', '"--silent"'),
    ("arguments_are_accepted", "--demonstration", "Dockerfile", "crawl --demo\n", "crawl --demonstration\n"),
    ("arguments_are_accepted", "--konfig", "Dockerfile", "serve --config", "serve --konfig"),
    ("arguments_are_accepted", "surf", DAEMON, "args: [serve]", "args: [surf]"),
    ("arguments_are_accepted", "surf", DAEMON_TASK, '"serve"', '"surf"'),
    ("arguments_are_accepted", "--konfig", UNIT, "serve --config", "serve --konfig"),
    ("environment_variables_exist", "DYNACRAWL_REGIONS", TASK, "DYNACRAWL_REGION", "DYNACRAWL_REGIONS"),
    ("environment_variables_exist", "DYNACRAWL_OUT", CRON_JOB, "DYNACRAWL_OUTPUT", "DYNACRAWL_OUT"),
    ("links_lead_somewhere", "access.json", IAM_README, "(access-policy.json)", "(access.json)"),
    ("links_lead_somewhere", "no assume.json", IAM_README, "file://assume-policy.json", "file://assume.json"),
    ("links_lead_somewhere", "#1-a-user", IAM_README, "#1-an-iam-user-with-keys", "#1-a-user"),
    ("links_lead_somewhere", "irsa-trust.json", CRON_JOB, "trust-policy-irsa.json", "irsa-trust.json"),
    ("links_lead_somewhere", "alarms.yaml", DAEMON, "prometheus/alerts.yaml", "prometheus/alarms.yaml"),
    ("links_lead_somewhere", "#the-demon", "ecs/README.md", "(#the-daemon)", "(#the-demon)"),
    ("dockerfile_passes_hadolint", "DL3000", "Dockerfile", "WORKDIR /src", "WORKDIR src"),
    ("dockerfile_passes_hadolint", "DL3007", "Dockerfile", "rust:1.95-trixie", "rust:latest"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "USER root", "Dockerfile", "USER 65532:65532", "USER root"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "USER is missing", "Dockerfile", "USER 65532:65532\n", ""),
    ("dockerfile_has_a_small_unprivileged_last_stage", "another user", "Dockerfile", "65532:65532", "65533:65533"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "one stage", "Dockerfile", "\nFROM gcr.io", "\n# FROM gcr.io"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "minimal", "Dockerfile", "cc-debian13:nonroot", "cc:debug"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "ENTRYPOINT", "Dockerfile", 'CMD ["crawl"]', "CMD crawl"),
    ("dockerfile_has_a_small_unprivileged_last_stage", "runs", "Dockerfile", "ENTRYPOINT", "RUN id\nENTRYPOINT"),
    ("dockerfile_brings_nothing_from_the_network", "ADD", "Dockerfile", "COPY crates", "ADD crates"),
    ("dockerfile_brings_nothing_from_the_network", "curl", "Dockerfile", "WORKDIR", "RUN curl -O x.example\nWORKDIR"),
    ("dockerfile_copies_what_cargo_builds", "no dist build", "Dockerfile", " --locked", ""),
    ("dockerfile_copies_what_cargo_builds", "installed", "Dockerfile", "/dist/dynacrawl", "/debug/dynacrawl"),
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
    ("image_crawls", "exit code 127", "Dockerfile", "COPY --from=build /out/dynacrawl", "# COPY"),
    (
        "image_crawls",
        "there is no /out/dynacrawl",
        "Dockerfile",
        '/dist/dynacrawl" /out/',
        '/dist/dynacrawl" /opt/',
    ),
    ("image_crawls", "there is no config/reference", "Dockerfile.dockerignore", "!config/reference.toml\n", ""),
    ("image_crawls", "not in a workspace", "Dockerfile", "COPY Cargo.toml Cargo.lock ./", "COPY Cargo.toml ./"),
    ("image_crawls", "RUN find", "Dockerfile", "/dist/dynacrawl", "/debug/dynacrawl"),
    ("image_crawls", "Permission denied", "Dockerfile", " --chown=65532:65532", ""),
    ("image_crawls", "No such file", "Dockerfile", "--volume ./data:/data ", ""),
    ("image_crawls", "not --read-only", "Dockerfile", "--rm --read-only", "--rm"),
    ("image_crawls", "no shell", "Dockerfile", 'ENTRYPOINT ["dynacrawl"]', "ENTRYPOINT dynacrawl"),
    ("image_crawls", "HEALTHCHECK", "Dockerfile", "EXPOSE 9464", "HEALTHCHECK CMD true"),
    ("image_serves", "0 docker runs", "Dockerfile", "--detach ", ""),
    ("image_serves", "answers", "Dockerfile", "--volume ./etc:/etc/dynacrawl:ro ", ""),
    ("image_serves", "answers", "Dockerfile", " --chown=65532:65532", ""),
    ("manifests_follow_the_schemas", "replicas", CRON_JOB, "  timeZone:", "  replicas: 2\n  timeZone:"),
    ("manifests_follow_the_schemas", "backoffLimit", CHECK_JOB, "backoffLimit: 0", "backoffLimit: none"),
    ("manifests_follow_the_schemas", "#: lines", CRON_JOB, "#:  accessModes: [ReadWriteOnce]", "#:  accessModes: RWO"),
    ("manifests_name_no_namespace", "namespace", CHECK_JOB, "  name: dynacrawl-", "  namespace: x\n  name: dynacrawl-"),
    ("manifests_follow_the_schemas", "serviceNam", DAEMON, "serviceName:", "serviceNam:"),
    ("manifests_follow_the_schemas", "cidr", DAEMON, "cidr: 169", "cird: 169"),
    ("manifests_name_no_namespace", "namespace", DAEMON, "#:  name: d", "#:  namespace: x\n#:  name: d"),
    ("objects_of_one_name_are_the_same", "ServiceAccount", DAEMON, 'endpoints: "true"', 'endpoints: "false"'),
    ("objects_of_one_name_are_the_same", "ConfigMap", DAEMON, "  name: dynacrawl-daemon", "  name: dynacrawl"),
    ("pods_are_restricted", "readOnlyRoot", DAEMON, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
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
    ("pods_have_resources", "requests.memory", DAEMON, "memory: 128Mi", "ephemeral-storage: 1Gi"),
    (
        "pods_find_what_they_name",
        "DYNACRAWL_CONFIG",
        DAEMON,
        "configMap:\n            name: dynacrawl-d",
        "configMap:\n            name: d",
    ),
    (
        "pods_find_what_they_name",
        "without its volume",
        DAEMON,
        "    - metadata:\n        name: state",
        "    - metadata:\n        name: data",
    ),
    ("daemon_keeps_its_state", "no StatefulSet", DAEMON, "kind: StatefulSet", "kind: Deployment"),
    ("daemon_keeps_its_state", "replicas 2", DAEMON, "replicas: 1", "replicas: 2"),
    ("daemon_keeps_its_state", "updateStrategy", DAEMON, "type: RollingUpdate", "type: OnDelete"),
    ("daemon_keeps_its_state", "termination", DAEMON, "PeriodSeconds: 45", "PeriodSeconds: 20"),
    ("daemon_keeps_its_state", "on no volume", DAEMON, "/var/lib/dynacrawl/state.db", "/etc/dynacrawl/state.db"),
    ("daemon_keeps_its_state", "accessModes", DAEMON, "[ReadWriteOncePod]", "[ReadWriteMany]"),
    ("daemon_is_found_by_probes_and_prometheus", "outside", DAEMON, '"0.0.0.0:9464"', '"127.0.0.1:9464"'),
    ("daemon_is_found_by_probes_and_prometheus", "liveness", DAEMON, "path: /healthz", "path: /health"),
    ("daemon_is_found_by_probes_and_prometheus", "readiness", DAEMON, "path: /readyz", "path: /healthz"),
    ("daemon_is_found_by_probes_and_prometheus", "liveness", DAEMON, "containerPort: 9464", "containerPort: 9465"),
    ("daemon_is_found_by_probes_and_prometheus", "readiness", DAEMON, "readinessProbe:", "startupProbe:"),
    ("daemon_is_found_by_probes_and_prometheus", "io/port", DAEMON, 'io/port: "9464"', 'io/port: "9090"'),
    ("daemon_is_found_by_probes_and_prometheus", "no Service", DAEMON, "serviceName: dynacrawl-", "serviceName: "),
    (
        "daemon_is_found_by_probes_and_prometheus",
        "leads to ['CronJob",
        DAEMON,
        "  selector:\n    app.kubernetes.io/name: dynacrawl\n    app.kubernetes.io/component: daemon\n",
        "  selector:\n    app.kubernetes.io/name: dynacrawl\n",
    ),
    ("daemon_is_found_by_probes_and_prometheus", "not lead", DAEMON, "targetPort: http", "targetPort: metrics"),
    ("daemon_is_found_by_probes_and_prometheus", "does not find", DAEMON, "#:    - port: http", "#:    - port: web"),
    (
        "daemon_is_found_by_probes_and_prometheus",
        "does not find",
        DAEMON,
        "#:      app.kubernetes.io/component: d",
        "#:      app.kubernetes.io/component: c",
    ),
    ("daemon_is_found_by_probes_and_prometheus", "no ServiceMonitor", DAEMON, "#:kind: ServiceMon", "#:kind: PodMon"),
    (
        "daemon_has_a_token_and_sees_changes",
        "subPath",
        DAEMON,
        "mountPath: /etc/dynacrawl\n",
        "mountPath: /etc/dynacrawl\n              subPath: x\n",
    ),
    ("daemon_has_a_token_and_sees_changes", "no Secret", DAEMON, "/run/secrets/dynacrawl/token", "/run/secrets/token"),
    ("daemon_has_a_token_and_sees_changes", "no Secret", DAEMON, "    token = {", "    # token = {"),
    ("daemon_has_a_token_and_sees_changes", "nothing says", DAEMON, "secretName: dynacrawl-", "secretName: "),
    ("daemon_has_a_token_and_sees_changes", "nothing says", DAEMON, "path: token", "path: bearer"),
    ("daemon_has_a_token_and_sees_changes", "everybody", DAEMON, "defaultMode: 0440", "defaultMode: 0444"),
    ("network_policies_let_little_through", "no NetworkPolicy", CRON_JOB, "[Ingress, Egress]", "[Ingress]"),
    (
        "network_policies_let_little_through",
        "no NetworkPolicy",
        DAEMON,
        "  podSelector:\n    matchLabels:\n      app.kubernetes.io/name: d",
        "  podSelector:\n    matchLabels:\n      app.kubernetes.io/name: x",
    ),
    ("network_policies_let_little_through", "any/any", DAEMON, "  egress:\n", "  egress:\n    - {}\n"),
    ("network_policies_let_little_through", "8443", CRON_JOB, "port: 443", "port: 8443"),
    ("network_policies_let_little_through", "80/TCP", CRON_JOB, "cidr: 169.254.170.23/32", "cidr: 169.254.169.254/32"),
    ("network_policies_let_little_through", "everybody", CRON_JOB, "ingress: []", "ingress: [{}]"),
    (
        "network_policies_let_little_through",
        "everybody",
        DAEMON,
        "namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: monitoring",
        "ipBlock:\n            cidr: 0.0.0.0/0",
    ),
    (
        "network_policies_let_little_through",
        "more than",
        DAEMON,
        "        - port: http\n          protocol",
        "        - port: 22\n          protocol",
    ),
    ("unit_is_valid", "Unknown key", UNIT, "RestrictRealtime=", "RestrictRealTime="),
    ("unit_is_valid", "Unknown section", UNIT, "[Install]", "[Installation]"),
    ("unit_is_valid", "not executable", UNIT, "/bin/kill", "/bin/no-such-kill"),
    ("unit_is_valid", "Failed to parse", UNIT, "Restart=on-failure", "Restart=on-exit-code"),
    ("unit_is_hardened", "PrivateDevices", UNIT, "PrivateDevices=yes\n", ""),
    ("unit_is_hardened", "UMask", UNIT, "UMask=0077\n", ""),
    ("unit_is_hardened", "runs as root", UNIT, "DynamicUser=yes\n", ""),
    ("unit_is_hardened", "CapabilityBoundingSet", UNIT, "CapabilityBoundingSet=\n", ""),
    ("unit_is_hardened", "SystemCallFilter", UNIT, "SystemCallFilter=~@privileged @resources\n", ""),
    ("unit_is_hardened", "AF_NETLINK", UNIT, "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n", ""),
    ("unit_is_hardened", "MemoryDeny", UNIT, "MemoryDenyWriteExecute=yes", "MemoryDenyWriteExecute=no"),
    ("unit_fits_its_configuration", "Type", UNIT, "Type=exec", "Type=notify"),
    ("unit_fits_its_configuration", "Restart", UNIT, "Restart=on-failure", "Restart=always"),
    ("unit_fits_its_configuration", "SuccessExitStatus", UNIT, "SuccessExitStatus=130", "SuccessExitStatus=3"),
    ("unit_fits_its_configuration", "PreventExit", UNIT, "RestartPreventExitStatus=2\n", ""),
    ("unit_fits_its_configuration", "ExecReload", UNIT, "-HUP", "-USR1"),
    ("unit_fits_its_configuration", "DynamicUser", UNIT, "DynamicUser=yes", "DynamicUser=no"),
    ("unit_fits_its_configuration", "TimeoutStopSec", UNIT, "TimeoutStopSec=45s", "TimeoutStopSec=20s"),
    ("unit_fits_its_configuration", "state.path", UNIT_CONFIG, "/var/lib/dynacrawl/state.db", "/var/lib/state.db"),
    ("unit_fits_its_configuration", "crawl.output", UNIT, "StateDirectory=dynacrawl", "StateDirectory=crawler"),
    ("unit_fits_its_configuration", "credentials", UNIT, "LoadCredential=key-id:", "LoadCredential=keyid:"),
    (
        "unit_fits_its_configuration",
        "not a credential",
        UNIT_CONFIG,
        '"/run/credentials/dynacrawl.service/key"',
        '"/etc/key"',
    ),
    ("unit_fits_its_configuration", "install > /etc/dynacrawl/secrets/bearer", UNIT, "secrets/token", "secrets/bearer"),
    (
        "unit_fits_its_configuration",
        "install dynacrawl.toml",
        UNIT,
        "/etc/dynacrawl/dynacrawl.toml",
        "/etc/dynacrawl.toml",
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
    ("exit_codes_are_handled", "exit code 5", CRON_JOB, "values: [3]", "values: [3, 5]"),
    ("exit_codes_are_handled", "code 3", CRON_JOB, "values: [3]", "values: [4]"),
    ("exit_codes_are_handled", "code 2", CRON_JOB, "values: [2]", "values: [1]"),
    ("exit_codes_are_handled", "without end", CRON_JOB, "action: FailJob", "action: Ignore"),
    ("exit_codes_are_handled", "not about dynacrawl", CRON_JOB, "containerName: dynacrawl", "containerName: sidecar"),
    ("exit_codes_are_handled", "out of order", CRON_JOB, "values: [3]", "values: [3, 2]"),
    ("exit_codes_are_handled", "disruptions", CRON_JOB, "type: DisruptionTarget", "type: PodReadyToStartContainers"),
    ("ecs_parameters_are_valid", "Unknown parameter", TASK, '"essential"', '"isEssential"'),
    ("ecs_parameters_are_valid", "LINUXX", TASK, '"LINUX"', '"LINUXX"'),
    ("ecs_parameters_are_valid", "Task.", TASK, '"memory": "512"', '"memory": "768"'),
    ("ecs_parameters_are_valid", "Unknown parameter", DAEMON_TASK, '"configuredAtLaunch"', '"configureAtLaunch"'),
    ("ecs_parameters_are_valid", "Unknown parameter", DAEMON_SERVICE, '"sizeInGiB"', '"sizeInGb"'),
    ("ecs_parameters_are_valid", "ext5", DAEMON_SERVICE, '"ext4"', '"ext5"'),
    ("ecs_parameters_are_valid", "Unknown parameter", "ecs/README.md", '"LaunchType"', '"launchType"'),
    ("ecs_parameters_are_valid", "FARGATED", "ecs/README.md", '"FARGATE"', '"FARGATED"'),
    ("ecs_tasks_are_restricted", "user", TASK, "65532:65532", "0:0"),
    ("ecs_tasks_are_restricted", "readonly", TASK, '"readonlyRootFilesystem": true', '"readonlyRootFilesystem": false'),
    ("ecs_tasks_are_restricted", "capabilities", TASK, '"drop": ["ALL"]', '"add": ["SYS_PTRACE"]'),
    ("ecs_tasks_are_restricted", "stopTimeout", TASK, '"stopTimeout": 45', '"stopTimeout": 15'),
    ("ecs_tasks_are_restricted", "lost", TASK, '"blocking"', '"non-blocking"'),
    ("ecs_tasks_are_restricted", "a secret", TASK, "DYNACRAWL_LOG_FORMAT", "AWS_SECRET_ACCESS_KEY"),
    ("ecs_tasks_are_restricted", "a secret", DAEMON_TASK, '"secrets": [', '"environment": ['),
    ("ecs_tasks_are_restricted", "Fargate", TASK, '["FARGATE"]', '["EC2"]'),
    (
        "ecs_tasks_are_restricted",
        "task role",
        TASK,
        '"taskRoleArn": "arn:aws:iam::111122223333:role/DynacrawlCrawler",',
        "",
    ),
    (
        "ecs_daemon_is_one_and_has_its_files",
        "two at once",
        DAEMON_SERVICE,
        '"maximumPercent": 100',
        '"maximumPercent": 200',
    ),
    (
        "ecs_daemon_is_one_and_has_its_files",
        "another task",
        DAEMON_SERVICE,
        '"taskDefinition": "dynacrawl-d',
        '"taskDefinition": "d',
    ),
    (
        "ecs_daemon_is_one_and_has_its_files",
        "no EBS",
        DAEMON_TASK,
        '"containerPath": "/var/lib/',
        '"containerPath": "/srv/',
    ),
    (
        "ecs_daemon_is_one_and_has_its_files",
        "no EBS",
        DAEMON_TASK,
        '"configuredAtLaunch": true',
        '"efsVolumeConfiguration": {"fileSystemId": "fs-1"}',
    ),
    ("ecs_daemon_is_one_and_has_its_files", "volumes", DAEMON_SERVICE, '"name": "state"', '"name": "data"'),
    ("ecs_daemon_is_one_and_has_its_files", "token", DAEMON_TASK, '"RUNS_TOKEN"', '"TOKEN"'),
    (
        "ecs_daemon_is_one_and_has_its_files",
        "port",
        "ecs/README.md",
        'listen = "0.0.0.0:9464"',
        'listen = "0.0.0.0:9465"',
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
    (
        "queries_use_existing_metrics_and_labels",
        "no metric dynacrawl_table",
        DASHBOARD,
        "sum(dynacrawl_tables{",
        "sum(dynacrawl_table{",
    ),
    (
        "queries_use_existing_metrics_and_labels",
        "no metric dynacrawl_removal_held",
        ALERTS,
        "dynacrawl_removals_held",
        "dynacrawl_removal_held",
    ),
    (
        "queries_use_existing_metrics_and_labels",
        "no label kind",
        DASHBOARD,
        '{result=\\"throttled\\"',
        '{kind=\\"throttled\\"',
    ),
    ("queries_use_existing_metrics_and_labels", "throttle", ALERTS, 'result="throttled"', 'result="throttle"'),
    ("queries_use_existing_metrics_and_labels", "partially", ALERTS, '"partial|failed"', '"partially|failed"'),
    ("queries_use_existing_metrics_and_labels", "a label kind", DASHBOARD, "sum by (type)", "sum by (kind)"),
    (
        "queries_use_existing_metrics_and_labels",
        "a label pod",
        ALERTS,
        "on (job, instance) min_over_time(dyna",
        "on (job, pod) min_over_time(dyna",
    ),
    (
        "queries_use_existing_metrics_and_labels",
        "not in a rate",
        DASHBOARD,
        'increase(dynacrawl_changes_total{job=~\\"$job\\"}[$__rate_interval])',
        "(dynacrawl_changes_total)",
    ),
    (
        "queries_use_existing_metrics_and_labels",
        "is a gauge",
        DASHBOARD,
        '(dynacrawl_tables{job=~\\"$job\\"})',
        "(rate(dynacrawl_tables[5m]))",
    ),
    ("queries_use_existing_metrics_and_labels", "parenthes", DASHBOARD, "sum by (outcome) (", "sum by (outcome) (("),
    ("queries_use_existing_metrics_and_labels", "a label accounts", DASHBOARD, ", account_id)", ", accounts)"),
    (
        "queries_use_existing_metrics_and_labels",
        "no expression",
        DASHBOARD,
        "label_values(dynacrawl_build_info, job)",
        "label_value(dynacrawl_build_info)",
    ),
    (
        "panels_find_something",
        "FAILED",
        DASHBOARD,
        " * on (instance) group_left () max by (instance)",
        " * on (instance, version) group_left () max by (instance)",
    ),
    ("panels_find_something", "FAILED", DASHBOARD, "sum by (operation, le)", "sum by (operation)"),
    ("panels_find_something", "FAILED", DASHBOARD, "sum by (outcome) (", "sum by (outcome) (("),
    (
        "alerts_pass_their_tests",
        "could not parse",
        ALERTS,
        "dynacrawl_removals_held > 0",
        "dynacrawl_removals_held > > 0",
    ),
    ("alerts_pass_their_tests", "field expression not found", ALERTS, "expr: dyna", "expression: dyna"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "> 26 * 3600", "> 27 * 3600"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, " or on () absent", " or absent"),
    (
        "alerts_pass_their_tests",
        "FAILED",
        ALERTS,
        "          unless on (job, instance) time() - dynacrawl_scope_last_complete_timestamp_seconds > 26 * 3600\n",
        "",
    ),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "last_due_timestamp_seconds > 15", "next_run_timestamp_seconds > 15"),
    (
        "alerts_pass_their_tests",
        "FAILED",
        ALERTS,
        "          and dynacrawl_schedule_last_due_timestamp_seconds > dynacrawl_schedule_last_begun_timestamp_seconds\n",
        "",
    ),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "sum by (job, namespace, schedule)", "sum by (job, namespace)"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "retirements_held > 0", "retirements_held > 50"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "reload_successful == 0", "reload_successful == 1"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "[30m])) > 0.2", "[30m])) > 0.05"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "removals_held > 0", "removals_held > 50"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "> 6 * 3600", "> 16 * 3600"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, 'result="refused"', 'result="failed"'),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "sink_behind == 1", "sink_behind == 2"),
    ("alerts_pass_their_tests", "FAILED", ALERTS, 'outcome=~"partial|failed"', 'outcome=~"failed"'),
    ("alerts_pass_their_tests", "FAILED", ALERTS, "$labels.account_id", "$labels.account"),
    ("alerts_are_tested_with_recorded_pages", "no recorded page", ALERTS, "removals_held > 0", "removals_kept > 0"),
    ("alerts_are_tested_and_explained", "no test", ALERTS, "alert: DynacrawlThrottled", "alert: DynacrawlSlow"),
    (
        "alerts_are_tested_and_explained",
        "README.md has",
        "prometheus/README.md",
        "| `DynacrawlDown` | Prometheus cannot reach the daemon |\n",
        "",
    ),
    ("alerts_are_tested_and_explained", "severity", ALERTS, "severity: critical", "severity: bad"),
    ("alerts_are_tested_and_explained", "no summary", ALERTS, "summary: dyna", "title: dyna"),
    ("alerts_are_tested_and_explained", "at once", ALERTS, "        for: 15m\n", ""),
    (
        "prometheus_accepts_what_the_readme_says",
        "scrape_config",
        "prometheus/README.md",
        "scrape_configs:",
        "scrape_config:",
    ),
    (
        "prometheus_accepts_what_the_readme_says",
        "alarms.yaml",
        "prometheus/README.md",
        "  - alerts.yaml\n",
        "  - alarms.yaml\n",
    ),
    (
        "prometheus_accepts_what_the_readme_says",
        "PrometheusRule",
        "prometheus/README.md",
        "kind: PrometheusRule",
        "kind: PrometheusRules",
    ),
    ("dashboard_has_only_what_grafana_reads", "legendFromat", DASHBOARD, '"legendFormat"', '"legendFromat"'),
    ("dashboard_has_only_what_grafana_reads", "gridPosition", DASHBOARD, '"gridPos"', '"gridPosition"'),
    ("dashboard_has_only_what_grafana_reads", "lineWeight", DASHBOARD, '"lineWidth"', '"lineWeight"'),
    ("dashboard_has_only_what_grafana_reads", "reducerOptions", DASHBOARD, '"reduceOptions"', '"reducerOptions"'),
    ("dashboard_can_be_imported", "an id", DASHBOARD, '"uid": "dynacrawl"', '"uid": ""'),
    ("dashboard_can_be_imported", "an id", DASHBOARD, '"uid": "dynacrawl",', '"uid": "dynacrawl", "id": 7,'),
    ("dashboard_can_be_imported", "data source", DASHBOARD, '"uid": "${datasource}"', '"uid": "P1809F7CD0C75ACF3"'),
    ("dashboard_can_be_imported", "no variable for", DASHBOARD, '"type": "datasource"', '"type": "custom"'),
    ("dashboard_can_be_imported", "no variable acount", DASHBOARD, "$account", "$acount"),
    ("dashboard_is_laid_out", "occur twice", DASHBOARD, '"id": 3,', '"id": 2,'),
    ("dashboard_is_laid_out", "over the panel", DASHBOARD, '"y": 13', '"y": 12'),
    ("dashboard_is_laid_out", "24 columns", DASHBOARD, '"x": 16', '"x": 20'),
    ("dashboard_is_laid_out", "two of one name", DASHBOARD, '"refId": "B"', '"refId": "A"'),
    ("dashboard_is_laid_out", "no description", DASHBOARD, '"description": "Resident memory."', '"description": ""'),
    ("dashboard_is_laid_out", "no unit", DASHBOARD, '"unit": "bytes"', '"unit": ""'),
]


def broken(way, binary):
    """Breaks deploy/ in this way. Returns the verdict on the check that must find it, and the reason."""
    name, words, file, old, new = way
    function = next(function for function in check.CHECKS if function.__name__ == name)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(shutil.copytree(check.REPOSITORY / "deploy", Path(directory) / "deploy"))
        text = (root / file).read_text() if old else ""
        if old and old not in text:
            return "FAIL", "cannot be broken in this way: the file does not contain the text"
        (root / file).write_text(text.replace(old, new) if old else new)
        try:
            problems = check.found(function, check.Deploy(root, binary))
        except Exception as error:
            return "FAIL", f"{type(error).__name__}: {error}"
    if not problems:
        return "FAIL", "was not found"
    if not any(words in problem for problem in problems):
        return "FAIL", f"was found as something else: {problems}"
    return "ok", ""


# The programs that setup itself calls, without promtool, systemd-analyze, and apt-get to install them.
CALLED = ["bash", "cat", "cmp", "cp", "dirname", "id", "mkdir", "mktemp", "rm", "tail"]


def missing_tools_go_unnoticed():
    """Yields a problem if a check passes, or setup succeeds, although a tool is missing."""

    def needs_a_tool(_):
        check.tool("no-such-tool")
        yield from ()

    if not any("no-such-tool" in problem for problem in check.found(needs_a_tool, None)):
        yield "a check whose tool is missing passes"
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        (here / "tests/deploy").mkdir(parents=True)
        (here / "tests/.servers/deploy").mkdir(parents=True)
        (here / "bin").mkdir()
        for name in ("setup", "requirements.txt"):
            shutil.copy2(Path(__file__).parent / name, here / "tests/deploy")
        shutil.copy2(here / "tests/deploy/requirements.txt", here / "tests/.servers/deploy/installed")
        for name in CALLED:
            (here / "bin" / name).symlink_to(shutil.which(name))
        for tool in ("promtool", "systemd-analyze"):
            result = subprocess.run(
                [here / "bin/bash", here / "tests/deploy/setup"],
                check=False,
                capture_output=True,
                text=True,
                env={"PATH": str(here / "bin")},
            )
            if not result.returncode or f"needs {tool}" not in result.stderr:
                yield f"setup without {tool} ends with {result.returncode}: {result.stderr}"
            (here / "bin" / tool).symlink_to(shutil.which("true"))


def filters_without_a_test_go_unnoticed():
    """Yields a problem if .ci/run accepts a filter that matches no test, which cargo calls a success."""
    script = (check.REPOSITORY / ".ci/run").read_text()
    function = script[script.index("some_tests() {") :]
    function = function[: function.index("\n}") + 2]
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "target").mkdir()
        for passed, ends_well in ((0, False), (3, True)):
            cargo = f"cargo() {{ echo 'test result: ok. {passed} passed; 0 failed; 7 filtered out'; }}"
            command = f"set -euo pipefail\n{cargo}\n{function}\nsome_tests --lib name"
            result = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, cwd=directory)
            if (result.returncode == 0) != ends_well:
                yield f".ci/run ends with {result.returncode} after {passed} tests: {result.stderr}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    binary = sys.argv[1]
    verdicts = []
    # The checks mostly wait for tools.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for way, (verdict, why) in zip(WAYS, pool.map(lambda way: broken(way, binary), WAYS), strict=True):
            verdicts.append(verdict)
            if verdict != "ok":
                print(f"{verdict}\t{way[0]}: {way[2]}: {way[3]!r} as {way[4]!r}: {why}")
    for function in check.CHECKS:
        if function.__name__ not in {way[0] for way in WAYS}:
            verdicts.append("FAIL")
            print(f"FAIL\t{function.__name__}: nothing is broken for it")
    for problem in [*missing_tools_go_unnoticed(), *filters_without_a_test_go_unnoticed()]:
        verdicts.append("FAIL")
        print(f"FAIL\t{problem}")
    print(f"{verdicts.count('ok')} passed, {verdicts.count('FAIL')} failed")
    return 1 if "FAIL" in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
