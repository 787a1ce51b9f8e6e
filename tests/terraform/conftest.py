import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "deploy")]

import pytest  # noqa: E402 (the path comes first)

import stacks  # noqa: E402


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    return stacks.Workspace(tmp_path_factory.mktemp("workspace"))
