"""Reads a raw request back into values by the shape of its input; what the shape does not account for is a complaint."""

import base64
import json
import re
from urllib.parse import unquote
from xml.etree import ElementTree

from botocore.parsers import RpcV2CBORParser
from judge_value import Text, inside

# Headers that belong to signing, to the client or to transport, whatever the operation.
GENERAL = re.compile(r"x-amz-(date|content-sha256|security-token|user-agent|target|decoded-content-length|trailer"
                     r"|api-version|region-set|s3session-token)|x-amzn-(trace-id|query-mode)")
LOCATED = ("uri", "querystring", "header", "headers")


def read(route, request, complain):
    """The values of the input by the names of its members; None where the body cannot be read at all."""
    shape = route.operation.input_shape
    try:
        if route.protocol in ("query", "ec2"):
            return read_parameters(shape, request.parameters(), route.protocol, complain)
        if route.protocol == "json":
            return read_tree(shape, json.loads(request.body or b"{}"), "", complain)
        if route.protocol == "smithy-rpc-v2-cbor":
            return read_tree(shape, cbor(request.body), "", complain)
        return read_rest(route, request, shape, complain)
    except (ValueError, ElementTree.ParseError) as error:
        complain(f"the body cannot be read: {error}")
        return None


def wire_name(member, name):
    return member.serialization.get("name", name)


# Query and EC2: keys with dots.


class Node:
    def __init__(self):
        self.value, self.children = None, {}


def read_parameters(shape, pairs, style, complain):
    root = Node()
    for key, value in pairs:
        if key in ("Action", "Version") or key.startswith("X-Amz-"):
            continue
        node = root
        for part in key.split("."):
            node = node.children.setdefault(part, Node())
        if node.value is not None:
            complain(f"parameter {key} comes twice")
        node.value = value
    return QueryReader(style, complain).structure(shape, root, "")


class QueryReader:
    def __init__(self, style, complain):
        self.ec2, self.complain = style == "ec2", complain

    def read(self, shape, node, path):
        if shape.type_name in ("structure", "list", "map"):
            return getattr(self, shape.type_name)(shape, node, path)
        self.unknown(node, set(), path)
        return None if node.value is None else Text(node.value)

    def unknown(self, node, known, path):
        for name in node.children.keys() - known:
            self.complain(f"unknown parameter {inside(path, name)}")

    def name(self, member, name):
        serialization = member.serialization
        if self.ec2:
            name = serialization["name"][:1].upper() + serialization["name"][1:] if "name" in serialization else name
            return serialization.get("queryName", name)
        # The elements of a flattened list bear their own name.
        if member.type_name == "list" and serialization.get("flattened") and "name" in member.member.serialization:
            return member.member.serialization["name"]
        return serialization.get("name", name)

    def structure(self, shape, node, path):
        if node.value:
            self.complain(f"{path} is a structure, and has the value {node.value!r}")
        values, known = {}, set()
        for name, member in shape.members.items() if shape else ():
            wire = self.name(member, name)
            known.add(wire)
            if wire in node.children:
                values[name] = self.read(member, node.children[wire], inside(path, wire))
        self.unknown(node, known, path)
        return values

    def list(self, shape, node, path):
        if not self.ec2 and not shape.serialization.get("flattened"):
            name = shape.member.serialization.get("name", "member")
            self.unknown(node, {name}, path)
            node = node.children.get(name, Node())
        return [self.read(shape.member, item, f"{path}[]") for item in self.numbered(node, path)]

    def map(self, shape, node, path):
        if not shape.serialization.get("flattened"):
            self.unknown(node, {"entry"}, path)
            node = node.children.get("entry", Node())
        values, names = {}, (wire_name(shape.key, "key"), wire_name(shape.value, "value"))
        for item in self.numbered(node, path):
            self.unknown(item, set(names), path)
            key, value = (item.children.get(name, Node()) for name in names)
            values[Text(key.value or "")] = self.read(shape.value, value, f"{path}[]")
        return values

    def numbered(self, node, path):
        numbers = sorted((name for name in node.children if name.isdecimal()), key=int)
        self.unknown(node, set(numbers), path)
        if [int(number) for number in numbers] != list(range(1, len(numbers) + 1)):
            self.complain(f"{path} is not numbered from 1 without gaps")
        return [node.children[number] for number in numbers]


# JSON and CBOR: a tree already.


def cbor(body):
    parser = RpcV2CBORParser()
    stream = parser.get_peekable_stream_from_bytes(body)
    value = parser.parse_data_item(stream) if body else {}
    if stream.read(1):
        raise ValueError("something follows the CBOR item")
    return value


def read_tree(shape, tree, path, complain):
    kind = shape.type_name if shape else "structure"
    containers = {"structure": dict, "map": dict, "list": list}
    if kind in containers and not getattr(shape, "is_document_type", False):
        if not isinstance(tree, containers[kind]):
            complain(f"{path or 'the body'} is not a {kind}")
            return None
        if kind == "list":
            return [read_tree(shape.member, item, f"{path}[]", complain) for item in tree]
        if kind == "map":
            return {key: read_tree(shape.value, item, f"{path}[]", complain) for key, item in tree.items()}
        members = {} if shape is None else {wire_name(member, name): (name, member)
                                            for name, member in shape.members.items()}
        for key in tree.keys() - members.keys():
            complain(f"unknown member {inside(path, key)}")
        return {members[key][0]: read_tree(members[key][1], item, inside(path, key), complain)
                for key, item in tree.items() if key in members and item is not None}
    return tree


