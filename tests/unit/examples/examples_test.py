"""The VMConversions of examples/ and of the documentation, held against the schema of their definition.

An API server drops what a schema does not name without a word, so here that is an error too.
"""
import glob
import os
import re
import sys

import jsonschema
import yaml

root = sys.argv[1]
with open(os.path.join(root, "crds/vmconversions.hyper2kvm.io.yaml")) as file:
    definition = yaml.safe_load(file)
version = definition["spec"]["versions"][0]
schema = version["schema"]["openAPIV3Schema"]


def strict(node):
    """The schema with every object closed that does not say what else it takes."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: strict(value) for key, value in node.items()}
    if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        closed["additionalProperties"] = False
    return closed


validator = jsonschema.Draft7Validator(strict(schema))


def faults(document):
    # Kubernetes' own part of an object is not the definition's.
    document = {**document, "metadata": {}}
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(document)]


def documents():
    """(where, object) of each VMConversion."""
    for path in sorted(glob.glob(os.path.join(root, "examples/kubernetes/*.yaml"))):
        with open(path) as file:
            for document in yaml.safe_load_all(file):
                yield os.path.basename(path), document


failed = False


def check(text, holds, detail=""):
    global failed
    print(f"{'ok     ' if holds else 'FAILED '} {text} {detail}")
    failed = failed or not holds


found = list(documents())
check("there are examples", len(found) >= 4)
names = set()
for where, document in found:
    spec = document.get("spec", {})
    check(f"{where} is a VMConversion", document.get("kind") == "VMConversion"
          and document.get("apiVersion") == f"{definition['spec']['group']}/{version['name']}")
    problems = faults(document)
    check(f"{where} fits the schema", not problems, "; ".join(problems))
    # What the definition says in rules that jsonschema does not know.
    source, output = spec.get("source", {}), spec.get("output", {})
    check(f"{where} names a path or disks", ("path" in source) != ("disks" in source))
    ways = {"persistentVolumeClaim", "volumeClaimTemplate", "diskClaimTemplates"} & set(output)
    check(f"{where} names one way for its disks", len(ways) == 1)
    check(f"{where} has a name of its own", document["metadata"]["name"] not in names)
    names.add(document["metadata"]["name"])

# A schema that takes everything would please every example.
wrong = [
    {"spec": {}},
    {"spec": {**found[0][1]["spec"], "pipelines": {}}},
    {"spec": {**found[0][1]["spec"], "pipeline": {"validate": {"boot": {"timeout_seconds": 9}}}}},
    {"spec": {**found[0][1]["spec"], "pipeline": {"validate": {"boot": {"enabled": "yes"}}}}},
]
for number, document in enumerate(wrong):
    check(f"wrong object {number} is refused", bool(faults(document)))

with open(os.path.join(root, "examples/README.md")) as file:
    told = set(re.findall(r"\]\(((?:manifests|kubernetes)/[^)]+)\)", file.read()))
there = {os.path.relpath(path, os.path.join(root, "examples")) for path in glob.glob(os.path.join(root, "examples/*/*"))}
check("README.md names every example and no other", told == there, str(told ^ there))
sys.exit(failed)
