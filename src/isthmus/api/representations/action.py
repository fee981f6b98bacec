"""What a client asks an entity to do, and how that went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from isthmus.api.codec import Identified, Representation, Secret, Wire

if TYPE_CHECKING:
    from isthmus.api.representations.certificate import Certificate
    from isthmus.api.representations.cluster import Cluster
    from isthmus.api.representations.data_center import DataCenter
    from isthmus.api.representations.disk import Disk
    from isthmus.api.representations.fault import Fault
    from isthmus.api.representations.host import Host
    from isthmus.api.representations.job import Job
    from isthmus.api.representations.ssh import Ssh
    from isthmus.api.representations.template import Template
    from isthmus.api.representations.ticket import Ticket
    from isthmus.api.representations.vm import Vm


class Action(Identified):
    """The arguments of an action on the way in, its outcome on the way out."""

    activate: bool | None = None
    async_: Annotated[bool | None, Wire(tag="async")] = None
    certificates: list[Certificate] | None = None
    check_connectivity: bool | None = None
    clone: bool | None = None
    cluster: Cluster | None = None
    commit_on_success: bool | None = None
    connectivity_timeout: int | None = None
    correlation_id: str | None = None
    data_center: DataCenter | None = None
    disk: Disk | None = None
    fault: Fault | None = None
    fence_type: str | None = None
    filter: bool | None = None
    follow: str | None = None
    force: bool | None = None
    grace_period: GracePeriod | None = None
    host: Host | None = None
    image: str | None = None
    job: Job | None = None
    maintenance_enabled: bool | None = None
    pause: bool | None = None
    reason: str | None = None
    reboot: bool | None = None
    root_password: Secret = None
    ssh: Ssh | None = None
    status: str | None = None
    succeeded: bool | None = None
    template: Template | None = None
    ticket: Ticket | None = None
    timeout: int | None = None
    undeploy_hosted_engine: bool | None = None
    use_cloud_init: bool | None = None
    use_initialization: bool | None = None
    use_sysprep: bool | None = None
    vm: Vm | None = None
    volatile: bool | None = None
    stop_gluster_service: bool | None = None
    undeploy_glusterfs: Annotated[bool | None, Wire(ours=True)] = None


class GracePeriod(Representation):
    """How long something is waited for before it is forced."""

    expiry: int | None = None
