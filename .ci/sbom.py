"""Write a bill of materials: what an environment of the package holds, as CycloneDX 1.6 in JSON.

`python .ci/sbom.py --site DIRECTORY [--debian FILE] [--file FILE ...]` prints that of an environment: DIRECTORY is its
site-packages, with ndb_models in it. With --debian, the status file of dpkg, it names the packages of the system too;
with --file, the files of a release with their hashes. The same input, and SOURCE_DATE_EPOCH, give the same bytes.

It needs `cyclonedx-python-lib[json-validation]`, which keeps the format: what it prints, it has checked by its schema.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from email import message_from_string
from pathlib import Path
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE: Final = "ndb-models"


def bill(site: Path, debian: Path | None, files: Sequence[Path]) -> str:
    """Return the bill of materials of an environment, as JSON.

    Args:
        site: the directory that holds the distributions, ndb_models among them.
        debian: the status file of dpkg, if the packages of the system belong to it.
        files: files of a release, which are named with their hashes.
    """
    found = {canonicalize_name(each.name): each for each in importlib.metadata.distributions(path=[str(site)])}
    components = {name: of_python(found[name]) for name in sorted(found)}
    if PACKAGE not in components:
        sys.exit(f"{site} has no {PACKAGE}")
    root = components.pop(PACKAGE)
    root.components.update(of_file(path) for path in files)
    system = [*of_debian(debian.read_text("utf-8"))] if debian is not None else []
    bom = Bom(components=[*components.values(), *system], serial_number=uuid.UUID(int=0))
    bom.metadata.component = root
    bom.metadata.timestamp = made_at()
    everything = {**components, PACKAGE: root}
    for name, component in everything.items():
        bom.register_dependency(component, [everything[each] for each in needed(found[name], everything)])
    return checked(numbered(bom))


def made_at() -> datetime.datetime | None:
    """Return the time of SOURCE_DATE_EPOCH, if it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else None


def of_python(distribution: importlib.metadata.Distribution) -> Component:
    """Return a distribution of Python as a component."""
    name, version = canonicalize_name(distribution.name), distribution.version
    said = distribution.metadata.get("License-Expression") or distribution.metadata.get("License") or ""
    return Component(
        name=distribution.name,
        version=version,
        type=ComponentType.LIBRARY,
        description=distribution.metadata.get("Summary"),
        licenses=[LicenseFactory().make_from_string(said)] if said and "\n" not in said else [],
        purl=PackageURL("pypi", name=name, version=version),
        bom_ref=f"{name}=={version}",
    )


def needed(distribution: importlib.metadata.Distribution, present: Iterable[str]) -> list[str]:
    """Return the distributions that one asks for, and that are present."""
    asked = {canonicalize_name(Requirement(text).name) for text in distribution.requires or ()}
    return sorted(asked.intersection(present) - {canonicalize_name(distribution.name)})


def of_debian(status: str) -> Iterator[Component]:
    """Yield the installed packages of a status file of dpkg."""
    for paragraph in status.strip().split("\n\n"):
        fields = message_from_string(paragraph)
        if fields["Package"] and str(fields["Status"]).endswith(" installed"):
            name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
            yield Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                purl=PackageURL("deb", "debian", name, version, {"arch": architecture}),
                bom_ref=f"deb:{name}={version}",
            )


def of_file(path: Path) -> Component:
    """Return a file of a release as a component, with its hash."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
    return Component(name=path.name, type=ComponentType.FILE, hashes=hashes, bom_ref=f"file:{path.name}")


def numbered(bom: Bom) -> Bom:
    """Give a bill a serial number that follows from its content."""
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    return bom


def checked(bom: Bom) -> str:
    """Return a bill as JSON; end with an error if its schema does not take it."""
    text = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        sys.exit(f"the bill of materials is not as its schema wants it: {problem}")
    return text


def main() -> None:
    """Print the bill of materials that the command line asks for."""
    parser = argparse.ArgumentParser(description="Print a bill of materials (CycloneDX 1.6, JSON).")
    parser.add_argument("--site", type=Path, required=True, help="site-packages of the environment")
    parser.add_argument("--debian", type=Path, help="status file of dpkg, for the packages of the system")
    parser.add_argument("--file", type=Path, action="append", default=[], help="a file of the release")
    options = parser.parse_args()
    sys.stdout.write(bill(options.site, options.debian, options.file))


if __name__ == "__main__":
    main()
