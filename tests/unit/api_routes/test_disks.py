from __future__ import annotations

import struct
from pathlib import Path

import ovirtsdk4
import pytest
from ovirtsdk4 import types

from isthmus.reconcile.engine import Engine
from tests.served import Client, statements
from tests.unit.api_routes import rows

MIB = 1 << 20


@pytest.fixture(autouse=True)
def quiet(engine: Engine) -> None:
    for noun in ("vm", "claim", "host", "sweep"):
        engine.loop.register(noun, lambda _row: [])


@pytest.fixture
def vm(sdk: ovirtsdk4.Connection) -> str:
    made = sdk.system_service().vms_service().add(types.Vm(name="web1", cluster=types.Cluster(name="Default")))
    vm_id: str = made.id
    return vm_id


def images(engine: Engine) -> list[Path]:
    return sorted((engine.data / "files" / "disks").glob("*"))


def qcow2(*, backing: int = 0, features: int = 0) -> bytes:
    return (
        struct.pack(">4sIQIIQ", b"QFI\xfb", 3, backing, 0, 16, 64 * MIB)
        + bytes(40)
        + struct.pack(">Q", features)
        + bytes(24)
    )


def attached(sdk: ovirtsdk4.Connection, vm: str) -> ovirtsdk4.services.DiskAttachmentsService:
    return sdk.system_service().vms_service().vm_service(vm).disk_attachments_service()


def blank(name: str = "root", **fields: object) -> types.Disk:
    return types.Disk(name=name, format=types.DiskFormat.RAW, provisioned_size=3 * MIB, **fields)


def attachment(disk: types.Disk, **fields: object) -> types.DiskAttachment:
    return types.DiskAttachment(disk=disk, interface=types.DiskInterface.VIRTIO, **fields)


def test_an_empty_disk_is_made_for_a_vm_and_goes_with_it(sdk: ovirtsdk4.Connection, engine: Engine, vm: str) -> None:
    made = attached(sdk, vm).add(attachment(blank(), bootable=True, active=True))
    disk = sdk.system_service().disks_service().disk_service(made.disk.id).get()
    assert (disk.name, disk.format, disk.provisioned_size) == ("root", types.DiskFormat.RAW, 3 * MIB)
    assert disk.status == types.DiskStatus.OK
    (image,) = images(engine)
    assert image.stat().st_size == 3 * MIB
    assert disk.actual_size == image.stat().st_blocks * 512 == 0
    (seen,) = attached(sdk, vm).list()
    assert (seen.id, seen.bootable, seen.active, seen.interface) == (disk.id, True, True, types.DiskInterface.VIRTIO)
    with pytest.raises(ovirtsdk4.Error, match="has a bootable disk already: root"):
        attached(sdk, vm).add(attachment(blank("second"), bootable=True))
    assert images(engine) == [image]
    sdk.system_service().vms_service().vm_service(vm).remove()
    assert images(engine) == []
    assert sdk.system_service().disks_service().list() == []


def test_a_file_of_the_user_stays_when_its_disk_goes(sdk: ovirtsdk4.Connection, engine: Engine, vm: str) -> None:
    disks = sdk.system_service().disks_service()
    path = engine.data / "files" / "image.qcow2"
    path.write_bytes(qcow2())
    made = disks.add(types.Disk(alias="image", external_disk=str(path)))
    assert (made.name, made.format, made.provisioned_size) == ("image", types.DiskFormat.COW, 64 * MIB)
    assert disks.list(search="alias=image")[0].external_disk == str(path)
    attached(sdk, vm).add(attachment(types.Disk(id=made.id)))
    other = sdk.system_service().vms_service().add(types.Vm(name="web2", cluster=types.Cluster(name="Default")))
    with pytest.raises(ovirtsdk4.Error, match="attached to VM web1: a disk is of one VM at a time"):
        attached(sdk, other.id).add(attachment(types.Disk(id=made.id)))
    assert disks.disk_service(made.id).update(types.Disk(name="renamed")).name == "renamed"
    with pytest.raises(ovirtsdk4.Error, match="provisioned_size of disk renamed cannot be changed"):
        disks.disk_service(made.id).update(types.Disk(provisioned_size=MIB))
    disks.disk_service(made.id).remove()
    assert attached(sdk, vm).list() == []
    assert path.exists()


def test_what_is_not_allowed_is_refused_in_words_and_changes_nothing(
    sdk: ovirtsdk4.Connection, engine: Engine, vm: str, tmp_path: Path
) -> None:
    files = engine.data / "files"
    (files / "backed").write_bytes(qcow2(backing=200))
    (files / "split").write_bytes(qcow2(features=4))
    (files / "raw").write_bytes(bytes(MIB))
    (tmp_path / "outside").write_bytes(bytes(MIB))
    disks = sdk.system_service().disks_service()
    for disk, words in (
        (types.Disk(provisioned_size=MIB), "needs a name"),
        (types.Disk(name="a/b", provisioned_size=MIB), "may stand there"),
        (types.Disk(name="x"), "provisioned size"),
        (types.Disk(name="x", provisioned_size=-1), "between"),
        (types.Disk(name="x", provisioned_size=1 << 60), "between"),
        (types.Disk(name="x", provisioned_size=MIB, format=types.DiskFormat.COW), "not made here"),
        (types.Disk(name="x", external_disk=str(tmp_path / "outside")), "not under a directory"),
        (types.Disk(name="x", external_disk=str(files / "raw"), format=types.DiskFormat.COW), "no qcow2 image"),
        (types.Disk(name="x", external_disk=str(files / "backed")), "names another file"),
        (types.Disk(name="x", external_disk=str(files / "split")), "names another file"),
    ):
        for add in (disks.add, lambda d: attached(sdk, vm).add(attachment(d))):
            with pytest.raises(ovirtsdk4.Error, match=words) as refused:
                add(disk)
            assert refused.value.code == 400
    with pytest.raises(ovirtsdk4.Error, match="spapr_vscsi"):
        attached(sdk, vm).add(types.DiskAttachment(disk=blank(), interface=types.DiskInterface.SPAPR_VSCSI))
    assert disks.list() == []
    assert images(engine) == []


def test_a_running_vm_keeps_its_disks(sdk: ovirtsdk4.Connection, engine: Engine, vm: str) -> None:
    service = attached(sdk, vm)
    made = service.add(attachment(blank()))
    rows.run(engine, vm, rows.add_host(engine))
    one = service.attachment_service(made.id)
    for refused in (
        lambda: service.add(attachment(blank("second"))),
        lambda: one.update(types.DiskAttachment(bootable=True)),
        lambda: one.remove(),
        lambda: sdk.system_service().disks_service().disk_service(made.id).remove(),
    ):
        with pytest.raises(ovirtsdk4.Error, match="only while it is down"):
            refused()
    assert len(images(engine)) == 1
    rows.end(engine, vm)
    assert one.update(types.DiskAttachment(bootable=True)).bootable
    one.remove()
    assert len(images(engine)) == 1, "detached only"
    service.add(attachment(types.Disk(id=made.id)))
    one.remove(detach_only=False)
    assert images(engine) == []


def test_a_list_costs_one_statement_however_long(sdk: ovirtsdk4.Connection, engine: Engine, http: Client) -> None:
    disks = sdk.system_service().disks_service()
    seen = []
    for number in range(4):
        disks.add(blank(f"d{number}"))
        if number in (0, 3):
            with statements(engine) as these:
                assert http("GET", "disks").text.count("<disk ") == number + 1
            seen.append([s for s in these if "FROM setting" not in s and "FROM token" not in s])
    assert [len(s) for s in seen] == [1, 1]
