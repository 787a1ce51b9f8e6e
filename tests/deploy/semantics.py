"""What schemas miss and an API server, or a night on call, would not: checks of one render as a whole."""
import re

PODS = {"StatefulSet", "Deployment", "Job"}
LABEL = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
UNITS = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text):
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()
    return float(number) * UNITS[unit]


def template(body):
    return body["spec"]["template"] if body["kind"] in PODS else None


def selects(selector, labels):
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for wish in selector.get("matchExpressions") or []:
        if wish["operator"] == "In" and labels.get(wish["key"]) not in wish["values"]:
            return False
    return True


def walk(value, path=()):
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, path + (key,))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from walk(inner, path + (n,))


def of_one(body):
    """Problems of an object by itself."""
    kind, meta, spec = body["kind"], body["metadata"], body.get("spec", {})
    if not NAME.match(meta["name"]):
        yield f"name {meta['name']} is no DNS label of at most 63 characters"
    if kind == "StatefulSet" and len(meta["name"]) > 52:
        yield "its pods' revision label would be longer than 63"
    if not meta.get("namespace"):
        yield "no namespace"
    for path, value in walk(body):
        key = path[-1] if path else None
        if key in ("labels", "matchLabels") and isinstance(value, dict):
            for name, text in value.items():
                if not isinstance(text, str) or not LABEL.match(text):
                    yield f"label {name}: {text!r} is not allowed"
        if key == "annotations" and isinstance(value, dict) and not all(isinstance(t, str) for t in value.values()):
            yield "an annotation is no string"
        if key in ("port", "containerPort", "nodePort") and isinstance(value, int) and not 0 < value < 65536:
            yield f"port {value}"
        if value is None:
            yield f"{'.'.join(map(str, path))} is null"
    if kind == "PodDisruptionBudget" and ("minAvailable" in spec) == ("maxUnavailable" in spec):
        yield "needs one of minAvailable and maxUnavailable"
    if kind == "HorizontalPodAutoscaler":
        if spec["minReplicas"] > spec["maxReplicas"]:
            yield "minReplicas is above maxReplicas"
        if spec["minReplicas"] == 0 and all(metric["type"] == "Resource" for metric in spec["metrics"]):
            yield "minReplicas 0 with only a Resource metric"
    if kind == "ScaledObject":
        if spec["minReplicaCount"] > spec["maxReplicaCount"]:
            yield "minReplicaCount is above maxReplicaCount"
        if spec["minReplicaCount"] == 0 and all(trigger["type"] in ("cpu", "memory") for trigger in spec["triggers"]):
            yield "minReplicaCount 0 with only a CPU trigger"
        for trigger in spec["triggers"]:
            if trigger["type"] == "prometheus" and not float(trigger["metadata"]["threshold"]) > 0:
                yield "a threshold that is always crossed"
    if kind == "Service":
        names = [port.get("name") for port in spec["ports"]]
        if len(set(names)) != len(names):
            yield "two ports of one name"
    if template(body):
        yield from of_pod(body, template(body))


def of_pod(body, template):
    labels, pod = template["metadata"]["labels"], template["spec"]
    selector = body["spec"].get("selector")
    if body["kind"] != "Job" and not selects(selector, labels):
        yield "its selector does not match its own pods"
    if selector and any(part in key for key in selector["matchLabels"] for part in ("chart", "version")):
        yield "its selector holds what an upgrade changes"
    volumes = [volume["name"] for volume in pod.get("volumes", [])]
    volumes += [claim["metadata"]["name"] for claim in body["spec"].get("volumeClaimTemplates", [])]
    if len(set(volumes)) != len(volumes):
        yield "two volumes of one name"
    for constraint in pod.get("topologySpreadConstraints", []):
        if not selects(constraint["labelSelector"], labels):
            yield "a spread constraint that does not count its own pods"
    ports = set()
    for container in pod["containers"]:
        names = [port["name"] for port in container.get("ports", [])]
        numbers = [(port["containerPort"], port["protocol"]) for port in container.get("ports", [])]
        if len(set(names)) != len(names) or len(set(numbers)) != len(numbers):
            yield "two ports of one name or number"
        if any(len(name) > 15 for name in names):
            yield "a port name of more than 15 characters"
        ports |= set(names)
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        if len(set(mounts)) != len(mounts):
            yield "two mounts at one path"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"mount {mount['name']} has no volume"
        for probe in ("livenessProbe", "readinessProbe"):
            asked = container.get(probe, {}).get("httpGet")
            if asked and asked["port"] not in names:
                yield f"{probe} asks port {asked['port']}, which is not there"
            if body["kind"] != "Job" and probe not in container:
                yield f"no {probe}"
        resources = container["resources"]
        for what, request in resources.get("requests", {}).items():
            if what in resources.get("limits", {}) and quantity(request) > quantity(resources["limits"][what]):
                yield f"it requests more {what} than its limit"
        env = [entry["name"] for entry in container.get("env", [])]
        if len(set(env)) != len(env):
            yield "one variable twice"
        for entry in container.get("env", []):
            if ("value" in entry) == ("valueFrom" in entry) or not isinstance(entry.get("value", ""), str):
                yield f"variable {entry['name']} is no string"
        known = dict((entry["name"], entry.get("value")) for entry in container.get("env", []))
        if "MERIDIAN_LAME_DUCK_SECONDS" in known:
            least = int(known["MERIDIAN_LAME_DUCK_SECONDS"]) + int(known["MERIDIAN_DRAIN_SECONDS"]) + 5
            if pod["terminationGracePeriodSeconds"] <= least:
                yield "the grace period is not longer than lame duck, drain and 5 s"
    security = pod["securityContext"]
    if security["runAsUser"] < 10000 or not security["runAsNonRoot"] or pod["automountServiceAccountToken"]:
        yield "runs as somebody, or with a token"


