"""The closed schema: every misspelling is refused, and every rule has a case that must fail."""
import re

import helm_python
import pytest

import chart

SCHEMA = chart.loaded().schema


def resolved(schema):
    return SCHEMA["definitions"][schema["$ref"].split("/")[-1]] if "$ref" in schema else schema


def refusal(values):
    with pytest.raises(helm_python.HelmValuesError) as refused:
        chart.texts(values)
    return str(refused.value)


def misspelt(word):
    """Every word at one letter's distance: one lost, doubled, wrong, or two exchanged."""
    for n in range(len(word)):
        yield word[:n] + word[n + 1:]
        yield word[:n] + word[n] + word[n:]
        yield word[:n] + ("x" if word[n] != "x" else "y") + word[n + 1:]
        if n + 1 < len(word):
            yield word[:n] + word[n + 1] + word[n] + word[n + 2:]


def maps(schema, path=()):
    """(path, keys) of every map with keys of its own, also inside lists."""
    schema = resolved(schema)
    if schema.get("additionalProperties") is False:
        yield path, list(schema["properties"])
    for key, inner in schema.get("properties", {}).items():
        yield from maps(inner, path + (key,))
    if "items" in schema:
        yield from maps(schema["items"], path + (0,))


def at(path, value):
    for key in reversed(path):
        value = [value] if key == 0 else {key: value}
    return value


def test_every_misspelling_is_refused():
    count = 0
    for path, keys in maps(SCHEMA):
        words = {word for key in keys for word in misspelt(key)} - set(keys) - {""}
        said = refusal(at(path, {word: "x" for word in words}))
        for word in words:
            assert f"'{word}'" in said, f"{'.'.join(map(str, path))}.{word} was taken"
            count += 1
    print(f"\n{count} misspellings refused")
    assert count > 4_000


SAMPLES = {"string": "text", "integer": 3, "number": 0.5, "boolean": True, "array": [], "object": {}}
WRONG = ["§ §", "", "a" * 400, "sha256:xyz", "-", 10**9, -1]


def accepts(schema, value):
    """Whether a schema takes a scalar; enough of JSON Schema for these."""
    import jsonschema_rs
    return jsonschema_rs.is_valid(schema | {"definitions": SCHEMA["definitions"]}, value)


def violations(schema, path=()):
    """(path, rule, value that breaks that rule) for every rule of the schema."""
    schema = resolved(schema)
    if "type" in schema:
        yield path, "type", {"string": 3, "array": "text", "object": "text"}.get(schema["type"], "text")
    if "enum" in schema or "const" in schema:
        yield path, "enum", "nothing-like-it"
    if "minimum" in schema:
        yield path, "minimum", schema["minimum"] - 1
    if "exclusiveMinimum" in schema:
        yield path, "exclusiveMinimum", schema["exclusiveMinimum"]
    if "maximum" in schema:
        yield path, "maximum", schema["maximum"] + 1
    if "pattern" in schema:
        yield path, "pattern", next(text for text in WRONG if isinstance(text, str) and not re.search(schema["pattern"], text))
    if "maxLength" in schema:
        yield path, "maxLength", "a" * (schema["maxLength"] + 1)
    if schema.get("additionalProperties") is False:
        yield path, "additionalProperties", {"noSuchKey": 1}
    elif isinstance(schema.get("additionalProperties"), dict):
        for inner, rule, value in violations(schema["additionalProperties"]):
            yield path, "additionalProperties." + rule, {"key": value}
    if "propertyNames" in schema:
        yield path, "propertyNames", {"-": "x"}
        for part in schema["propertyNames"].get("allOf", []):
            words, tail = re.match(r"\^\((.*)\)(/?)$", part["not"]["pattern"]).groups() if "not" in part else ("", "")
            for word in words.split("|") if words else []:  # names that are the chart's own
                name = word.replace("\\", "").rstrip("$") + tail
                yield path, "propertyNames", {name + "x" * name.endswith("/"): "x"}
    if "anyOf" in schema:
        yield path, "anyOf", next(value for value in WRONG if not accepts(schema, value))
    if schema.get("uniqueItems"):
        one = resolved(schema["items"]).get("enum", ["192.0.2.0/24"])[0]
        yield path, "uniqueItems", [one, one]
    if "minItems" in schema:
        yield path, "minItems", []
    if "minProperties" in schema:
        yield path, "minProperties", {}
    for key in schema.get("required", []):
        if 0 not in path:  # a null takes the default away
            yield path, f"required.{key}", {key: None}
        elif key != "name":
            yield path, f"required.{key}", {}
    for key, inner in schema.get("properties", {}).items():
        yield from violations(inner, path + (key,))
    if "items" in schema:
        yield from violations(schema["items"], path + (0,))


def test_every_rule_refuses():
    count = 0
    for path, rule, value in violations(SCHEMA):
        if not path and rule == "type" or path == ("zookeeper", "global"):
            continue
        said = refusal(at(path, value))
        where = "at '/" + "/".join(map(str, path)) if rule != "propertyNames" else "invalid propertyName"
        assert where in said or not path, f"{path} {rule} {value!r}: {said}"
        if rule.startswith("required."):
            assert f"'{rule.split('.', 1)[1]}'" in said, f"{path} {rule}: {said}"
        count += 1
    print(f"\n{count} rules of the schema, each with a value that it refuses")
    assert count > 400


def test_the_subchart_refuses_by_itself():
    """Its rules stand in the chart's own schema, so that they hold while it is off as well."""
    for values in [{"enabled": False, "replicas": 4}, {"enabled": True, "replicas": 4}, {"enabled": False, "tickTme": 1}]:
        assert "/zookeeper" in refusal({"zookeeper": values}) or "replicas" in refusal({"zookeeper": values})


def test_umbrella_charts_may_share_what_they_like():
    assert chart.texts({"global": {"imageRegistry": "", "other": {"of": "theirs"}}, "enabled": True})
