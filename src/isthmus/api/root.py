"""The API's root, the engine's health, and the certificate by which clients know it."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from fastapi import APIRouter, Request, Response
from sqlalchemy import func, select, text

from isthmus import __version__
from isthmus.api import representations as rep
from isthmus.api.calls import Call
from isthmus.api.templates import BLANK
from isthmus.commands.caller import Refused
from isthmus.model import Host, Vm, now
from isthmus.reconcile.engine import Engine

router = APIRouter()
open_router = APIRouter()
"""What is answered without signing in."""

_COMPATIBLE = rep.Version(major=4, minor=5, build=0, revision=0, full_version="4.5.0")
"""The version of oVirt's API that this one follows: clients choose by it what they send."""


@router.api_route("", methods=["GET", "HEAD"])
def get_root(call: Call) -> Response:
    with call.engine.db.read() as session:
        counts = session.execute(
            select(
                select(func.count()).select_from(Host).scalar_subquery(),
                select(func.count()).select_from(Host).where(Host.status == "up").scalar_subquery(),
                select(func.count()).select_from(Vm).scalar_subquery(),
                select(func.count()).select_from(Vm).where(Vm.status != "down").scalar_subquery(),
            )
        ).one()
    user = rep.User(user_name=call.caller.user)
    return call.answer(
        rep.Api(
            authenticated_user=user,
            effective_user=user,
            product_info=rep.ProductInfo(
                name="Isthmus",
                vendor="Isthmus",
                instance_id=call.engine.deployment,
                version=_COMPATIBLE.model_copy(update={"full_version": f"4.5.0-isthmus-{__version__}"}),
            ),
            summary=rep.ApiSummary(
                hosts=rep.ApiSummaryItem(total=counts[0], active=counts[1]),
                vms=rep.ApiSummaryItem(total=counts[2], active=counts[3]),
            ),
            time=now(),
            special_objects=rep.SpecialObjects(blank_template=rep.Template(id=BLANK)),
        )
    )


@open_router.get("/ovirt-engine/services/health")
def health(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    with engine.db.read() as session:
        session.execute(text("SELECT 1"))
    return Response("DB Up!Welcome to Health Status!", media_type="text/plain")


@open_router.get("/ovirt-engine/services/pki-resource")
def pki_resource(request: Request, resource: str = "", format: str = "X509-PEM") -> Response:
    authority = request.app.state.engine.authority
    certificates = {"ca-certificate": authority.ca_pem, "engine-certificate": authority.engine().certificate}
    pem = certificates.get(resource)
    if pem is None:
        raise Refused(f"The resource is one of {', '.join(certificates)}, not {resource!r}.", "Invalid value")
    if format == "X509-PEM":
        return Response(pem, media_type="application/x-x509-cert")
    if format == "X509-PEM-CA":
        return Response(pem, media_type="application/x-x509-ca-cert")
    if format == "OPENSSH-PUBKEY" and resource == "engine-certificate":
        return Response(authority.ssh_public_key + "\n", media_type="text/plain")
    if format == "OPENSSH-PUBKEY":
        key = load_pem_x509_certificate(pem).public_key()
        return Response(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n", media_type="text/plain")
    raise Refused(f"The format is X509-PEM, X509-PEM-CA or OPENSSH-PUBKEY, not {format!r}.", "Invalid value")


@open_router.get("/ca.crt")
@open_router.get("/ovirt-engine/ca.crt")
@open_router.get("/ovirt-engine/api/ca.crt")
def ca_certificate(request: Request) -> Response:
    """For libgovirt, which looks under the address that its user gave."""
    return Response(request.app.state.engine.authority.ca_pem, media_type="application/x-x509-ca-cert")
