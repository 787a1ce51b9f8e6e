"""What every value may be, by a few levels each, and which combinations the chart refuses."""
import random

from chart import merge, nested, regions

DIGEST = "sha256:" + "5" * 64
PEER = [{"namespaceSelector": {"matchLabels": {"team": "a"}}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]
TAINT = [{"key": "ids", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, {"operator": "Exists"}]
SMALL = {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi", "ephemeral-storage": "1Gi"}}
LABELS = {"team": "ids", "example.com/tier": "a.b_c-1"}
BOTH = [True, False]

# The first level of each is the default.
LEVELS = {
    "nameOverride": ["", "ids"],
    "fullnameOverride": ["", "ids", "a-name-that-is-much-longer-than-any-name-should-ever-be-x"],
    "global.imageRegistry": ["", "registry.example:5000"],
    "image.registry": ["", "images.example"],
    "image.repository": ["meridian", "platform/ids/meridian"],
    "image.tag": ["", "1.2.3"],
    "image.digest": ["", DIGEST],
    "image.pullPolicy": ["", "IfNotPresent", "Never"],
    "image.pullSecrets": [[], ["registry", "other.registry"]],
    "coordination.authSecret": ["", "zookeeper-identities"],
    "init.enabled": BOTH,
    "peers": [{}, {"us-west": "http://203.0.113.9:8081", "us-east": "https://us-east.example"}],
    "health.ignore": [[], ["ntp_synchronized"], ["ntp_synchronized", "clock_drift_ms"]],
    "regionHoldSeconds": [60, 0, 600],
    "shutdown.lameDuckSeconds": [15, 30, 600],
    "shutdown.drainSeconds": [10, 0, 45],
    "log.filter": ["", "info,meridian=debug"],
    "log.format": ["json", "text", "auto"],
    "probes.liveness.periodSeconds": [10, 30],
    "probes.liveness.timeoutSeconds": [2, 5],
    "probes.liveness.failureThreshold": [3, 6],
    "probes.readiness.periodSeconds": [2, 5],
    "probes.readiness.timeoutSeconds": [2, 1],
    "probes.readiness.failureThreshold": [2, 3],
    "state.sizeLimit": ["16Mi", "1Gi"],
    "network.ipFamily": ["IPv4", "IPv6"],
    "resources": [None, SMALL],
    "podLabels": [{}, LABELS],
    "podAnnotations": [{}, {"example.com/owner": "ids: \"team\" <a@example.com>"}],
    "extraEnv": [[], [{"name": "TZ", "value": "UTC"}, {"name": "RUST_BACKTRACE", "value": "1"}]],
    "nodeSelector": [{}, {"kubernetes.io/arch": "amd64"}],
    "tolerations": [[], TAINT],
    "priorityClassName": ["", "high"],
    "spread.core": ["DoNotSchedule", "ScheduleAnyway"],
    "spread.burst": ["ScheduleAnyway", "DoNotSchedule"],
    "burst.enabled": BOTH,
    "burst.replicas": [1, 0, 2],
    "burst.autoscaler": ["hpa", "keda", "none"],
    "burst.ceiling": ["surge", "quota"],
    "burst.cpuUtilization": [70, 100],
    "burst.latency.enabled": BOTH,
    "burst.latency.target": ["5m", "1"],
    "burst.overflow.enabled": BOTH,
    "burst.overflow.target": ["10m", "1"],
    "burst.scaleUp.percent": [50, 100],
    "burst.scaleUp.periodSeconds": [60, 15],
    "burst.scaleUp.stabilizationSeconds": [60, 0],
    "burst.scaleDown.percent": [10, 100],
    "burst.scaleDown.periodSeconds": [60, 1800],
    "burst.scaleDown.stabilizationSeconds": [300, 3600],
    "burst.keda.serverAddress": ["", "http://prometheus.monitoring.svc:9090"],
    "burst.keda.pollingInterval": [15, 60],
    "standby.replicas": [1, 0, 4],
    "disruption.enabled": BOTH,
    "disruption.core": [1, "34%"],
    "disruption.burst": [1, 2],
    "service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
    "service.annotations": [{}, {"example.com/lb": "nlb"}],
    "service.trafficDistribution": ["PreferClose", "PreferSameZone", "PreferSameNode"],
    "service.externalTrafficPolicy": ["Cluster", "Local"],
    "service.loadBalancerClass": ["", "example.com/nlb"],
    "service.loadBalancerSourceRanges": [[], ["192.0.2.0/24", "2001:db8::/32"]],
    "networkPolicy.enabled": BOTH,
    "networkPolicy.clients": [[], PEER],
    "networkPolicy.monitoring": [[], PEER],
    "networkPolicy.extraEgress": [[], [{"ports": [{"port": 123, "protocol": "UDP"}], "to": PEER}, {"ports": [{"port": 443, "protocol": "TCP"}]}]],
    "serviceAccount.create": BOTH,
    "serviceAccount.name": ["", "ids"],
    "serviceAccount.annotations": [{}, {"example.com/role": "arn:x"}],
    "monitoring.serviceMonitor.enabled": [False, True],
    "monitoring.serviceMonitor.interval": ["15s", "1m"],
    "monitoring.serviceMonitor.labels": [{}, LABELS],
    "monitoring.rules.enabled": [False, True],
    "monitoring.rules.labels": [{}, LABELS],
    "monitoring.rules.utilizationWarning": [0.5, 0.25],
    "monitoring.rules.utilizationCritical": [0.8, 1],
    "monitoring.rules.queueDepth": [1000, 1000000],
    "monitoring.dashboard.enabled": [False, True],
    "monitoring.dashboard.labels": [None, LABELS],
    "test.rate": [1000, 1000000],
    "test.seconds": [5, 600],
    "zookeeper.enabled": [False, True],
    "zookeeper.replicas": [3, 5],
    "zookeeper.image.registry": ["", "images.example"],
    "zookeeper.image.repository": ["zookeeper", "library/zookeeper"],
    "zookeeper.image.tag": ["", "3.9.4"],
    "zookeeper.image.digest": ["", DIGEST],
    "zookeeper.image.pullPolicy": ["", "IfNotPresent", "Never"],
    "zookeeper.image.pullSecrets": [[], ["registry"]],
    "zookeeper.tickTime": [500, 2000],
    "zookeeper.heapMegabytes": [512, 4096],
    "zookeeper.resources": [None, SMALL],
    "zookeeper.persistence.size": ["10Gi", "100Gi"],
    "zookeeper.persistence.storageClass": ["", "fast"],
    "zookeeper.podAnnotations": [{}, {"example.com/owner": "ids"}],
    "zookeeper.nodeSelector": [{}, {"disk": "ssd"}],
    "zookeeper.tolerations": [[], TAINT],
    "zookeeper.priorityClassName": ["", "high"],
    "zookeeper.spread": ["DoNotSchedule", "ScheduleAnyway"],
    "zookeeper.networkPolicy.enabled": BOTH,
}
KEYS = list(LEVELS)


def lawful(row, region):
    """The row with what the chart refuses replaced; a row is {key: level number}, and what is missing is the default."""
    row = dict(row)
    at = lambda key: LEVELS[key][row.get(key, 0)]
    workers = regions()[region]["workers"]
    room = workers[at("burst.ceiling")] - workers["static"]
    if at("burst.replicas") > room and room > 0:
        row["burst.replicas"] = 0
    watched = at("burst.latency.enabled") or at("burst.overflow.enabled")
    if at("burst.replicas") == 0 and (at("burst.autoscaler") == "hpa" or at("burst.autoscaler") == "keda" and not watched):
        row["burst.replicas"] = 0
    if at("burst.autoscaler") == "keda" and watched:
        row["burst.keda.serverAddress"] = 1
    notice = at("probes.readiness.periodSeconds") * at("probes.readiness.failureThreshold")
    if notice + at("probes.readiness.timeoutSeconds") + 3 > at("shutdown.lameDuckSeconds"):
        row["shutdown.lameDuckSeconds"] = 1
    if region in at("peers"):
        row["peers"] = 0
    if not at("serviceAccount.create"):
        row["serviceAccount.name"] = 1
    return row


def values(row):
    whole = {}
    for key, level in row.items():
        value = LEVELS[key][level]
        if value is not None:  # None: what values.yaml says
            merge(whole, nested(key, value))
    return whole


def pairs(row):
    """Every pair of levels in a row that names all keys."""
    seen = sorted((key, row.get(key, 0)) for key in KEYS)
    return {(a, b) for i, a in enumerate(seen) for b in seen[i + 1:]}


def everything():
    return {(a, b) for i, key in enumerate(sorted(KEYS)) for a in [(key, n) for n in range(len(LEVELS[key]))]
            for other in sorted(KEYS)[i + 1:] for b in [(other, m) for m in range(len(LEVELS[other]))]}


def plan(seed, renders):
    """(rows, how many of them hold every lawful pair, pairs that the chart refuses): rows of (region, row), the paired ones
    first, then random ones."""
    rng = random.Random(seed)
    names = sorted(regions())
    rows, missing = [], everything()
    for n in range(64):
        for region in names:
            row = lawful({key: rng.randrange(len(LEVELS[key])) for key in KEYS}, region)
            rows.append((region, row))
            missing -= pairs(row)
    refused = set()
    for pair in sorted(missing):
        lawfully = [(region, lawful(dict(pair), region)) for region in names]
        kept = [(region, row) for region, row in lawfully if all(row.get(key, 0) == level for key, level in pair)]
        if kept:
            rows.append(kept[0])
        else:
            refused.add(pair)
    paired = len(rows)
    while len(rows) < renders:
        some = rng.sample(KEYS, rng.randint(1, 4))
        row = {key: rng.randrange(len(LEVELS[key])) for key in some}
        rows += [(region, lawful(row, region)) for region in names]
    return rows, paired, refused
