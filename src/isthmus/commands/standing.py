"""How a VM stands: there or not, down or not. What most commands on a VM ask first."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.caller import InConflict, Missing
from isthmus.model import Host, MayRun, Vm
from isthmus.reconcile.engine import Engine


def get_vm(session: Session, vm_id: str) -> Vm:
    """:raises Missing:"""
    vm = session.get(Vm, vm_id)
    if vm is None:
        raise Missing(f"There is no VM {vm_id}.")
    return vm


def is_down(vm: Vm) -> bool:
    return vm.status == "down" and vm.wanted == "down"


def check_down(session: Session, vm: Vm, what: str) -> None:
    """Down by everybody's word: rule 11 wants the may-run set empty before anything of the VM is given away.

    ``what`` completes "it can be ... only while it is down". :raises InConflict:
    """
    if not is_down(vm):
        where = session.get(Host, vm.host_id) if vm.host_id else None
        on = f" on host {where.name}" if where else ""
        raise InConflict(f"VM {vm.name} is {vm.status}{on}: it can be {what} only while it is down. Stop it first.")
    names = list(
        session.scalars(select(Host.name).join(MayRun, MayRun.host_id == Host.id).where(MayRun.vm_id == vm.id))
    )
    if names:
        raise InConflict(
            f"VM {vm.name} may still run on host {', '.join(names)}, which has not said that it does not: it can be "
            f"{what} once the host answers, or was confirmed to have been rebooted."
        )


def vm_label(engine: Engine, vm_id: str) -> str:
    """Its name, for the event of a refusal; the id if there is no such VM."""
    with engine.db.read() as session:
        return session.scalar(select(Vm.name).where(Vm.id == vm_id)) or vm_id
