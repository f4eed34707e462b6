"""schema_test.py SCHEMA DOCUMENTS: the JSON Schema accepts exactly the documents that the table calls good."""

import json
import sys

import jsonschema


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        documents = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    wrong = [entry["name"] for entry in documents if validator.is_valid(entry["document"]) != entry["good"]]
    for name in wrong:
        print(f"the schema and the table disagree about: {name}")
    if not any(entry["good"] for entry in documents) or all(entry["good"] for entry in documents):
        print("the table has no good or no bad document")
        return 1
    print(f"{len(documents)} documents, {len(wrong)} disagreements")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
