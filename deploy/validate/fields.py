"""The fields that a function configuration may have, and what each holds; read from Nuclio 1.15's source.

Where Nuclio takes a structure of Kubernetes over, its fields are those of Kubernetes. Structures that none of our
functions needs (`dataBindings`, `affinity`, `sidecars` and the like) are known by name only.
"""

from __future__ import annotations

from deploy.validate.checks import (
    FLAG,
    LIST,
    MAP,
    TEXT,
    WHOLE,
    all_of,
    duration,
    fields,
    list_of,
    map_of,
    matching,
    one_of,
)

RUNTIMES = ("python:3.10", "python:3.11", "python:3.12")
QUANTITY = matching(r"\d+(\.\d+)?(m|k|[KMGTPE]i?)?", "a quantity such as 4Gi or 500m")
ENV_NAME = matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable")
INSTRUCTIONS = (
    "RUN",
    "ENV",
    "USER",
    "COPY",
    "ADD",
    "WORKDIR",
    "ARG",
    "LABEL",
    "SHELL",
    "VOLUME",
    "EXPOSE",
    "STOPSIGNAL",
)
"""Of a Dockerfile, as far as a directive may be one; CMD is Nuclio's own."""

_AMOUNTS = map_of(
    QUANTITY,
    r"cpu|memory|ephemeral-storage|hugepages-\w+|(nvidia|amd)\.com/gpu|nvidia\.com/mig-[\w.]+|gpu\.intel\.com/\w+",
    "cpu, memory, nvidia.com/gpu or the like",
)
RESOURCES = fields({**all_of(_AMOUNTS, "limits requests"), "claims": LIST})
SECURITY = fields(
    {
        **all_of(WHOLE, "runAsUser runAsGroup fsGroup"),
        "runAsNonRoot": FLAG,
        **all_of(TEXT, "fsGroupChangePolicy supplementalGroupsPolicy seLinuxChangePolicy"),
        **all_of(LIST, "supplementalGroups sysctls"),
        **all_of(MAP, "seccompProfile seLinuxOptions windowsOptions appArmorProfile"),
    }
)
PROBE = fields(
    {
        **all_of(MAP, "httpGet tcpSocket exec grpc"),
        **all_of(
            WHOLE,
            "initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold"
            " terminationGracePeriodSeconds",
        ),
    }
)
VOLUME = fields(
    {
        "volume": fields(
            {
                "name": TEXT,
                "hostPath": fields(all_of(TEXT, "path type"), "path"),
                **all_of(
                    MAP,
                    "emptyDir configMap secret persistentVolumeClaim projected csi ephemeral nfs downwardAPI image"
                    " flexVolume iscsi cephfs rbd glusterfs azureFile azureDisk gcePersistentDisk awsElasticBlockStore",
                ),
            },
            "name",
        ),
        "volumeMount": fields(
            {
                **all_of(TEXT, "name mountPath subPath subPathExpr mountPropagation recursiveReadOnly"),
                "readOnly": FLAG,
            },
            "name mountPath",
        ),
    },
    "volume volumeMount",
)
ENV = fields(
    {
        "name": ENV_NAME,
        "value": TEXT,
        "valueFrom": fields(all_of(MAP, "fieldRef configMapKeyRef secretKeyRef resourceFieldRef")),
    },
    "name",
)
ENV_FROM = fields({"prefix": TEXT, **all_of(MAP, "configMapRef secretRef")})
TOLERATION = fields({**all_of(TEXT, "key operator value effect"), "tolerationSeconds": WHOLE})
SCALE_TO_ZERO = fields(
    {"scaleResources": list_of(fields({"metricName": TEXT, "windowSize": duration, "threshold": WHOLE}))}
)

DIRECTIVE = fields({"kind": one_of(*INSTRUCTIONS), "value": TEXT}, "kind value")
BUILD = fields(
    {
        **all_of(
            TEXT,
            "path functionSourceCode functionConfigPath tempDir registry baseImageRegistry image baseImage"
            " onbuildImage codeEntryType builderServiceAccount",
        ),
        "mode": one_of("", "alwaysBuild", "neverBuild"),
        **all_of(FLAG, "noBaseImagesPull noCache noCleanup offline"),
        **all_of(list_of(TEXT), "commands scriptPaths dependencies flags"),
        "directives": fields(all_of(list_of(DIRECTIVE), "preCopy postCopy")),
        **all_of(MAP, "runtimeAttributes codeEntryAttributes"),
        **all_of(map_of(TEXT), "addedPaths args"),
        **all_of(WHOLE, "timestamp buildTimeoutSeconds"),
    }
)

