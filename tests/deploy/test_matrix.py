"""The render matrix: every pair of levels of all values, and random ones, in four regions."""
import concurrent.futures
import multiprocessing
import time

import chart
import domain
import kubernetes
import semantics

SEED, RENDERS = 20240101, 10_000


def judge(rows):
    """Renders rows, judges each distinct object and each render; (renders, distinct objects, problems, immutables).

    Helm itself judges the values of rows that are not bare; those hold every pair of levels."""
    judged, shapes, wholes, found, fixed = {}, {}, 0, [], {}
    for region, row, bare in rows:
        values = domain.values(row)
        if bare:
            found += [f"{region} {row}: {p}" for p in chart.unlawful(values)]
        try:
            texts = chart.texts(values, region=region, bare=bare)
        except Exception as error:
            found.append(f"{region} {row}: {error}")
            continue
        whole = []
        for text in texts:
            key, body = chart.parse(text)
            if not body:
                continue
            if key not in judged:
                judged[key] = True
                found += [f"{region} {row}: {p}" for p in kubernetes.problems(body)]
                found += [f"{region} {row}: {body['kind']}/{body['metadata']['name']}: {p}" for p in semantics.of_one(body)]
            whole.append(key)
            if "nameOverride" not in row and "fullnameOverride" not in row and body["kind"] in ("StatefulSet", "Deployment"):
                fixed.setdefault((body["kind"], body["metadata"]["name"]), set()).add(semantics.unchangeable(body))
        if tuple(whole) not in shapes:
            shapes[tuple(whole)] = True
            found += [f"{region} {row}: {p}" for p in semantics.of_all([chart.parsed[key] for key in whole])]
        wholes += 1
        if len(found) > 50:
            break
    return wholes, set(judged), found, fixed, len(shapes)


def test_every_key_has_levels():
    known = {path for path in leaves(chart.loaded().values)} - {"region", "manifest", "enabled"}
    known |= {"zookeeper." + path for path in leaves(subchart())} - {"zookeeper.global.imageRegistry"}
    assert set(domain.KEYS) == known
    for key, levels in domain.LEVELS.items():
        at = chart.loaded().values if not key.startswith("zookeeper.") or key == "zookeeper.enabled" else {"zookeeper": subchart()}
        for part in key.split("."):
            at = at[part]
        assert levels[0] is None or levels[0] == at, f"the first level of {key} is not the default"


def subchart():
    import yaml
    return yaml.safe_load((chart.CHART / "charts/zookeeper/values.yaml").read_text())


OPEN = {"resources", "dashboard.labels"}


def leaves(values, path=""):
    for key, value in values.items():
        inner = f"{path}{key}"
        if isinstance(value, dict) and value and not any(inner.endswith(name) for name in OPEN):
            yield from leaves(value, inner + ".")
        else:
            yield inner


def test_values_of_bare_renders_are_judged():
    assert chart.unlawful({}) == []
    for wrong in [{"brust": {}}, {"burst": {"enabled": "yes"}}, {"zookeeper": {"replica": 3}}]:
        assert chart.unlawful(wrong), wrong


def test_matrix():
    began = time.monotonic()
    rows, paired, refused = domain.plan(SEED, RENDERS)
    rows = [(*row, n >= paired) for n, row in enumerate(rows)]
    parts = [rows[0::2], rows[1::2]]
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(judge, parts))
    seconds = time.monotonic() - began
    renders = sum(result[0] for result in results)
    distinct = set().union(*(result[1] for result in results))
    found = [problem for result in results for problem in result[2]]
    pairs = len(domain.everything())
    print(f"\n{renders} renders in {seconds:.1f} s (seed {SEED}): {len(distinct)} distinct objects, each valid on "
          f"Kubernetes {kubernetes.VERSIONS[0]} to {kubernetes.VERSIONS[-1]}; {pairs - len(refused)} pairs of levels, "
          f"{len(refused)} more are refused; {len(found)} problems")
    assert not found, "\n".join(found[:20])
    assert renders >= 10_000
    assert len(refused) < 200, "the chart refuses more than it should"
    for result in results:
        for name, shapes in result[3].items():
            assert len(shapes) == 1, f"an upgrade would change what cannot be changed of {name}: {shapes}"
    # Less than 60 s on two quiet cores; this bound is for a busy machine, and finds only what got much slower.
    assert seconds < 240


# Where a value shows: by default, or with what it belongs to switched on.
WITH = [
    {},
    {"burst.autoscaler": "keda", "burst.keda.serverAddress": "http://prometheus:9090"},
    {"service.type": "LoadBalancer"},
    {"monitoring.serviceMonitor.enabled": True, "monitoring.rules.enabled": True, "monitoring.dashboard.enabled": True},
    {"zookeeper.enabled": True},
    {"serviceAccount.create": False, "serviceAccount.name": "mine"},
    {"serviceAccount.name": "mine"},
    {"burst.keda.serverAddress": "http://prometheus:9090"},
    {"burst.autoscaler": "none"},
    {"shutdown.lameDuckSeconds": 30},
]


def test_every_value_changes_some_render():
    silent = []
    bases = [chart.values(**context) for context in WITH]
    plain = [chart.texts(base) for base in bases]
    for key, levels in domain.LEVELS.items():
        for level in levels[1:]:
            changed = False
            for base, before in zip(bases, plain):
                values = chart.merge(chart.merge({}, base), chart.nested(key, level))
                region = "apac" if key == "peers" else "us-east"
                try:
                    after = chart.texts(values, region=region)
                except Exception:
                    continue
                if key == "peers":
                    before = chart.texts(base, region=region)
                if after != before:
                    changed = True
                    break
            if not changed:
                silent.append(f"{key}: {level!r}")
    assert not silent, silent
