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


@pytest.fixture(scope="session", autouse=True)
def fleets(workspace, tmp_path_factory):
    """Begins with the first test, because most of it is waiting; the others run meanwhile."""
    with fleet.applied(workspace, tmp_path_factory.mktemp("fleets")) as jobs:
        yield jobs


def pytest_collection_modifyitems(items):
    """Those that wait for the fleets come last."""
    items.sort(key=lambda item: "fleets" in getattr(item.function, "__code__").co_varnames[:item.function.__code__.co_argcount])
