#!/usr/bin/env python3
"""Makes the schemas that kubeconform reads: strict ones, which refuse fields that they do not know.

    kubernetes_schemas.py OUT WHEEL VERSION... -- CRD...

From WHEEL (kubernetes-validate of PyPI) those of each VERSION of Kubernetes ("1.37"), into OUT/v1.37.0; from the files
CRD those of custom resources, into OUT/custom.
"""
import json
import re
import sys
import zipfile
from pathlib import Path

import yaml

METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def undescribed(item):
    return {key: value for key, value in item.items() if key != "description" or not isinstance(value, str)}


def whole(schema, definitions):
    """The schema with those definitions that it needs, and no others: kubeconform reads all of them for each kind. Its
    name goes, an address on the web that others would be relative to."""
    schema.pop("$id", None)
    text = re.sub(r'"/api/_definitions\.json#', '"#', json.dumps(schema))
    needed, new = {}, [text]
    while new:
        for name in re.findall(r'"#/\$defs/([^"]+)"', new.pop()):
            if name not in needed:
                needed[name] = definitions[name]
                new.append(json.dumps(definitions[name]))
    return json.dumps({**json.loads(text), "$defs": needed})


def of_version(wheel, version, folder):
    """Returns its definitions."""
    prefix = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/"

    def read(name):
        return json.loads(wheel.read(prefix + name), object_hook=undescribed)

    definitions = read("_definitions.json")["$defs"]
    folder.mkdir(parents=True)
    for name in wheel.namelist():
        schema = read(name.removeprefix(prefix)) if name.startswith(prefix) else {}
        if "x-kubernetes-group-version-kind" in schema:
            (folder / name.removeprefix(prefix)).write_text(whole(schema, definitions))
    return definitions


def strict(schema):
    """The schema, where objects have the fields that it names and no others: the API server would drop those."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    return result


def of_custom_resource(path, folder, definitions):
    folder.mkdir(exist_ok=True)
    definition = yaml.safe_load(path.read_text())["spec"]
    kind = definition["names"]["kind"].lower()
    group = definition["group"].split(".")[0]
    for version in definition["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"$ref": f"#/$defs/{METADATA}"}
        (folder / f"{kind}-{group}-{version['name']}.json").write_text(whole(schema, definitions))


def main():
    arguments = sys.argv[1:]
    end = arguments.index("--")
    out, wheel, versions, files = Path(arguments[0]), arguments[1], arguments[2:end], arguments[end + 1:]
    with zipfile.ZipFile(wheel) as archive:
        for version in versions:
            definitions = of_version(archive, version, out / f"v{version}.0")
    for file in files:
        of_custom_resource(Path(file), out / "custom", definitions)


main()
