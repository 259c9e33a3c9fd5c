"""Holds a CycloneDX list against the schema of the version that it names, and says what is in it."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
bom = json.loads(text)
error = JsonStrictValidator(SchemaVersion.from_version(bom["specVersion"])).validate_str(text)
if error:
    sys.exit(f"{sys.argv[1]}: not as CycloneDX {bom['specVersion']} wants it: {error}")
main = bom["metadata"]["component"]
print(f"{sys.argv[1]}: {main['name']} {main['version']}, {len(bom['components'])} components, CycloneDX {bom['specVersion']}")
