"""Completes cargo-sbom's list, and holds it against CycloneDX's schema.

complete.py TREE <LIST >COMPLETE, in the repository's root. cargo-sbom lists the crates of every platform and leaves out
the checksums. TREE is what `cargo tree --prefix none` prints for the platform that is built
for: what is not in it goes. The checksums come from Cargo.lock.
"""

import json
import sys
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def linked_in(tree):
    """Names and versions: each line of the tree is `NAME vVERSION …`."""
    with open(tree, encoding="utf-8") as file:
        words = [line.split() for line in file if line.strip()]
    return {(name, version.removeprefix("v")) for name, version, *_ in words}


def complete(bom, crates):
    with open("Cargo.lock", "rb") as file:
        packages = tomllib.load(file)["package"]
    with open("Cargo.toml", "rb") as file:
        version = tomllib.load(file)["workspace"]["package"]["version"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in packages}
    # The crate itself stands inside of a nameless program; the user who ran it is no author.
    [main] = bom["metadata"]["component"]["components"]
    bom["metadata"]["component"] = {**main, "type": "application", "version": version}
    bom["metadata"].pop("authors", None)
    bom["components"] = [part for part in bom["components"] if (part["name"], part["version"]) in crates]
    for part in [bom["metadata"]["component"], *bom["components"]]:
        if not part.get("author"):
            part.pop("author", None)
    for part in bom["components"]:
        part["hashes"] = [{"alg": "SHA-256", "content": checksums[part["name"], part["version"]]}]
    kept = {part["bom-ref"] for part in [bom["metadata"]["component"], *bom["components"]]}
    bom["dependencies"] = [
        {**edge, "dependsOn": [ref for ref in edge.get("dependsOn", []) if ref in kept]}
        for edge in bom["dependencies"]
        if edge["ref"] in kept
    ]
    named = {(part["name"], part["version"]) for part in bom["components"]}
    missing = crates - named - {(bom["metadata"]["component"]["name"], version)}
    if missing:
        sys.exit(f"cargo-sbom has left out {sorted(missing)}")


def main():
    bom = json.load(sys.stdin)
    complete(bom, linked_in(sys.argv[1]))
    text = json.dumps(bom, indent=2)
    error = JsonStrictValidator(SchemaVersion.from_version(bom["specVersion"])).validate_str(text)
    if error:
        sys.exit(f"not as CycloneDX {bom['specVersion']} wants it: {error}")
    print(text)
    print(f"{len(bom['components'])} crates, as CycloneDX {bom['specVersion']} wants them", file=sys.stderr)


main()