HTTP = fields(
    {
        **all_of(WHOLE, "port readBufferSize maxRequestBodySize"),
        "serviceType": one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
        **all_of(MAP, "ingresses cors"),
        **all_of(FLAG, "reduceMemoryUsage disablePortPublishing"),
    }
)
TRIGGER = {
    **all_of(TEXT, "class kind name url username password secret workerAllocatorName explicitAckMode mode"),
    "workerTerminationTimeout": duration,
    **all_of(WHOLE, "numWorkers maxWorkers workerAvailabilityTimeoutMilliseconds"),
    "disabled": FLAG,
    "paths": list_of(TEXT),
    "partitions": LIST,
    "annotations": map_of(TEXT),
    "batch": fields({"mode": TEXT, "batchSize": WHOLE, "timeout": duration}),
    **all_of(MAP, "attributes async"),
}
RESTART = fields({"name": one_of("no", "always", "on-failure", "unless-stopped"), "maximumRetryCount": WHOLE}, "name")
PLATFORM = fields(
    {
        "attributes": fields(
            {**all_of(TEXT, "network mountMode"), "healthCheckInterval": duration, "restartPolicy": RESTART}
        )
    }
)

SPEC = fields(
    {
        **all_of(
            TEXT,
            "description image imageHash alias runRegistry imagePullSecrets dealerURI serviceAccount"
            " nodeName priorityClassName preemptionMode runtimeClassName",
        ),
        "handler": matching(r"[\w.-]+:\w+", "module:function, such as main:handler"),
        "runtime": one_of(*RUNTIMES),
        "serviceType": one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
        "imagePullPolicy": one_of("Always", "IfNotPresent", "Never"),
        "preemptionPolicy": one_of("Never", "PreemptLowerPriority"),
        **all_of(duration, "eventTimeout streamChunkTimeout"),
        **all_of(
            FLAG,
            "disable publish disableDefaultHTTPTrigger disableSensitiveFieldsMasking hostIPC"
            " waitReadinessTimeoutBeforeFailure",
        ),
        **all_of(WHOLE, "replicas minReplicas maxReplicas targetCPU version readinessTimeoutSeconds"),
        "env": list_of(ENV),
        "envFrom": list_of(ENV_FROM),
        "volumes": list_of(VOLUME),
        "loggerSinks": list_of(fields(all_of(TEXT, "level sink"))),
        "tolerations": list_of(TOLERATION),
        **all_of(list_of(MAP), "customScalingMetricSpecs autoScaleMetrics sidecars initContainers"),
        "devices": LIST,
        "resources": RESOURCES,
        "triggers": map_of(fields(TRIGGER, "kind")),
        "build": BUILD,
        "platform": PLATFORM,
        "securityContext": SECURITY,
        "scaleToZero": SCALE_TO_ZERO,
        "nodeSelector": map_of(TEXT),
        **all_of(PROBE, "readinessProbe livenessProbe"),
        **all_of(MAP, "dataBindings runtimeAttributes affinity deploymentStrategy"),
    },
    "description handler runtime",
)

NUCLIO_LABELS = ("nuclio.io/project-name", "nuclio.io/function-name", "nuclio.io/app", "nuclio.io/class")
METADATA = fields(
    {
        "name": matching(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "lower-case letters, digits and dashes"),
        **all_of(TEXT, "namespace resourceVersion"),
        "labels": map_of(
            TEXT, rf"(?!nuclio\.io/)[\w.-]+(/[\w.-]+)?|{'|'.join(NUCLIO_LABELS)}", f"one of {', '.join(NUCLIO_LABELS)}"
        ),
        "annotations": MAP,
    },
    "name annotations",
)
TOP = fields(
    {
        "apiVersion": one_of("nuclio.io/v1", "nuclio.io/v1beta1"),
        "kind": one_of("NuclioFunction"),
        "metadata": METADATA,
        "spec": SPEC,
    },
    "apiVersion kind metadata spec",
)
