"""Clients that scrape our XML with regular expressions, line by line, as the fence agent for oVirt does."""

from __future__ import annotations

import re

import pytest

from isthmus.api.codec import XML, CreationStatus, Link, encode, encode_list
from isthmus.api.representations import (
    Cluster,
    CustomProperty,
    Host,
    HostStatus,
    Network,
    NetworkLabel,
    Nic,
    OperatingSystem,
    Template,
    Version,
    Vm,
    VmStatus,
)
from tests.unit.api.shapes import full

PREFIX = "/ovirt-engine/api"


def vms() -> list[Vm]:
    names = {"1": "one", "2": "two", "3": "three"}
    return [
        Vm(
            id=key,
            name=name,
            status=VmStatus.DOWN if key == "2" else VmStatus.UP,
            cluster=Cluster(id="c", name="cluster's", version=Version(name="nested name"), expanded=True),
            custom_properties=[CustomProperty(name="not mine", value="v")],
            host=Host(id="h", name="host's", status=HostStatus.MAINTENANCE, expanded=True),
            os=OperatingSystem(version=Version(name="nested name")),
            nics=[Nic(id=f"n{key}", name="nic1", vm=Vm(id=key, name="back"), expanded=True)],
            template=Template(id="t", name="template's"),
        )
        for key, name in names.items()
    ]


@pytest.fixture
def page() -> str:
    return b"".join(encode_list(Vm, vms(), XML, PREFIX)).decode()


def test_each_vm_starts_once_and_says_its_own_id_on_its_line(page: str) -> None:
    assert re.findall(r'<vm .*id="(.*?)"', page) == ["1", "2", "3"]
    assert re.findall(r'^\s*<vm .* id="([^"]*)">$', page, re.MULTILINE) == ["1", "2", "3"]
    assert page.count("<vm ") == 3


def test_first_name_and_status_after_a_vm_are_its_own(page: str) -> None:
    for piece, name, status in zip(page.split("<vm ")[1:], ["one", "two", "three"], ["up", "down", "up"], strict=True):
        assert re.search("<name>(.*?)</name>", piece).group(1) == name  # type: ignore[union-attr]
        assert re.search("<status>(.*?)</status>", piece).group(1) == status  # type: ignore[union-attr]


def test_they_are_also_with_every_field_set() -> None:
    page = encode(full(Vm), XML, PREFIX).decode()
    assert page.count("<vm ") == 1
    piece = page.split("<vm ")[1]
    assert re.search("<name>(.*?)</name>", piece).group(1).startswith("name ")  # type: ignore[union-attr]
    assert re.search("<status>(.*?)</status>", piece).group(1) == list(VmStatus)[-1]  # type: ignore[union-attr]


def test_one_element_a_line_indented_in_the_schema_s_order() -> None:
    vm = Vm(
        id="1",
        name="a",
        description="",
        creation_status=CreationStatus.PENDING,
        links=[Link(rel="creation_status", href="vms/1/creation_status/j")],
        template=Template(id="t"),
        status=VmStatus.DOWN,
    )
    lines = encode(vm, XML, PREFIX).decode().splitlines()
    assert lines[0] == '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    assert lines[1] == '<vm href="/ovirt-engine/api/vms/1" id="1">'
    assert lines[2] == "  <actions>"
    assert '    <link href="/ovirt-engine/api/vms/1/start" rel="start"/>' in lines
    rest = lines[lines.index("  </actions>") + 1 :]
    assert rest[:3] == [
        "  <name>a</name>",
        "  <description></description>",
        "  <creation_status>pending</creation_status>",
    ]
    assert rest[3] == '  <link href="/ovirt-engine/api/vms/1/diskattachments" rel="diskattachments"/>'
    assert rest[-4:] == [
        '  <link href="/ovirt-engine/api/vms/1/creation_status/j" rel="creation_status"/>',
        "  <status>down</status>",
        '  <template href="/ovirt-engine/api/templates/t" id="t"/>',
        "</vm>",
    ]


def test_a_reference_is_its_id_and_href_alone() -> None:
    nic = Nic(id="n", vm=Vm(id="1"), network=None)
    assert '  <vm href="/ovirt-engine/api/vms/1" id="1"/>' in encode(nic, XML, PREFIX).decode().splitlines()
    owner = Vm(id="1", host=Host(id="h", cluster=Cluster(id="c")))
    assert '  <host href="/ovirt-engine/api/hosts/h" id="h"/>' in encode(owner, XML, PREFIX).decode().splitlines()


def test_values_cannot_break_out() -> None:
    text = "a\"b<c>&d'e]]>\r\n\t"
    vm = Vm(id=text, name=text, cluster=Cluster(id=text))
    page = encode(vm, XML, PREFIX).decode()
    assert page.count("<vm ") == 1
    assert page.splitlines()[1].count('"') == 4
    assert "a\"b&lt;c&gt;&amp;d'e]]&gt;&#13;\n\t</name>" in page


def test_ids_are_quoted_in_urls() -> None:
    label = NetworkLabel(id="red/blue label", network=Network(id="n"))
    assert label.location(PREFIX) == f"{PREFIX}/networks/n/networklabels/red%2Fblue%20label"
    assert f'href="{label.location(PREFIX)}" id="red/blue label"' in encode(label, XML, PREFIX).decode()
    assert f'href="{PREFIX}/vms/a%3Fb" id="a?b"' in encode(Vm(id="a?b"), XML, PREFIX).decode()


def test_what_xml_cannot_hold_is_replaced() -> None:
    page = encode(Vm(name="a\x00\x1bb\ufffe"), XML, PREFIX).decode()
    assert "<name>a\ufffd\ufffdb\ufffd</name>" in page


def test_lists_stream_in_pieces_and_fail_before_the_first() -> None:
    read = 0

    def rows() -> object:
        nonlocal read
        for i in range(2000):
            read = i
            yield Vm(id=str(i), name="x" * 100)

    pieces = encode_list(Vm, rows(), XML, PREFIX)  # type: ignore[arg-type]
    first = next(pieces)
    assert first.startswith(b"<?xml")
    assert 0 < read < 1000
    assert len(b"".join(pieces)) > len(first)

    def broken() -> object:
        yield Vm(id="1")
        raise ConnectionError("the database went away")

    with pytest.raises(ConnectionError):
        next(encode_list(Vm, broken(), XML, PREFIX))  # type: ignore[arg-type]
