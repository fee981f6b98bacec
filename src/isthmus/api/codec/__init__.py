"""The codec: representations to and from XML and oVirt's JSON.

How a route uses it::

    from isthmus.api.codec import BadRequest, decode, encode, encode_list
    from isthmus.api.representations import Cluster, Fault, Nic, Vm

    wanted = decode(Nic, await request.body(), request.headers.get("content-type"))
    "mac" in wanted.model_fields_set          # False: absent; a list that is [] was sent empty, None was not sent
    nic = Nic(id=row.id, name=row.name, linked=True, vm=Vm(id=row.vm_id))
    body = encode(nic, XML, prefix)           # prefix: "/ovirt-engine/api", or ".../api/v4" if the request had it
    nic.location(prefix)                      # "/ovirt-engine/api/vms/<vm>/nics/<id>", for the Location header
    chunks = encode_list(Vm, (representation(row) for row in rows), XML, prefix)   # -> StreamingResponse

`decode` raises `BadRequest`: answer its `status` with `encode(Fault(reason=error.reason, detail=error.detail), ...)`.

A reference is an instance with nothing but its id (and what its path needs: a NIC's reference has `vm=Vm(id=...)`):
it is written as `<nic href=... id=.../>`. An entity inside another gets no links, actions or references of its own
unless it is `expanded=True`, which a route sets on what it put there because the client asked to `follow` it. Set
`href` only where the declared `paths` do not fit, and `links` for links that are not declared, such as
`Link(rel="creation_status", href="vms/<id>/creation_status/<job>")`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

from isthmus.api.codec import json_form, xml_reader, xml_writer
from isthmus.api.codec.errors import (
    INVALID_VALUE,
    UNREADABLE,
    BadRequest,
    BodyTooLarge,
    UnsupportedMediaType,
    unreadable,
)
from isthmus.api.codec.representation import (
    CreationStatus,
    Identified,
    Link,
    Long,
    Representation,
    Resource,
    Secret,
    Unsigned,
    Wire,
)

__all__ = [
    "INVALID_VALUE",
    "JSON",
    "MAX_BODY",
    "UNREADABLE",
    "XML",
    "BadRequest",
    "BodyTooLarge",
    "CreationStatus",
    "Identified",
    "Link",
    "Long",
    "Representation",
    "Resource",
    "Secret",
    "Unsigned",
    "UnsupportedMediaType",
    "Wire",
    "decode",
    "encode",
    "encode_list",
    "is_json",
]

XML = "application/xml"
JSON = "application/json"

# Bytes of a body that are looked at. Nothing that this API takes comes near; images are not sent in bodies.
MAX_BODY = 1024 * 1024

_R = TypeVar("_R", bound=Representation)


def decode(cls: type[_R], body: bytes, content_type: str | None = None, *, tag: str | None = None) -> _R:
    """The instance that a request's body holds. No content type means XML; `tag` is the root if not the class's.

    Raises BadRequest (and its subclasses, by size and content type), naming the element that is wrong.
    """
    if len(body) > MAX_BODY:
        raise BodyTooLarge(UNREADABLE, f"The body has {len(body)} bytes; at most {MAX_BODY} are read.")
    if not body.strip():
        raise unreadable(f"The body is empty; a '{tag or cls.tag}' is expected.")
    if is_json(content_type or XML):
        return cast(_R, json_form.parse(cls, body))
    return cast(_R, xml_reader.parse(cls, body, tag or cls.tag))


def encode(obj: Representation, media_type: str, prefix: str) -> bytes:
    """One entity (or an action, a fault) as a whole body. Raises UnsupportedMediaType."""
    if is_json(media_type):
        return json_form.write(obj, prefix)
    return xml_writer.write(obj, prefix)


def encode_list(
    cls: type[Representation],
    items: Iterable[Representation],
    media_type: str,
    prefix: str,
    *,
    plural: str | None = None,
) -> Iterator[bytes]:
    """A collection of `cls` as pieces of a body, made while `items` is read.

    `plural` is the root where it is not the class's. The first piece comes when it is full or `items` has ended, so an
    error from `items` before that can still become a fault. Raises UnsupportedMediaType at once.
    """
    if is_json(media_type):
        return json_form.write_list(cls.tag, items, prefix)
    return xml_writer.write_list(plural or cls.plural, items, prefix)


def is_json(media_type: str) -> bool:
    """Whether a content type is JSON rather than XML; parameters of it do not matter. Raises UnsupportedMediaType."""
    name = media_type.partition(";")[0].strip().lower()
    if name in (JSON, "text/json"):
        return True
    if name in (XML, "text/xml"):
        return False
    raise UnsupportedMediaType(UNREADABLE, f"The content type '{media_type}' is neither {XML} nor {JSON}.")
