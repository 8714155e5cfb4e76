"""Checks every example of an OpenAPI document against its schema: check_examples.py DOCUMENT"""

import json
import sys

import jsonschema_rs

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)


def bodies():
    """Every described body: where it stands, and what is said about it."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield f"{method} {path}", content
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    yield f"{method} {path} {status}", content


checked, faults = 0, []
for place, content in bodies():
    schema = {"components": document["components"], "allOf": [content["schema"]]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    examples = [example["value"] for example in content.get("examples", {}).values()]
    for example in [content["example"]] if "example" in content else examples:
        checked += 1
        faults += [f"{place}: {fault.message}" for fault in validator.iter_errors(example)]
print("\n".join(faults) if faults else f"{checked} examples fit their schemas")
sys.exit(1 if faults or not checked else 0)
