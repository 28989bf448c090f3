"""Judges recorded requests by AWS's own contract, botocore's service models: judge.py [--errors FILE.csv] FILE.jsonl ...

Prints a report as JSON: how many requests, per operation how many and which server answered them with success, and each
complaint once with an example. With --errors, also the error codes that a model has for an operation seen and the column
`code` of the table has not (column `service`: a name such as rds, or * for all). Status 1 if there is anything to complain of.
Run by the Python of moto's venv, which has botocore.
"""

import argparse
import base64
import collections
import csv
import gzip
import json
import re
import sys
from dataclasses import dataclass
from urllib.parse import parse_qsl

from judge_read import read
from judge_route import Models, Unroutable
from judge_value import UNCHECKED_PATTERNS, check

EXAMPLE = 600


@dataclass
class Request:
    """One line of a recording."""

    server: str
    method: str
    path: str
    query: list
    headers: dict
    body: bytes
    signing_name: str
    operation: str
    answered: bool
    call: str | None

    @classmethod
    def parse(cls, line):
        fields = json.loads(line)
        headers = {name.lower(): value for name, value in fields["headers"]}
        body = base64.b64decode(fields["body"])
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        answered = fields["by_server"] and fields["status"] is not None and fields["status"] < 300
        query = parse_qsl(fields["query"], keep_blank_values=True)
        return cls(fields["server"], fields["method"], fields["path"], query, headers, body, fields["service"],
                   fields["operation"], answered, fields.get("call"))

    def parameters(self):
        """Of the query protocols: those of the body, or for a GET those of the address."""
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return parse_qsl(self.body.decode(), keep_blank_values=True)
        return self.query

    def example(self):
        query = "&".join(f"{name}={value}" for name, value in self.query if not name.lower().startswith("x-amz-"))
        text = f"{self.method} {self.path}{'?' if query else ''}{query} {self.body[:EXAMPLE].decode(errors='replace')}"
        return text.strip()[:EXAMPLE]


def judge(models, request):
    """The names of service and operation, the operation's model if it was found, and the complaints."""
    try:
        route = models.route(request)
    except Unroutable as error:
        return error.service, error.operation, None, [str(error)]
    complaints = []
    values = read(route, request, complaints.append)
    if route.operation.input_shape is not None and values is not None:
        check(route.operation.input_shape, values, "", complaints.append)
    if (route.operation.http_checksum or {}).get("requestChecksumRequired") and not has_checksum(request):
        complaints.append("no checksum of the body, which this operation requires")
    return route.service, route.operation.name, route.operation, complaints


def has_checksum(request):
    trailer = request.headers.get("x-amz-trailer", "")
    return any(name == "content-md5" or re.match("x-amz-checksum-[^-]+$", name) for name in [*request.headers, trailer])


def missing_codes(operations, table):
    """The errors that the models have for these operations, and the table has under neither their code nor their name."""
    with open(table, newline="", encoding="utf-8") as file:
        known = {(row["service"].strip(), row["code"].strip()) for row in csv.DictReader(file)}
    missing = []
    for service, signing_name, operation in operations:
        for error in operation.error_shapes:
            names = {error.error_code, error.name} - {None}
            if not any((of, name) in known for of in (service, signing_name, "*") for name in names):
                missing.append(f"{service}.{operation.name}: {error.error_code or error.name}")
    return sorted(missing)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--errors", metavar="FILE.csv")
    parser.add_argument("recordings", nargs="*", metavar="FILE.jsonl")
    options = parser.parse_args(arguments)

    models = Models()
    number = 0
    operations, found, complaints = {}, {}, {}
    for name in options.recordings:
        with open(name, encoding="utf-8") as file:
            for line in file:
                number += 1
                request = Request.parse(line)
                service, operation, model, complained = judge(models, request)
                if model is not None:
                    found[service, operation] = (service, request.signing_name, model)
                seen = operations.setdefault(
                    f"{service}.{operation}", {"requests": 0, "answered": collections.Counter(), "complaints": 0, "calls": set()})
                seen["requests"] += 1
                seen["answered"][request.server] += request.answered
                seen["complaints"] += len(complained)
                seen["calls"].update({request.call} - {None})
                for complaint in complained:
                    first = {"service": service, "operation": operation, "complaint": complaint, "times": 0,
                             "example": request.example()}
                    complaints.setdefault((service, operation, complaint), first)["times"] += 1
    for seen in operations.values():
        seen["calls"] = sorted(seen["calls"])
    report = {
        "requests": number,
        "operations": dict(sorted(operations.items())),
        "complaints": [complaint for _, complaint in sorted(complaints.items())],
        "missing_error_codes": missing_codes(found.values(), options.errors) if options.errors else [],
        "unchecked_patterns": sorted(UNCHECKED_PATTERNS),
    }
    json.dump(report, sys.stdout, indent=1)
    print()
    return 1 if report["complaints"] or report["missing_error_codes"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
