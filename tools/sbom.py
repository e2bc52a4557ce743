"""Prints what an installation has: a bill of materials in CycloneDX's JSON, made of a lock file.

https://cyclonedx.org/docs/1.6/json/

It has no time and no number of its own, so that the same versions make the same file. Versions are
the lock file's; licences and dependencies are told by what is installed, in just these versions.
"""

import json
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

NAME = "ml-exporter"

_PIN = re.compile(r"^(\S+)==(\S+) \\$", re.MULTILINE)
_REQUIRED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CLASSIFIER = "License :: OSI Approved :: "


def main(lock: str) -> None:
    pins = dict(_PIN.findall(Path(lock).read_text()))
    sys.stdout.write(json.dumps(bill(pins), indent=1) + "\n")


def bill(pins: dict[str, str]) -> dict[str, Any]:
    """The bill of ourselves with packages of these versions; exits where others are installed."""
    ours = _installed(NAME)
    packages = {name: _installed(name, version) for name, version in sorted(pins.items())}
    every = {NAME: ours, **packages}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component("application", NAME, ours)},
        "components": [_component("library", *package) for package in packages.items()],
        "dependencies": [
            {
                "ref": _purl(name, found.version),
                "dependsOn": [
                    _purl(other, every[other].version) for other in _required(found, every)
                ],
            }
            for name, found in every.items()
        ],
    }


def _installed(name: str, version: str | None = None) -> Distribution:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        sys.exit(f"{name} is not installed")
    if version is not None and found.version != version:
        sys.exit(f"{name} is installed as {found.version}, and locked as {version}")
    return found


def _component(type: str, name: str, found: Distribution) -> dict[str, Any]:
    purl = _purl(name, found.version)
    return {
        "type": type,
        "bom-ref": purl,
        "name": name,
        "version": found.version,
        "licenses": _licences(found),
        "purl": purl,
    }


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def _licences(found: Distribution) -> list[dict[str, Any]]:
    """As an SPDX expression, where the package has one; else by the names it gives."""
    said = found.metadata
    if expression := said.get("License-Expression"):
        return [{"expression": expression}]
    classifiers = said.get_all("Classifier") or []
    names = [one.removeprefix(_CLASSIFIER) for one in classifiers if one.startswith(_CLASSIFIER)]
    if not names and (text := said.get("License", "")):
        names = text.splitlines()[:1]
    return [{"license": {"name": name}} for name in names]


def _required(found: Distribution, known: dict[str, Distribution]) -> list[str]:
    """What a package needs without extras, of what there is."""
    lines = (line for line in found.requires or () if "extra ==" not in line)
    names = (match[0] for line in lines if (match := _REQUIRED.match(line)))
    normal = {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    return sorted(normal & known.keys())


if __name__ == "__main__":
    main(*sys.argv[1:])
