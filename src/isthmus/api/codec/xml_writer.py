"""Writes representations as XML: one element a line, indented, made by a function generated for each class and place.

A generated function is about as fast as concatenating strings by hand, which matters for lists of thousands of VMs. Its
source is made from `members()` alone: no value of a request ever becomes source.

Some clients scrape this text with regular expressions, so its form is a promise: a start tag with attributes ends its
line, an entity's own name and status come before those of anything inside it, an empty string is `<name></name>` (to
oVirt's clients a self-closed element is None), and inside a VM no other `<vm ` starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any

from isthmus.api.codec.representation import FIRST, Identified, Kind, Member, Representation, Resource, members

DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
# Lines in one piece of a list: about 64 KiB.
_BATCH = 1500

Write = Callable[[Any, list[str], str], None]

# Not allowed in XML 1.0 in any form, so a value that holds one is shown with the replacement character.
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_special = re.compile('[&<>"\r\n\t\x00-\x1f\ud800-\udfff\ufffe\uffff]').search

# An id without these stands in a URL and in an attribute as it is.
_unsafe = re.compile("[^A-Za-z0-9._~-]").search


def escape(value: str) -> str:
    """Text as the content of an element."""
    if not _special(value):
        return value
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return _IMPOSSIBLE.sub("\ufffd", value)


def escape_attribute(value: str) -> str:
    """Text inside the double quotes of an attribute."""
    if not _special(value):
        return value
    return escape(value).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def date(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds")


def write(obj: Representation, prefix: str) -> bytes:
    """A whole document with `obj` as its root."""
    out = [DECLARATION]
    writer(type(obj), type(obj).tag, (), root=True)(obj, out, prefix)
    return "".join(out).encode()


def write_list(plural: str, items: Iterable[Representation], prefix: str) -> Iterator[bytes]:
    """A document that wraps `items`, in pieces of about 64 KiB. Nothing is yielded before the first piece is full."""
    out = [f"{DECLARATION}<{plural}>\n"]
    enclosing = (plural,)
    for item in items:
        writer(type(item), item.tag, enclosing, root=True)(item, out, prefix)
        if len(out) >= _BATCH:
            yield "".join(out).encode()
            out.clear()
    out.append(f"</{plural}>\n")
    yield "".join(out).encode()


@cache
def writer(cls: type[Representation], tag: str, enclosing: tuple[str, ...], *, root: bool = False) -> Write:
    """The function that writes a `cls` as `<tag>` inside the tags of `enclosing`; a `root` has links and actions."""
    source = _Source(cls, tag, enclosing, root)
    namespace = source.namespace
    exec(compile(source.text(), f"<writer of {cls.__name__} as {tag}>", "exec"), namespace)  # noqa: S102
    write: Write = namespace["write"]
    return write


def _later(namespace: dict[str, Any], name: str, cls: type[Representation], *place: Any) -> Write:
    """A writer that is made, and put in its own place, when it is first called: types are recursive, documents end."""

    def write(obj: Any, out: list[str], prefix: str) -> None:
        namespace[name] = writer(cls, *place)
        namespace[name](obj, out, prefix)

    return write


class _Source:
    """The source of one generated function, and the names it uses."""

    def __init__(self, cls: type[Representation], tag: str, enclosing: tuple[str, ...], root: bool) -> None:
        self.cls = cls
        self.tag = tag
        self.enclosing = (*enclosing, tag)
        self.root = root
        self.outer = "  " * len(enclosing)
        self.inner = self.outer + "  "
        self.namespace: dict[str, Any] = {
            "special": _special,
            "unsafe": _unsafe,
            "esc": escape,
            "attr": escape_attribute,
            "date": date,
            "href": _href,
            "boolean": {True: "true", False: "false"},
        }
        self.lines: list[str] = []

    def text(self) -> str:
        self.lines = ["def write(o, out, p):", "    d = o.__dict__", "    n = len(out)"]
        shown = [member for member in members(self.cls) if not (member.wire.attribute or member.wire.secret)]
        if issubclass(self.cls, Resource):
            self._resource_start(self.cls)
            shown = [member for member in shown if member.name not in FIRST]
        else:
            self._plain_start()
        for member in shown:
            if not member.linked:
                self._member(member)
        # A way back to what encloses it is left out: it says nothing, and scrapers take it for the next entity.
        linked = [member for member in shown if member.linked and member.element not in self.enclosing]
        if linked and not self.root and issubclass(self.cls, Resource):
            self._add("if not d['expanded']:", *(f"    {line}" for line in self._end()), "    return")
        for member in linked:
            self._member(member)
        self._add(*self._end())
        return "\n".join(self.lines) + "\n"

    def _add(self, *lines: str) -> None:
        self.lines.extend("    " + line for line in lines)

    def _plain_start(self) -> None:
        self._add(f"s = {self.outer + '<' + self.tag!r}")
        for member in members(self.cls):
            if member.wire.attribute:
                self._add(f"if (v := d[{member.name!r}]) is not None: s += f' {member.tag}=\"{{attr(str(v))}}\"'")
        self._add("out.append(s)")

    def _resource_start(self, cls: type[Resource]) -> None:
        identified = issubclass(cls, Identified)
        if identified:
            self._add("i = d['id']", "plain = i is not None and not unsafe(i)")
        if identified and len(cls.paths) == 1 and cls.paths[0].endswith("/{id}") and cls.paths[0].count("{") == 1:
            collection = cls.paths[0].removesuffix("{id}")
            self._add(f"h = f'{{p}}/{collection}{{i}}' if plain and d['href'] is None else href(o, p)")
        else:
            self._add("h = href(o, p)")
        if identified:
            self._add("if i is not None and not plain: i = attr(i)")
        self._add(f"s = {self.outer + '<' + self.tag!r}")
        self._add("if h is not None: s += f' href=\"{h}\"'")
        if identified:
            self._add("if i is not None: s += f' id=\"{i}\"'")
        self._add("out.append(s)")
        if not self.root:
            # Most nested entities are references: nothing but an id needs no look at the other fields.
            linked = [member.name for member in members(cls) if member.linked]
            self.namespace["REFERENCE"] = frozenset({"id", "href", *linked})
            self._add("if o.__pydantic_fields_set__ <= REFERENCE:", "    out[n] += '/>\\n'", "    return")
        linking = "h is not None" if self.root else "h is not None and d['expanded']"
        if cls.actions:
            self._add(f"if {linking}: out.append(f{self._actions(cls)!r})")
        for member in members(cls):
            if member.name in FIRST:
                self._member(member)
        if links := self._links(cls):
            self._add(f"if {linking}: out.append(f{links!r})")
        link = f'{self.inner}<link href="{{attr(x.location(p))}}" rel="{{attr(x.rel)}}"/>\n'
        self._add("if (v := d['links']) is not None:", f"    for x in v: out.append(f{link!r})")

    def _actions(self, cls: type[Resource]) -> str:
        lines = "".join(f'{self.inner}  <link href="{{h}}/{name}" rel="{name}"/>\n' for name in sorted(cls.actions))
        return f"{self.inner}<actions>\n{lines}{self.inner}</actions>\n"

    def _links(self, cls: type[Resource]) -> str:
        lines = ""
        for name in cls.collections:
            lines += f'{self.inner}<link href="{{h}}/{name}" rel="{name}"/>\n'
            if name in cls.searchable:
                lines += f'{self.inner}<link href="{{h}}/{name}?search={{{{query}}}}" rel="{name}/search"/>\n'
        return lines

    def _member(self, member: Member) -> None:
        self._add(f"if (v := d[{member.name!r}]) is not None:")
        if member.many:
            self._many(member)
        elif member.kind is Kind.NESTED:
            self._add(f"    {self._nested(member, member.tag, ())}(v, out, p)")
        else:
            self._add(f"    out.append(f{self._scalar(member, member.tag, self.inner, 'v')!r})")

    def _many(self, member: Member) -> None:
        start, end = f"{self.inner}<{member.tag}>\n", f"{self.inner}</{member.tag}>\n"
        self._add("    if v:", f"        out.append({start!r})")
        if member.kind is Kind.NESTED:
            nested = self._nested(member, member.item, (member.tag,))
            self._add(f"        for x in v: {nested}(x, out, p)")
        else:
            item = self._scalar(member, member.item, self.inner + "  ", "x")
            self._add(f"        for x in v: out.append(f{item!r})")
        empty = f"{self.inner}<{member.tag}/>\n"
        self._add(f"        out.append({end!r})", f"    else: out.append({empty!r})")

    def _nested(self, member: Member, tag: str, between: tuple[str, ...]) -> str:
        name = f"w_{member.name}"
        self.namespace[name] = _later(self.namespace, name, member.target, tag, (*self.enclosing, *between))
        return name

    def _scalar(self, member: Member, tag: str, indent: str, variable: str) -> str:
        value = {
            Kind.STRING: f"{{esc({variable}) if special({variable}) else {variable}}}",
            Kind.BOOLEAN: f"{{boolean[{variable}]}}",
            Kind.DATE: f"{{date({variable})}}",
        }.get(member.kind, f"{{{variable}}}")
        return f"{indent}<{tag}>{value}</{tag}>\n"

    def _end(self) -> list[str]:
        end = f"{self.outer}</{self.tag}>\n"
        return [
            "if len(out) == n + 1: out[n] += '/>\\n'",
            "else:",
            "    out[n] += '>\\n'",
            f"    out.append({end!r})",
        ]


def _href(resource: Resource, prefix: str) -> str | None:
    href = resource.location(prefix)
    return None if href is None else escape_attribute(href)
