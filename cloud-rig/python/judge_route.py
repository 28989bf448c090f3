"""Which operation a raw request asks for: by action, by target or by method and path, whichever protocol the model has."""

import ipaddress
import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from urllib.parse import unquote

from botocore.loaders import Loader
from botocore.model import ServiceModel

# Services that sign with a name that is not their model's. Where several share one, the API version tells.
SIGNING_NAMES = {
    "monitoring": ["cloudwatch"],
    "elasticloadbalancing": ["elbv2", "elb"],
    "tagging": ["resourcegroupstaggingapi"],
    "servicequotas": ["service-quotas"],
}
# Requests that nobody signs are those for credentials.
UNSIGNED = ["sts"]


class Unroutable(Exception):
    """No model knows what is asked."""

    def __init__(self, service, operation, complaint):
        super().__init__(complaint)
        self.service, self.operation = service, operation


@dataclass
class Route:
    """Where a request goes, and what of it has been read on the way."""

    service: str
    protocol: str
    operation: object
    labels: dict = field(default_factory=dict)
    # Names in the query that tell operations apart.
    constants: frozenset = frozenset()


class Models:
    """botocore's models, loaded when they are first asked for."""

    def __init__(self):
        self.loader = Loader()

    @lru_cache(maxsize=None)
    def service(self, name):
        model = ServiceModel(self.loader.load_service_model(name, "service-2"), name)
        return Service(name, model)

    def route(self, request):
        names = SIGNING_NAMES.get(request.signing_name, [request.signing_name] if request.signing_name else UNSIGNED)
        version = dict(request.parameters()).get("Version")
        services = []
        for name in names:
            try:
                services.append(self.service(name))
            except Exception as error:  # botocore has several for a name it does not know
                raise Unroutable(name, request.operation, f"no model of the service: {error}") from error
        fits = [service for service in services if service.model.metadata["apiVersion"] == version]
        return (fits or services)[0].route(request)


class Service:
    def __init__(self, name, model):
        self.name, self.model = name, model

    def route(self, request):
        if "x-amz-target" in request.headers:
            return self.by_target(request)
        if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
            return self.by_rpc(request)
        if "Action" in dict(request.parameters()):
            return self.by_action(request)
        if self.model.metadata["protocol"].startswith("rest"):
            return self.by_path(request)
        raise self.unroutable(request.operation, "neither an action nor a target")

    def unroutable(self, operation, complaint):
        return Unroutable(self.name, operation, complaint)

    def named(self, protocol, name):
        metadata = self.model.metadata
        if protocol not in [metadata["protocol"], *metadata.get("protocols", [])]:
            raise self.unroutable(name, f"the service does not speak {protocol}")
        if name not in self.model.operation_names:
            raise self.unroutable(name, f"unknown operation {name}")
        return Route(self.name, protocol, self.model.operation_model(name))

    def by_target(self, request):
        prefix, _, name = request.headers["x-amz-target"].rpartition(".")
        if prefix != self.model.metadata.get("targetPrefix"):
            raise self.unroutable(name, f"unknown target prefix {prefix!r}")
        return self.named("json", name)

    def by_rpc(self, request):
        match = re.fullmatch(r"/service/([^/]+)/operation/([^/]+)", request.path)
        if match is None or match[1] != self.model.metadata.get("targetPrefix"):
            raise self.unroutable(request.operation, f"no path of an operation: {request.path}")
        return self.named("smithy-rpc-v2-cbor", match[2])

    def by_action(self, request):
        parameters = dict(request.parameters())
        route = self.named("ec2" if self.name == "ec2" else "query", parameters["Action"])
        if parameters.get("Version") != self.model.metadata["apiVersion"]:
            raise self.unroutable(route.operation.name, f"unknown API version {parameters.get('Version')!r}")
        return route

    def by_path(self, request):
        path = request.path
        if self.name == "s3":
            path = path_style(path, request.headers.get("host", ""))
        query = dict(request.query)
        fits = []
        for template in self.templates:
            match = template.fits(request.method, path, query, request.headers)
            if match:
                fits.append((template, match))
        if not fits:
            raise self.unroutable(request.operation, f"no operation has this method and path: {request.method}")
        # The Rust SDK names operations of S3 that differ in little; otherwise the one that asks for most is meant.
        named = [fit for fit in fits if fit[0].operation.name == query.get("x-id")]
        template, match = max(named or fits, key=lambda fit: fit[0].weight)
        labels = {name: unquote(match[group]) for group, name in template.labels.items()}
        return Route(self.name, self.model.metadata["protocol"], template.operation, labels, template.constants)

    @cached_property
    def templates(self):
        return [Template(self.model.operation_model(name)) for name in self.model.operation_names]


class Template:
    """Method, path and query by which a REST operation is known."""

    def __init__(self, operation):
        self.operation = operation
        uri, _, query = operation.http["requestUri"].partition("?")
        constants = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        self.constant_values, self.constants = constants, frozenset(constants)
        self.labels, pattern, literal = {}, "", 0
        for part in re.split(r"({[^}]+})", uri.rstrip("/")):
            if part.startswith("{"):
                group = f"label{len(self.labels)}"
                self.labels[group] = part.strip("{}+")
                pattern += f"(?P<{group}>{'.+' if part.endswith('+}') else '[^/]+'})"
            else:
                literal += len(part)
                pattern += re.escape(part)
        self.pattern = re.compile(pattern + "/?")
        shape = operation.input_shape
        self.required = [] if shape is None else [
            (member.serialization["location"], member.serialization.get("name", name))
            for name, member in shape.members.items()
            if name in shape.required_members and member.serialization.get("location") in ("querystring", "header")
        ]
        self.weight = (len(constants), len(self.required), literal, not operation.deprecated, operation.name)

    def fits(self, method, path, query, headers):
        if method != self.operation.http["method"]:
            return None
        if any(query.get(name) != value for name, value in self.constant_values.items()):
            return None
        for location, name in self.required:
            if name not in query if location == "querystring" else name.lower() not in headers:
                return None
        return self.pattern.fullmatch(path)


def path_style(path, host):
    """An address of S3 with its bucket in the path, wherever it was."""
    name = host.rpartition(":")[0] or host
    try:
        ipaddress.ip_address(name.strip("[]"))
        return path
    except ValueError:
        bucket = re.fullmatch(r"(.+)\.(localhost|s3[.-].*amazonaws\.com.*)", name)
        return f"/{bucket[1]}{path}" if bucket else path
