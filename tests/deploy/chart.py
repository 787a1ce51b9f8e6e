"""Renders the chart in this process, and parses each distinct object once."""
import copy
import functools
import hashlib
import os
import re

import helm_python
import yaml

from tools import CHART, MANIFEST

# The library is Go, and its garbage collector works for a server's memory by default; it reads this once, when loaded.
os.environ.setdefault("GOGC", "1000")

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
def loaded(ensemble=False):
    """One of each: a render without the subchart takes it out of the chart that it was rendered from."""
    return helm_python.Chart.load(CHART)


@functools.cache
def manifest():
    return MANIFEST.read_text()


@functools.cache
def regions():
    return yaml.safe_load(manifest())["regions"]


def texts(values, region="us-east", text=None, name="meridian", namespace="ids", notes=False):
    """The text of every object, keyed by nothing: templates in order. Raises what Helm raises."""
    whole = {"region": region, "manifest": manifest() if text is None else text} | values
    own = values.get("zookeeper")
    ensemble = isinstance(own, dict) and own.get("enabled") is True
    rendered = loaded(ensemble).render(whole, name=name, namespace=namespace)
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