def of_all(objects):
    """Problems between the objects of a render."""
    names = [(o["apiVersion"].split("/")[0], o["kind"], o["metadata"]["name"]) for o in objects]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"{name} stands twice"
    names = {(kind, name) for _, kind, name in names}
    pods = [(o, template(o)["metadata"]["labels"]) for o in objects if template(o)]
    lasting = [(o, labels) for o, labels in pods if o["kind"] != "Job"]
    for body, labels in lasting:
        for other, others in lasting:
            if other is not body and selects(body["spec"]["selector"], others):
                yield f"{body['metadata']['name']} would adopt the pods of {other['metadata']['name']}"
    policies = [o for o in objects if o["kind"] == "NetworkPolicy"]
    budgets = [o for o in objects if o["kind"] == "PodDisruptionBudget"]
    for body, labels in pods:
        name = body["metadata"]["name"]
        pod = template(body)["spec"]
        # Where one policy is, all pods need one; the ensemble's switch is its own.
        for image in {labels["app.kubernetes.io/name"]}:
            mine = [p for p in policies if p["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == image]
            if mine and not any(selects(p["spec"]["podSelector"], labels) for p in mine):
                yield f"no network policy holds the pods of {name}"
        if sum(selects(b["spec"]["selector"], labels) for b in budgets) > 1:
            yield f"two budgets for the pods of {name}: no eviction would be allowed"
        for volume in pod.get("volumes", []):
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in names:
                yield f"{name} mounts a ConfigMap that is not there"
        if body["kind"] == "StatefulSet" and ("Service", body["spec"]["serviceName"]) not in names:
            yield f"{name} has no Service for its names"
    for body in objects:
        kind, name, spec = body["kind"], body["metadata"]["name"], body.get("spec", {})
        if kind == "Service":
            targets = [o for o, labels in lasting if selects({"matchLabels": spec["selector"]}, labels)]
            if not targets:
                yield f"service {name} leads nowhere"
            for target in targets:
                known = {p["name"] for c in template(target)["spec"]["containers"] for p in c["ports"]}
                if not {port["targetPort"] for port in spec["ports"]} <= known:
                    yield f"service {name} leads to a port that {target['metadata']['name']} has not"
            if any(selects({"matchLabels": spec["selector"]}, labels) for o, labels in pods if o["kind"] == "Job"):
                yield f"service {name} leads to a Job"
        if kind == "PodDisruptionBudget":
            if sum(selects(spec["selector"], labels) for _, labels in lasting) != 1:
                yield f"budget {name} is not for one workload"
        if kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])]
            if len(target) != 1:
                yield f"{name} scales what is not there"
            elif "replicas" in target[0]["spec"]:
                yield f"{name} and the chart both own the replicas"
        if kind == "ServiceMonitor":
            services = [o for o in objects if o["kind"] == "Service" and selects(spec["selector"], o["metadata"]["labels"])]
            if len(services) != 1 or spec["endpoints"][0]["port"] not in {p["name"] for p in services[0]["spec"]["ports"]}:
                yield f"{name} monitors nothing, or twice"


def unchangeable(body):
    """What an upgrade cannot change of a workload."""
    spec = body["spec"]
    if body["kind"] == "StatefulSet":
        return repr([spec["selector"], spec["serviceName"], spec["podManagementPolicy"], "volumeClaimTemplates" in spec])
    return repr(spec["selector"]) if body["kind"] == "Deployment" else None