# REST: labels, query, headers and a body in JSON or XML.


def read_rest(route, request, shape, complain):
    values, bodied = {}, {}
    query, headers = set(route.constants) | {"x-id"}, set()
    for name, member in shape.members.items() if shape else ():
        location, wire = member.serialization.get("location"), wire_name(member, name)
        if location == "uri":
            values[name] = Text(route.labels.get(wire, ""))
        elif location == "querystring" and member.type_name == "map":
            values[name] = {key: Text(value) for key, value in request.query if key not in query}
            query |= values[name].keys()
        elif location == "querystring":
            query.add(wire)
            given = [Text(value) for key, value in request.query if key == wire]
            if given:
                values[name] = given if member.type_name == "list" else given[0]
        elif location == "header":
            headers.add(wire.lower())
            if wire.lower() in request.headers:
                values[name] = header_value(member, request.headers[wire.lower()])
        elif location == "headers":
            mine = {key for key in request.headers if key.startswith(wire.lower())}
            headers |= mine
            values[name] = {key[len(wire):]: Text(request.headers[key]) for key in mine}
        else:
            bodied[name] = member
    for key, _ in request.query:
        if key not in query and not key.startswith("X-Amz-"):
            complain(f"unknown query parameter {key}")
    # A checksum is no member where the client adds it by itself.
    checksum = "x-amz-checksum-" if route.operation.http_checksum else "-"
    for key in request.headers.keys() - headers:
        if key.startswith("x-amz") and not GENERAL.fullmatch(key) and not key.startswith(checksum):
            complain(f"unknown header {key}")
    values.update(read_body(route, request, shape, bodied, complain))
    return values


def header_value(member, text):
    if member.type_name == "list":
        return [Text(item.strip().strip('"'), "rfc822") for item in text.split(",")]
    if member.serialization.get("jsonvalue"):
        return Text(base64.b64decode(text).decode())
    # A text may be escaped, as the name of the source of a copy is.
    return Text(unquote(text) if member.type_name == "string" else text, "rfc822")


def read_body(route, request, shape, bodied, complain):
    payload = shape.serialization.get("payload") if shape else None
    member = shape.members[payload] if payload else None
    if member is not None and member.type_name in ("blob", "string"):
        return {payload: request.body if member.type_name == "blob" else Text(request.body.decode())}
    if not request.body:
        return {}
    if not bodied:
        if request.body != b"{}":
            complain("a body, where the operation has none")
        return {}
    if route.protocol == "rest-json":
        tree = json.loads(request.body)
        if member is not None:
            return {payload: read_tree(member, tree, payload, complain)}
        return read_tree(Part(shape, bodied), tree, "", complain) or {}
    root = ElementTree.fromstring(request.body)
    expected, whole = (member, member) if member is not None else (shape, Part(shape, bodied))
    namespace, name = split_tag(root.tag)
    # Without a payload the operation names the element; a reference to a shape keeps that name.
    wanted = expected.serialization.get("name", expected.name)
    if name != wanted:
        complain(f"the element is {name}, not {wanted}")
    uri = expected.serialization.get("xmlNamespace", {}).get("uri")
    # S3 takes bodies without one, and object_store sends such.
    if uri and namespace and namespace.rstrip("/") != uri.rstrip("/"):
        complain(f"the namespace of {name} is {namespace}, not {uri}")
    value = read_xml(whole, root, payload or "", complain)
    return {payload: value} if member is not None else value


class Part:
    """The members of a structure that its body has."""

    type_name = "structure"

    def __init__(self, shape, members):
        self.members, self.serialization, self.name = members, shape.serialization, shape.name


def split_tag(tag):
    namespace, _, name = tag.rpartition("}")
    return namespace.lstrip("{"), name


def read_xml(shape, element, path, complain):
    if shape.type_name == "structure":
        return read_xml_structure(shape, element, path, complain)
    children = [(split_tag(child.tag)[1], child) for child in element]
    if shape.type_name == "list":
        name = shape.member.serialization.get("name", "member")
        unknown_elements(children, {name}, path, complain)
        return [read_xml(shape.member, child, f"{path}[]", complain) for key, child in children if key == name]
    if shape.type_name == "map":
        raise ValueError(f"{path}: a map in XML")
    unknown_elements(children, set(), path, complain)
    return Text(element.text or "")


def unknown_elements(children, known, path, complain):
    for name, _ in children:
        if name not in known:
            complain(f"unknown element {inside(path, name)}")


def read_xml_structure(shape, element, path, complain):
    children = [(split_tag(child.tag)[1], child) for child in element]
    attributes = {split_tag(name)[1]: value for name, value in element.attrib.items()}
    values, known = {}, set()
    for name, member in shape.members.items():
        wire = wire_name(member, name)
        if member.serialization.get("xmlAttribute"):
            wire = wire.rpartition(":")[2]
            if wire in attributes:
                values[name] = Text(attributes.pop(wire))
            continue
        known.add(wire)
        mine = [child for key, child in children if key == wire]
        if not mine:
            continue
        here = inside(path, wire)
        if member.type_name == "list" and member.serialization.get("flattened"):
            values[name] = [read_xml(member.member, child, f"{here}[]", complain) for child in mine]
        else:
            if len(mine) > 1:
                complain(f"element {here} comes twice")
            values[name] = read_xml(member, mine[0], here, complain)
    unknown_elements(children, known, path, complain)
    for name in attributes:
        complain(f"unknown attribute {inside(path, name)}")
    return values
