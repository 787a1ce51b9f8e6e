import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "deploy")]

import pytest  # noqa: E402 (the path comes first)

import fleet  # noqa: E402
import stacks  # noqa: E402


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    return stacks.Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="session")
def provider(workspace):
    with stacks.provider(workspace) as environment:
        yield environment


@pytest.fixture(scope="session")
def fleets(workspace, tmp_path_factory):
    with fleet.applied(workspace, tmp_path_factory.mktemp("fleets")) as jobs:
        yield jobs


@pytest.fixture(scope="session", autouse=True)
def begin_early(request):
    """Most of applying is waiting: it begins with the first test, and the others run meanwhile."""
    if any("fleets" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("fleets")


def pytest_collection_modifyitems(items):
    """Those that wait for the fleets come last."""
    items.sort(key=lambda item: "fleets" in item.fixturenames)
