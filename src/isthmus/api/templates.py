"""Templates: there is one, Blank, from which every VM is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import Call
from isthmus.commands.caller import Missing, Refused

router = APIRouter()
BLANK = "00000000-0000-0000-0000-000000000000"


def blank() -> rep.Template:
    return rep.Template(
        id=BLANK,
        name="Blank",
        description="Blank template",
        status=rep.TemplateStatus.OK,
        memory=1 << 30,
        cpu=rep.Cpu(topology=rep.CpuTopology(sockets=1, cores=1, threads=1)),
        type=rep.VmType.SERVER,
        version=rep.TemplateVersion(version_number=1, version_name="base version"),
    )


def check_blank(template: rep.Template | None) -> None:
    """:raises Refused: a VM is wanted from another template."""
    if template is None:
        return
    if (template.id or BLANK) != BLANK or (template.name or "Blank") != "Blank":
        raise Refused(f"There is no template {template.name or template.id}: VMs are made from Blank.")


@router.get("/templates")
def list_templates(call: Call) -> Response:
    found = [blank()]
    for name, value in lists.parse(call.params.text("search") or "").terms:
        if name not in ("name", "id"):
            raise Refused(f"Here one may search by id, name, but not by {name!r}.", "Invalid value")
        found = [t for t in found if getattr(t, name) == value]
    return lists.answer(call, rep.Template, lists.first(call, found))


@router.get("/templates/{template_id}")
def get_one(call: Call, template_id: str) -> Response:
    if template_id != BLANK:
        raise Missing(f"There is no template {template_id}.")
    return call.answer(blank())


@follow.entity(rep.Template)
def _find(_session: Session, ids: Sequence[str]) -> Mapping[str, rep.Template]:
    return {BLANK: blank()} if BLANK in ids else {}
