"""Reads XML by expat, straight into representations, without a tree in between.

What a stranger sends is bounded: no document type, so no entities of his; a depth; a number of elements. Unknown
elements are refused, so that a misspelt one is not silently without effect; what clients echo of an answer (`link`,
`actions`, `creation_status`, `href`) is passed over. Unknown attributes are ignored, as oVirt does.
"""

from __future__ import annotations

from typing import Any, NoReturn
from xml.parsers import expat

from isthmus.api.codec.errors import unreadable
from isthmus.api.codec.representation import Kind, Member, Representation, Resource, attributes, elements
from isthmus.api.codec.values import build, read

MAX_DEPTH = 32
MAX_ELEMENTS = 20_000
ECHOED = frozenset({"link", "actions", "creation_status"})


def parse(cls: type[Representation], body: bytes, tag: str) -> Representation:
    """The instance that a document with the root `tag` holds.

    Raises BadRequest. The bytes are read as UTF-8 whatever the document declares.
    """
    handler = _Handler(cls, tag)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.text
    parser.StartDoctypeDeclHandler = handler.doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise unreadable(f"The XML is not well formed: {error}.") from None
    return handler.root()


class _Frame:
    """An open element: of a representation (`cls`), of a list of them or of values (`many`), or of one value."""

    __slots__ = ("cls", "items", "many", "member", "tag", "text", "values")

    def __init__(self, tag: str, cls: type[Representation] | None, member: Member | None, *, many: bool) -> None:
        self.tag = tag
        self.cls = cls
        self.member = member
        self.many = many
        self.values: dict[str, Any] = {}
        self.items: list[Any] = []
        self.text = ""


class _Handler:
    def __init__(self, cls: type[Representation], tag: str) -> None:
        self._cls = cls
        self._tag = tag
        self._stack: list[_Frame] = []
        self._passing = 0
        self._count = 0
        self._root: Representation | None = None

    def root(self) -> Representation:
        assert self._root is not None, "expat ends without an error only after the root's end"  # noqa: S101
        return self._root

    def doctype(self, *_declaration: object) -> NoReturn:
        raise unreadable("A document type declaration is not allowed.")

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise unreadable(f"More than {MAX_ELEMENTS} elements.")
        if len(self._stack) + self._passing >= MAX_DEPTH:
            raise unreadable(f"Elements are nested more than {MAX_DEPTH} deep, at '{tag}'.")
        if self._passing:
            self._passing += 1
            return
        if not self._stack:
            if tag != self._tag:
                raise unreadable(f"The root element is '{tag}', but '{self._tag}' is expected here.")
            self._open(_Frame(tag, self._cls, None, many=False), attrs)
            return
        parent = self._stack[-1]
        if tag in ECHOED:
            self._passing = 1
        elif parent.many:
            self._start_item(parent, tag, attrs)
        elif parent.cls is None:
            raise unreadable(f"Element '{tag}' inside '{parent.tag}', which holds only a value.")
        elif (member := elements(parent.cls).get(tag)) is not None:
            nested = member.target if member.kind is Kind.NESTED and not member.many else None
            self._open(_Frame(tag, nested, member, many=member.many), attrs)
        elif issubclass(parent.cls, Resource) and tag.replace("_", "") in parent.cls.collections:
            self._passing = 1  # what oVirt's client makes of a link to a collection, when it sends back what it got
        else:
            raise unreadable(f"Unknown element '{tag}' in '{parent.tag}'.")

    def _start_item(self, parent: _Frame, tag: str, attrs: dict[str, str]) -> None:
        member = parent.member
        assert member is not None  # noqa: S101
        if tag != member.item:
            raise unreadable(f"Unknown element '{tag}' in '{parent.tag}', a list of '{member.item}'.")
        nested = member.target if member.kind is Kind.NESTED else None
        self._open(_Frame(tag, nested, member, many=False), attrs)

    def _open(self, frame: _Frame, attrs: dict[str, str]) -> None:
        self._stack.append(frame)
        if attrs and frame.cls is not None:
            for name, member in attributes(frame.cls).items():
                if name in attrs:
                    frame.values[member.name] = read(member, attrs[name], frame.tag)

    def text(self, data: str) -> None:
        if self._passing or not self._stack:
            return
        frame = self._stack[-1]
        if frame.cls is None and not frame.many:
            frame.text += data
        elif not data.isspace():
            raise unreadable(f"Text inside '{frame.tag}', which holds only elements.")

    def end(self, _tag: str) -> None:
        if self._passing:
            self._passing -= 1
            return
        frame = self._stack.pop()
        value: Any
        if frame.many:
            value = frame.items
        elif frame.cls is not None:
            value = build(frame.cls, frame.values)
        else:
            assert frame.member is not None  # noqa: S101
            value = read(frame.member, frame.text, self._stack[-1].tag, frame.tag)
        if not self._stack:
            self._root = value
        elif (parent := self._stack[-1]).many:
            parent.items.append(value)
        elif frame.member is not None:
            parent.values[frame.member.name] = value
