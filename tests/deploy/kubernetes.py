"""Strict validation against Kubernetes' own schemas (kubernetes-validate) and the operators' (closed, as they are not)."""
import functools
import importlib.resources
import json
import re

import jsonschema_rs

VERSIONS = ["1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}


@functools.cache
def folder(version):
    return importlib.resources.files("kubernetes_validate") / f"kubernetes-json-schema/v{version}.0-local-strict"


@functools.cache
def definitions(version):
    return json.loads((folder(version) / "_definitions.json").read_text())


@functools.cache
def validator(version, api, kind):
    if kind in CUSTOM:
        return jsonschema_rs.validator_for(custom()[kind])
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    file = folder(version) / f"{kind.lower()}-{group}.json"
    assert file.is_file(), f"Kubernetes {version} knows no {api} {kind}"
    text = file.read_text()
    schema = json.loads(text)
    registry = jsonschema_rs.Registry([("http://schemas/api/_definitions.json", definitions(version))])
    schema["$id"] = "http://schemas/api/schema.json"
    return jsonschema_rs.validator_for(schema, registry=registry)


def closed(schema):
    """A schema that refuses what it does not name."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and schema.get("type") == "object":
            schema["additionalProperties"] = False
    elif isinstance(schema, list):
        schema = [closed(value) for value in schema]
    return schema


@functools.cache
def custom():
    from cloudcoil.models.keda import v1alpha1 as keda
    from cloudcoil.models.prometheus_operator import v1 as operator
    models = [operator.ServiceMonitor, operator.PrometheusRule, keda.ScaledObject]
    return {model.__name__: closed(model.model_json_schema(by_alias=True)) for model in models}


def problems(body):
    """What any version says against an object."""
    found = []
    for version in VERSIONS if body["kind"] not in CUSTOM else VERSIONS[:1]:
        for error in validator(version, body["apiVersion"], body["kind"]).iter_errors(body):
            where = "/".join(map(str, error.instance_path))
            found.append(f"{version} {body['kind']}/{body['metadata']['name']}: {where}: {error.message}")
    return found
