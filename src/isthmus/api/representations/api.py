"""The root of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from isthmus.api.codec import Representation, Resource

if TYPE_CHECKING:
    from isthmus.api.representations.tag import Tag
    from isthmus.api.representations.template import Template
    from isthmus.api.representations.user import User
    from isthmus.api.representations.version import Version


class Api(Resource):
    """The root: where everything starts from, by its links."""

    paths = ("",)
    collections = (
        "clusters",
        "datacenters",
        "disks",
        "events",
        "hosts",
        "jobs",
        "macpools",
        "networks",
        "openstacknetworkproviders",
        "operatingsystems",
        "templates",
        "vms",
        "vnicprofiles",
    )
    searchable = ("clusters", "datacenters", "disks", "events", "hosts", "networks", "templates", "vms")

    authenticated_user: User | None = None
    effective_user: User | None = None
    product_info: ProductInfo | None = None
    special_objects: SpecialObjects | None = None
    summary: ApiSummary | None = None
    time: AwareDatetime | None = None


class ApiSummary(Representation):
    """How many there are of what people ask for first."""

    hosts: ApiSummaryItem | None = None
    storage_domains: ApiSummaryItem | None = None
    users: ApiSummaryItem | None = None
    vms: ApiSummaryItem | None = None


class ApiSummaryItem(Representation):
    """A number, and how many of those are at work."""

    active: int | None = None
    total: int | None = None


class ProductInfo(Representation):
    """Which product answers. Clients choose by its version what they ask for."""

    instance_id: str | None = None
    name: str | None = None
    vendor: str | None = None
    version: Version | None = None


class SpecialObjects(Representation):
    """Entities that always exist, by reference."""

    blank_template: Template | None = None
    root_tag: Tag | None = None
