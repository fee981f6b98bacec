"""The entities and the database. Importing this package makes every table known."""

from isthmus.model.claims import Claim
from isthmus.model.database import Base, Change, Database, Removal, Row, new_id, next_change, now
from isthmus.model.datacenters import Cluster, DataCenter
from isthmus.model.disks import Disk, DiskAttachment
from isthmus.model.events import Code, Event, Severity, note
from isthmus.model.hosts import Host, HostProvider
from isthmus.model.jobs import Job, Step
from isthmus.model.macpools import MacPool
from isthmus.model.networks import ClusterNetwork, Network, NetworkProvision
from isthmus.model.nics import Moment, Nic
from isthmus.model.profiles import VnicProfile
from isthmus.model.providers import Provider
from isthmus.model.settings import Setting, Token
from isthmus.model.vms import MayRun, Vm

__all__ = [
    "Base",
    "Change",
    "Claim",
    "Cluster",
    "ClusterNetwork",
    "Code",
    "DataCenter",
    "Database",
    "Disk",
    "DiskAttachment",
    "Event",
    "Host",
    "HostProvider",
    "Job",
    "MacPool",
    "MayRun",
    "Moment",
    "Network",
    "NetworkProvision",
    "Nic",
    "Provider",
    "Removal",
    "Row",
    "Setting",
    "Severity",
    "Step",
    "Token",
    "Vm",
    "VnicProfile",
    "new_id",
    "next_change",
    "note",
    "now",
]
