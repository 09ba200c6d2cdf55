"""The commands of this package, for `python -m cluster` and for `mixfleet`."""

from __future__ import annotations

from cluster.command_line import Command

FLEET, CLUSTER = "Fleet files", "Cluster"

COMMANDS = (
    Command(
        "validate",
        "cluster.fleet_commands:validate",
        FLEET,
        "cluster validate",
        "Check a fleet file and print every error with its line.\n\n"
        "Exits with 2 where the file is not valid.\n\n"
        "For example: mixfleet validate my-fleet.yaml",
    ),
    Command(
        "show",
        "cluster.fleet_commands:show",
        FLEET,
        "cluster show",
        "Print a fleet with every default filled in, and the Ray resources of each replica.\n\n"
        "For example: mixfleet show h200 > my-fleet.yaml",
    ),
    Command(
        "prepare",
        "cluster.fleet_commands:prepare",
        FLEET,
        "cluster prepare",
        "Download and convert the embedded checkpoints of a fleet.\n\n"
        "Checkpoints of the Hugging Face Hub are left to vLLM.",
    ),
    Command(
        "kuberay",
        "cluster.fleet_commands:kuberay",
        FLEET,
        "cluster kuberay",
        "Print a fleet as a RayService of KubeRay, for Kubernetes and OpenShift.\n\n"
        "For example: mixfleet kuberay h200 --registry quay.io/you | kubectl apply -f -",
    ),
    Command(
        "key",
        "cluster.fleet_commands:key",
        FLEET,
        "cluster key",
        "Generate an API key for a tenant, and its SHA-256 digest for the fleet file.\n\nThe key is stored nowhere.",
    ),
    Command(
        "status",
        "cluster.status:status",
        CLUSTER,
        "cluster status",
        "Print the nodes of the running Ray cluster and the pools and replicas of its fleet.\n\n"
        "Exits with 1 where no Ray cluster runs.",
    ),
    Command(
        "doctor",
        "cluster.doctor:doctor",
        CLUSTER,
        "cluster doctor",
        "Check what this machine or its Ray cluster can run, and print how to get what is missing.\n\n"
        "Exits with 1 where the embedded fleet cannot run.",
    ),
    Command(
        "local",
        "cluster.fleet_commands:local",
        CLUSTER,
        "cluster local",
        "Print the cluster file in which processes stand for machines: cluster/local.yaml.\n\n"
        "For example: mixfleet local > cluster/local.yaml && ray up -y cluster/local.yaml",
    ),
)
