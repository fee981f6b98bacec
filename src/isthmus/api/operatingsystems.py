"""Operating systems that can be said of a VM. It is a label: nothing is started differently for it."""

from __future__ import annotations

from fastapi import APIRouter, Response

from isthmus.api import lists
from isthmus.api import representations as rep
from isthmus.api.calls import Call
from isthmus.commands.caller import Missing

router = APIRouter()
_KNOWN = (
    ("0", "other", "Other OS"),
    ("5", "other_linux", "Linux"),
    ("1300", "debian_7", "Debian 7 or newer"),
    ("1301", "debian_9", "Debian 9 or newer"),
)


def _all() -> list[rep.OperatingSystemInfo]:
    return [
        rep.OperatingSystemInfo(id=i, name=name, description=words, architecture=rep.Architecture.X86_64)
        for i, name, words in _KNOWN
    ]


@router.get("/operatingsystems")
def list_operating_systems(call: Call) -> Response:
    return lists.answer(call, rep.OperatingSystemInfo, lists.first(call, _all()))


@router.get("/operatingsystems/{os_id}")
def get_one(call: Call, os_id: str) -> Response:
    for info in _all():
        if info.id == os_id:
            return call.answer(info)
    raise Missing(f"There is no operating system {os_id}.")
