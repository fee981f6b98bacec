"""The whole API as one application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from isthmus.api import (
    clusters,
    datacenters,
    disks,
    events,
    faults,
    hostnics,
    hosts,
    jobs,
    macpools,
    networks,
    nics,
    openstacknetworkproviders,
    openstacknetworks,
    operatingsystems,
    root,
    sso,
    templates,
    vms,
    vnicprofiles,
)
from isthmus.api.negotiation import ROOT, Negotiation
from isthmus.reconcile.engine import Engine

NOUNS: tuple[APIRouter, ...] = (
    clusters.router,
    datacenters.router,
    disks.router,
    events.router,
    hostnics.router,
    hosts.router,
    jobs.router,
    macpools.router,
    networks.router,
    nics.router,
    openstacknetworkproviders.router,
    openstacknetworks.router,
    operatingsystems.router,
    templates.router,
    vms.router,
    vnicprofiles.router,
)


def make_app(engine: Engine) -> FastAPI:
    """The application that serves this engine. It starts nothing: whoever runs it starts the engine's loop."""
    app = FastAPI(title="Isthmus", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.engine = engine
    app.state.gate = sso.Gate()
    app.add_middleware(Negotiation)
    faults.install(app)
    app.include_router(sso.router)
    app.include_router(root.open_router)
    app.include_router(root.router, prefix=ROOT)
    for router in NOUNS:
        app.include_router(router, prefix=ROOT)
    return app
