"""Reads the documents that lie beside an image with the tools of those who publish their formats.

Arguments: the paths of an SPDX, a CycloneDX and a provenance document, any of which may be missing ("-"). Says what is wrong,
one thing a line, and fails then.
"""

import json
import re
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from packageurl import PackageURL
from spdx_tools.spdx.parser.error import SPDXParsingError
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def spdx(path):
    try:
        document = parse_file(path)
    except SPDXParsingError as error:
        return error.get_messages()
    return [message.validation_message for message in validate_full_spdx_document(document, "SPDX-2.3")]


def cyclonedx(path):
    with open(path) as file:
        text = file.read()
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    found = [] if wrong is None else [str(wrong.data)]
    # What the schema does not say: references lead somewhere, and each leads to one thing.
    bill = json.loads(text)
    names = []

    def walk(components):
        for component in components:
            names.append(component["bom-ref"])
            walk(component.get("components", []))

    walk([bill["metadata"]["component"]] + bill["components"])
    found += [f"{name} names several components" for name in set(names) if names.count(name) > 1]
    for dependency in bill["dependencies"]:
        used = [dependency["ref"]] + dependency.get("dependsOn", [])
        found += [f"{name} names no component" for name in used if name not in names]
    return found


def provenance(path):
    with open(path) as file:
        text = file.read()
    try:
        statement = json_format.Parse(text, statement_pb2.Statement())
        Statement.copy_from_pb(statement).validate()
        # Unknown fields are errors.
        predicate = json.dumps(json.loads(text)["predicate"])
        predicate = json_format.Parse(predicate, provenance_pb2.Provenance())
    except (json_format.ParseError, ValueError) as error:
        return [str(error)]
    found = []
    if statement.predicate_type != "https://slsa.dev/provenance/v1":
        found.append(f"the predicate is {statement.predicate_type}")
    definition = predicate.build_definition
    for name, value in [
        ("buildType", definition.build_type),
        ("externalParameters", definition.external_parameters),
        ("builder.id", predicate.run_details.builder.id),
    ]:
        if not value:
            found.append(f"{name} is missing, which SLSA requires")
    for dependency in definition.resolved_dependencies:
        if not re.fullmatch("[0-9a-f]{64}", dependency.digest["sha256"]):
            found.append(f"{dependency.name} has no digest")
    return found


def purls(path):
    with open(path) as file:
        text = file.read()
    for purl in re.findall(r'"(pkg:[^"]*)"', text):
        # A slash in a qualifier may be written either way.
        plain = purl.replace("%2F", "/")
        if PackageURL.from_string(purl).to_string() != plain:
            yield f"{purl} is not canonical: {PackageURL.from_string(purl).to_string()}"


wrong = []
for path, check in zip(sys.argv[1:], [spdx, cyclonedx, provenance]):
    if path != "-":
        wrong += check(path)
        wrong += purls(path)
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
