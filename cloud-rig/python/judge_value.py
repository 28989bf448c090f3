"""Whether values are what a shape asks for: type, required members, enum, range, length, pattern."""

import base64
import datetime
import email.utils

import regex

# What botocore's models hold and cannot be compiled here; the report names it, as it was not checked.
UNCHECKED_PATTERNS = set()

ISO8601 = regex.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d))?")


class Text(str):
    """A value of a wire that knows only text; `stamp` is how it writes times, where the shape does not say."""

    def __new__(cls, value, stamp="iso8601"):
        text = super().__new__(cls, value)
        text.stamp = stamp
        return text


def check(shape, value, path, complain):
    if value is None or getattr(shape, "is_document_type", False):
        return
    CHECKS[shape.type_name](shape, value, path, complain)


def structure(shape, value, path, complain):
    for name in shape.required_members:
        # An empty label in a path is none.
        label = shape.members[name].serialization.get("location") == "uri"
        if value.get(name) is None or (label and value[name] == ""):
            complain(f"missing required member {inside(path, name)}")
    if shape.is_tagged_union and len(value) != 1:
        complain(f"{path} is a union, and has {len(value)} members")
    for name, item in value.items():
        check(shape.members[name], item, inside(path, name), complain)


def items(shape, value, path, complain):
    within(shape, len(value), path, "items", complain)
    for item in value:
        check(shape.member, item, f"{path}[]", complain)


def mapping(shape, value, path, complain):
    within(shape, len(value), path, "entries", complain)
    for key, item in value.items():
        check(shape.key, key, f"{path}[key]", complain)
        check(shape.value, item, f"{path}[]", complain)


def string(shape, value, path, complain):
    if not isinstance(value, str):
        complain(f"{path}: {value!r} is not a string")
        return
    if shape.enum:
        if value not in shape.enum:
            complain(f"{path}: {value!r} is not one of {', '.join(shape.enum[:12])}{', …' * (len(shape.enum) > 12)}")
        return
    within(shape, len(value), path, "characters", complain)
    pattern = shape.metadata.get("pattern")
    if pattern and not matches(pattern, value):
        complain(f"{path}: {value!r} does not match {pattern}")


def matches(pattern, value):
    try:
        # Java's classes and properties, which Python's own module has not. Patterns are not anchored.
        return regex.search(pattern, value) is not None
    except regex.error:
        UNCHECKED_PATTERNS.add(pattern)
        return True


def integer(shape, value, path, complain):
    if isinstance(value, Text):
        number = int(value) if regex.fullmatch(r"-?\d+", value) else None
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if number is None:
        complain(f"{path}: {value!r} is not an integer")
        return
    bits = 63 if shape.type_name == "long" else 31
    if not -(1 << bits) <= number < 1 << bits:
        complain(f"{path}: {value!r} does not fit its type, {shape.type_name}")
    within(shape, number, path, "", complain)


def real(shape, value, path, complain):
    if not isinstance(value, (Text, int, float)) and value not in ("NaN", "Infinity", "-Infinity") or value is True:
        complain(f"{path}: {value!r} is not a number")
        return
    try:
        number = float(value)
    except ValueError:
        complain(f"{path}: {value!r} is not a number")
        return
    within(shape, number, path, "", complain)


def boolean(_shape, value, path, complain):
    if not (value in ("true", "false") if isinstance(value, Text) else isinstance(value, bool)):
        complain(f"{path}: {value!r} is not a boolean")


def blob(shape, value, path, complain):
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except ValueError:
            complain(f"{path}: is not base64")
            return
    if not isinstance(value, (bytes, bytearray)):
        complain(f"{path}: {value!r} is not bytes")
        return
    within(shape, len(value), path, "bytes", complain)


def timestamp(shape, value, path, complain):
    default = value.stamp if isinstance(value, Text) else "unixtimestamp"
    stamp = shape.serialization.get("timestampFormat", default)
    if isinstance(value, datetime.datetime):
        return
    if stamp == "iso8601":
        good = isinstance(value, str) and ISO8601.fullmatch(value)
    elif stamp == "rfc822":
        try:
            good = email.utils.parsedate_to_datetime(value)
        except (TypeError, ValueError):
            good = False
    elif isinstance(value, Text):
        good = regex.fullmatch(r"\d+(\.\d+)?", value)
    else:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good:
        complain(f"{path}: {value!r} is not a time ({stamp})")


def within(shape, number, path, unit, complain):
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and number < least or most is not None and number > most:
        allowed = f"{'' if least is None else least}..{'' if most is None else most}"
        complain(f"{path}: {number} {unit}".rstrip() + f", allowed are {allowed}")


def inside(path, name):
    return f"{path}.{name}" if path else name


CHECKS = {
    "structure": structure, "list": items, "map": mapping, "string": string, "character": string, "integer": integer,
    "long": integer, "float": real, "double": real, "boolean": boolean, "blob": blob, "timestamp": timestamp,
}
