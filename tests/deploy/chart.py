"""Renders the chart in this process, and parses each distinct object once."""
import copy
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile

import helm_python
import jsonschema_rs
import yaml

from tools import CHART, MANIFEST

# The library is Go, and its garbage collector works for a server's memory by default; it reads this once, when loaded.
os.environ.setdefault("GOGC", "1000")

SCHEMA = "values.schema.json"
SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)


class Loader(yaml.CSafeLoader):
    """YAML whose keys stand once: Kubernetes would take the last and say nothing."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1} if len(set(keys)) != len(keys) else ()
        if twice:
            raise yaml.YAMLError(f"{sorted(twice)} stand twice at {node.start_mark}")
        return super().construct_mapping(node, deep)


@functools.cache
def loaded(ensemble=False, bare=False):
    """One of each: a render without the subchart takes it out of the chart that it was rendered from. A bare one has no
    schemas: Helm compiles them again for each render, which is half of its work."""
    if not bare:
        return helm_python.Chart.load(CHART)
    with tempfile.TemporaryDirectory() as folder:
        copied = shutil.copytree(CHART, pathlib.Path(folder) / CHART.name, ignore=shutil.ignore_patterns(SCHEMA))
        return helm_python.Chart.load(copied)


@functools.cache
def schemas():
    """The chart's schema and the subchart's, compiled once."""
    paths = CHART / SCHEMA, CHART / "charts/zookeeper" / SCHEMA
    return [jsonschema_rs.validator_for(json.loads(path.read_text())) for path in paths]


def unlawful(values):
    """What the schemas say against values, on top of the defaults as Helm lays them."""
    own, ensemble = schemas()
    whole = loaded(ensemble=True).merge_values(values)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in [*own.iter_errors(whole), *ensemble.iter_errors(whole["zookeeper"])]]


@functools.cache
def manifest():
    return MANIFEST.read_text()


@functools.cache
def regions():
    return yaml.safe_load(manifest())["regions"]


def texts(values, region="us-east", text=None, name="meridian", namespace="ids", notes=False, bare=False):
    """The text of every object, keyed by nothing: templates in order. Raises what Helm raises; if bare, the schemas were
    judged elsewhere."""
    whole = {"region": region, "manifest": manifest() if text is None else text} | values
    own = values.get("zookeeper")
    ensemble = isinstance(own, dict) and own.get("enabled") is True
    rendered = loaded(ensemble, bare).render(whole, name=name, namespace=namespace)
    if notes:
        return next(text for path, text in rendered.items() if path == "meridian/templates/NOTES.txt")
    parts = (part for path, text in sorted(rendered.items()) if not path.endswith(".txt")
             for part in SEPARATOR.split(text))
    return [part for part in parts if part.strip()]


parsed = {}


def parse(text):
    """(digest, object) of an object's text as Kubernetes' own parser reads it; empty for one that is only comments."""
    key = hashlib.sha1(text.encode()).digest()
    if key not in parsed:
        parsed[key] = helm_python.values_from_yaml(text)
    return key, parsed[key]


def objects(values, **how):
    """Every object of a render."""
    return [body for _, body in map(parse, texts(values, **how)) if body]


def find(objects, kind, suffix=""):
    """The one object of a kind whose name ends so."""
    found = [o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, f"{len(found)} of kind {kind} named …{suffix}"
    return found[0]


def nested(path, value):
    """burst.replicas, 3 → {"burst": {"replicas": 3}}"""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def merge(into, other):
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
    return into


def values(**flat):
    """values(**{"burst.replicas": 3}) → nested values."""
    whole = {}
    for path, value in flat.items():
        merge(whole, nested(path, value))
    return whole
