"""The documents, and comparable responses: peers have plain UUIDs, and PostGraphile names fields its own way."""
import re
from dataclasses import dataclass, field
from pathlib import Path

import generate

QUERIES = Path(__file__).resolve().parent.parent / "queries"


@dataclass(frozen=True)
class Query:
    """A document with its variables. The floor has a handler for its name and reads only the variables."""

    name: str
    document: str
    variables: dict = field(default_factory=dict)


def document(name, **variables):
    """The document of this name; `first` replaces the size of the outermost page."""
    text = " ".join((QUERIES / f"{name}.graphql").read_text().split())
    if "first" in variables:
        text = re.sub(r"first: \d+", f"first: {variables['first']}", text, count=1)
    return Query(name, text, variables)


def nested(depth):
    """Artifacts, their collections, the artifacts of those, …: `depth` relationships, two of each."""
    text = "id"
    for level in range(depth, 0, -1):
        text = f"id {'collections' if level % 2 else 'artifacts'}(first: 2) {{ nodes {{ {text} }} }}"
    return Query(f"depth_{depth}", f"{{ artifacts(first: 10) {{ nodes {{ {text} }} }} }}")


def uuid(type_id):
    """A TypeID as a plain UUID."""
    bits = 0
    for digit in type_id.rpartition("_")[2]:
        bits = bits << 5 | generate.ALPHABET.index(digit)
    text = f"{bits:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def peer_variables(variables):
    """Variables with plain UUIDs."""
    return {name: uuid(value) if name == "id" else value for name, value in variables.items()}


def with_uuids(data):
    """gatherum's data with plain UUIDs."""
    if isinstance(data, dict):
        return {name: uuid(value) if name == "id" else with_uuids(value) for name, value in data.items()}
    return [with_uuids(item) for item in data] if isinstance(data, list) else data


def from_postgraphile(data):
    """PostGraphile's data in gatherum's shape. It cannot sort the collections of an artifact by name: that is done here."""
    if isinstance(data, list):
        return [from_postgraphile(item) for item in data]
    if not isinstance(data, dict):
        return data
    shaped = {}
    for name, value in data.items():
        match name:
            case "rowId":
                shaped["id"] = value
            case "kept":
                shaped["artifactCount"] = sum(int(count["n"]) for count in value["nodes"])
            case "live":
                shaped["artifactCount"] = value["totalCount"]
            case "groups":
                shaped["groupCount"] = value["totalCount"]
            case "collections" if "nodes" in value and value["nodes"] and "collection" in value["nodes"][0]:
                nodes = [from_postgraphile(link["collection"]) for link in value["nodes"]]
                shaped["collections"] = {"nodes": sorted(nodes, key=lambda node: (node["name"], node["id"]))}
            case "artifacts" if "nodes" in value and value["nodes"] and "artifact" in value["nodes"][0]:
                shaped["artifacts"] = {"nodes": [from_postgraphile(link["artifact"]) for link in value["nodes"]]}
            case _:
                shaped[name] = from_postgraphile(value)
    return shaped
