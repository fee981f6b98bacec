"""MAC addresses: their form, and the next free one of a pool.

An address belongs to one vNIC of the engine, and to one claim (the protocol assumes both): one whose vNIC is gone but
whose port a provider has not given back yet is not free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import false, or_, select
from sqlalchemy.orm import Session

from isthmus.commands.caller import InConflict, Refused
from isthmus.model import Claim, MacPool, Nic, Provider, Vm

_FORM = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def check_mac(text: str) -> str:
    """The address in lower case. :raises Refused: not six pairs of hexadecimal digits, multicast, or all zero."""
    mac = text.strip().lower()
    if not _FORM.fullmatch(mac):
        raise Refused(f"{text!r} is not a MAC address: six pairs of hexadecimal digits with colons between them.")
    if int(mac[:2], 16) & 1:
        raise Refused(f"MAC address {mac} is a multicast address: the first pair must be even.")
    if mac == "00:00:00:00:00:00":
        raise Refused(f"MAC address {mac} is no vNIC's.")
    return mac


def free_mac(ranges: Iterable[Mapping[str, Any]], taken: Iterable[str]) -> str | None:
    """The lowest unicast address of the first range that has one not ``taken``; None: the pool is exhausted."""
    used = {_number(mac) for mac in taken}
    for piece in ranges:
        last = _number(piece["to"])
        number = _unicast(_number(piece["from"]))
        while number <= last:
            if number not in used:
                return _text(number)
            number = _unicast(number + 1)
    return None


def next_mac(session: Session, vm: Vm) -> str:
    """From the pool of the VM's cluster, else of its data center, else the default. :raises InConflict: exhausted."""
    pool = _pool(session, vm)
    ends = [(r["from"].lower(), r["to"].lower()) for r in pool.ranges]
    within = or_(false(), *(Nic.mac.between(*pair) for pair in ends))
    held = or_(false(), *(Claim.mac.between(*pair) for pair in ends))
    taken = set(session.scalars(select(Nic.mac).where(within)))
    taken |= set(session.scalars(select(Claim.mac).where(held, Claim.port_id.is_not(None))))
    mac = free_mac(pool.ranges, taken)
    if mac is None:
        raise InConflict(
            f"MAC pool {pool.name} has no free address left. Add a range to the pool, or give the vNIC an address."
        )
    return mac


def check_mac_free(session: Session, mac: str, nic_id: str | None = None) -> None:
    """``nic_id`` is the vNIC that is to have it. :raises InConflict: naming who has it."""
    other = session.scalar(select(Nic).where(Nic.mac == mac, Nic.id != (nic_id or "")))
    if other is not None:
        raise InConflict(f"MAC address {mac} is in use by vNIC {other.name} of VM {other.vm.name}.")
    row = session.execute(
        select(Provider.name, Claim.vm_id)
        .join(Provider, Provider.id == Claim.provider_id)
        .where(Claim.mac == mac, Claim.port_id.is_not(None), Claim.nic_id != (nic_id or ""))
    ).first()
    if row is not None:
        raise InConflict(
            f"MAC address {mac} is still held by a port that provider {row.name} has not given back yet (of VM "
            f"{row.vm_id}, whose vNIC was removed). Try again later, or choose another address."
        )


def _pool(session: Session, vm: Vm) -> MacPool:
    chosen = vm.cluster.mac_pool_id or vm.cluster.data_center.mac_pool_id
    pool = session.get(MacPool, chosen) if chosen else None
    pool = pool or session.scalar(select(MacPool).where(MacPool.is_default))
    if pool is None:
        raise InConflict(
            f"There is no MAC pool for data center {vm.cluster.data_center.name}. Add one, or give the vNIC an address."
        )
    return pool


def _number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


def _text(number: int) -> str:
    digits = f"{number:012x}"
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _unicast(number: int) -> int:
    """``number``, or the lowest number above it whose first octet is even and that is not all zero."""
    first = number >> 40
    return max(1, (first + 1) << 40 if first & 1 else number)
