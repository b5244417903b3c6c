"""Loading of data sets from a local server that simulates the Hub."""

import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.hub_server import HubServer

SCRIPT = """
import json, sys
from kit.data.sources import load_splits
from kit.errors import DataError
from kit.recipe import DataSection
for section in json.loads(sys.argv[1]):
    try:
        splits = load_splits(DataSection(**section))
        result = [splits.labels, splits.revision, len(splits.train), splits.test.labels, splits.description]
    except DataError as error:
        result = [error.message, error.hint]
    print(json.dumps(result))
"""


def parquet(labels: list[int]) -> bytes:
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["bad", "good"], "_type": "ClassLabel"},
    }
    table = pa.table({"text": [f"text {i}" for i in range(len(labels))], "label": labels})
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), buffer)
    return buffer.getvalue()


SEVERAL = b"""---
configs:
- {config_name: en, data_files: [{split: train, path: data/train*}, {split: test, path: data/test*}]}
- {config_name: de, data_files: [{split: train, path: data/test*}]}
---
"""
DATA = {"data/train-00000-of-00001.parquet": parquet([0, 1] * 10), "data/test-00000-of-00001.parquet": parquet([0, 1])}
REPOSITORIES = {
    "user/reviews": {"README.md": b"---\nlicense: mit\n---\n", **DATA},
    "user/several": {"README.md": SEVERAL, **DATA},
    "user/hidden": {"README.md": b"", **DATA, "data/test-00000-of-00001.parquet": parquet([-1, -1])},
    "user/script": {"README.md": b"", "script.py": b"import os"},
}


@pytest.fixture(scope="module")
def results(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[object]]]:
    """Return the results of loading with the Hub, and then offline with the same cache."""
    for name, files in REPOSITORIES.items():
        hub.add_dataset(name, files)
    environment = {**os.environ, **hub.environment(tmp_path_factory.mktemp("hub"))}

    def load(*sections: dict[str, str]) -> list[list[object]]:
        command = [sys.executable, "-c", SCRIPT, json.dumps(sections)]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""
        return [json.loads(line) for line in process.stdout.splitlines()]

    online = load(
        {"source": "user/reviews"},
        {"source": "user/several", "config": "en"},
        {"source": "user/several"},
        {"source": "user/several", "config": "fr"},
        {"source": "user/hidden"},
        {"source": "user/script"},
        {"source": "user/nothing"},
        {"source": "user/reviews", "revision": "v9"},
    )
    environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    offline = load(
        {"source": "user/reviews"}, {"source": "user/reviews", "revision": "c" * 40}, {"source": "user/other"}
    )
    return {"online": online, "offline": offline}


def expected(hub: HubServer, name: str) -> list[object]:
    """Return the result of loading a valid data set."""
    description = f"{name}, 20 training rows, test: split 'test' of {name}, 2 rows"
    return [["bad", "good"], hub.repositories[f"datasets/{name}"].at("main").oid, 20, [["bad"], ["good"]], description]


def test_class_names_and_commit_are_read(hub: HubServer, results: dict[str, list[list[object]]]) -> None:
    assert results["online"][0] == expected(hub, "user/reviews")
    assert results["online"][1] == expected(hub, "user/several")


def test_errors_of_the_hub_have_one_line(results: dict[str, list[list[object]]]) -> None:
    unnamed, unknown, hidden, script, nothing, revision = results["online"][2:]
    assert unnamed == ["data.config: user/several has several (en, de)", "set data.config to one"]
    assert unknown[0] == "data.config: the data set user/several has no configuration fr (en, de)"
    assert hidden[0] == "data.test_split: no example of split 'test' of user/hidden has a label"
    assert script[0] == "data.source: the data set user/script is read by a script, which `datasets` does not run"
    assert nothing[0] == "data.source: user/nothing is neither a local path nor a data set on the Hub that you can read"
    assert revision[0] == "data.revision: the data set user/reviews has no revision v9"


def test_cached_copy_is_used_offline(hub: HubServer, results: dict[str, list[list[object]]]) -> None:
    cached, elsewhere, other = results["offline"]
    assert cached == expected(hub, "user/reviews")
    assert elsewhere[0] == (
        f"data.revision: cannot reach the Hub, and the copy of user/reviews on this machine is {cached[1]}"
    )
    assert other == [
        "data.source: there is no file user/other, and the Hub, where it may be a data set, cannot be reached",
        "check the path; for a data set on the Hub, check the network and the id",
    ]
