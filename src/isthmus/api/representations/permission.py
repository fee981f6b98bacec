"""Who may do what with which entity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.cluster import Cluster
    from isthmus.api.representations.data_center import DataCenter
    from isthmus.api.representations.disk import Disk
    from isthmus.api.representations.group import Group
    from isthmus.api.representations.host import Host
    from isthmus.api.representations.role import Role
    from isthmus.api.representations.template import Template
    from isthmus.api.representations.user import User
    from isthmus.api.representations.vm import Vm


class Permission(Identified):
    """A role that a user has on an entity, or everywhere."""

    paths = ("permissions/{id}",)

    cluster: Cluster | None = None
    data_center: DataCenter | None = None
    disk: Disk | None = None
    group: Group | None = None
    host: Host | None = None
    role: Role | None = None
    template: Template | None = None
    user: User | None = None
    vm: Vm | None = None
