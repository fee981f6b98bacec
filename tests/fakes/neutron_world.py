"""What a Neutron knows and how it answers, as a plain object: no sockets, no time, one request after the other.

Its rules and words are those of Neutron 21: the uniqueness of (network, MAC), the VLANs, the error types, binding by
live agents, lists with repeated filters, fields and pages.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

Row = dict[str, Any]
Query = Sequence[tuple[str, str]]

EXTENSIONS = (
    "agent",
    "binding",
    "binding-extended",
    "filter-validation",
    "net-mtu-writable",
    "pagination",
    "port-security",
    "project-id",
    "provider",
    "revision-if-match",
    "security-group",
    "standard-attr-description",
    "standard-attr-revisions",
)

NOT_FILTERS = frozenset({"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"})


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any = None


class Refused(Exception):
    """Neutron says no, with an error type of its own."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(status, {"NeutronError": {"type": error_type, "message": message, "detail": ""}})


def bad_request(message: str) -> Refused:
    return Refused(400, "HTTPBadRequest", message)


def invalid(message: str) -> Refused:
    return Refused(400, "InvalidInput", f"Invalid input for operation: {message}.")


@dataclass
class World:
    """Everything is a plain dict, as on the wire; tests may look and change under ``lock``."""

    vlans: dict[str, range] = field(
        default_factory=lambda: {"red": range(1, 1001), "blue": range(1001, 2001), "green": range(0)}
    )
    extensions: list[str] = field(default_factory=lambda: list(EXTENSIONS))
    page_limit: int | None = None
    """As Neutron's ``pagination_max_limit``."""
    active_at_once: bool = False
    """A port that is bound is ACTIVE in the same moment."""
    networks: dict[str, Row] = field(default_factory=dict)
    subnets: dict[str, Row] = field(default_factory=dict)
    ports: dict[str, Row] = field(default_factory=dict)
    agents: dict[str, Row] = field(default_factory=dict)
    security_groups: dict[str, Row] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    address: str = "http://neutron.test:9696"

    # ------------------------------------------------------------------------------------- what tests put in

    def add_agent(self, host: str, *, alive: bool = True, kind: str = "Linux bridge agent", **more: Any) -> Row:
        row: Row = {
            "id": str(uuid.uuid4()),
            "host": host,
            "agent_type": kind,
            "binary": "neutron-linuxbridge-agent",
            "alive": alive,
            "admin_state_up": True,
            "configurations": {"interface_mappings": {"red": "eth1"}},
        } | more
        with self.lock:
            self.agents[row["id"]] = row
        return row

    def set_alive(self, host: str, alive: bool) -> None:
        with self.lock:
            for agent in self.agents.values():
                if agent["host"] == host:
                    agent["alive"] = alive

    def add_network(self, name: str = "net", *, project: str = "tenant", **attributes: Any) -> Row:
        body = {"name": name, "project_id": project} | attributes
        return self._created(self.handle("POST", "/v2.0/networks", body={"network": body}), "network")

    def add_subnet(self, network_id: str, cidr: str, **attributes: Any) -> Row:
        body = {"network_id": network_id, "cidr": cidr, "ip_version": 4, "project_id": "tenant"} | attributes
        return self._created(self.handle("POST", "/v2.0/subnets", body={"subnet": body}), "subnet")

    def add_port(self, network_id: str, mac: str, *, owner: str = "", **attributes: Any) -> Row:
        """A stranger's, unless ``owner`` is ours."""
        body = {"network_id": network_id, "mac_address": mac, "device_owner": owner, "project_id": "tenant"}
        return self._created(self.handle("POST", "/v2.0/ports", body={"port": body | attributes}), "port")

    def set_status(self, port_id: str, status: str) -> None:
        with self.lock:
            self._change(self.ports[port_id], {"status": status})

    @staticmethod
    def _created(reply: Reply, what: str) -> Row:
        assert reply.status == 201, reply
        made: Row = reply.body[what]
        return made

    # ---------------------------------------------------------------------------------------------- requests

    def handle(self, method: str, path: str, query: Query = (), body: Any = None, if_match: str = "") -> Reply:
        """Carry out one request, wholly or not at all."""
        with self.lock:
            try:
                return self._route(method, path, query, body, if_match)
            except Refused as refused:
                return refused.reply

    def _route(self, method: str, path: str, query: Query, body: Any, if_match: str) -> Reply:
        if path == "/":
            return Reply(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": []}]})
        if not path.startswith("/v2.0/"):
            return Reply(404, "<html><body><h1>404 Not Found</h1></body></html>")
        collection, _, row_id = path.removeprefix("/v2.0/").partition("/")
        if collection == "extensions" and method == "GET":
            return Reply(200, {"extensions": [{"alias": alias, "name": alias} for alias in self.extensions]})
        tables = {"networks": self.networks, "subnets": self.subnets, "ports": self.ports, "agents": self.agents}
        if collection not in tables or "/" in row_id:
            raise Refused(404, "HTTPNotFound", "The resource could not be found.")
        singular = collection[:-1]
        table = tables[collection]
        if not row_id:
            if method == "GET":
                return self._list(collection, table, query)
            if method == "POST" and collection != "agents":
                return self._create(collection, singular, body)
            raise Refused(405, "HTTPMethodNotAllowed", "The method is not allowed for this resource.")
        if row_id not in table:
            name = singular.capitalize()
            raise Refused(404, f"{name}NotFound", f"{name} {row_id} could not be found.")
        row = table[row_id]
        if if_match and if_match != f"revision_number={row.get('revision_number')}":
            raise Refused(412, "RevisionNumberConstraintFailed", f"Constrained to {if_match}, but not current.")
        if method == "GET":
            return Reply(200, {singular: _only(row, _values(query, "fields"))})
        if method == "PUT" and collection == "ports":
            return self._update_port(row, body)
        if method == "DELETE":
            return self._delete(collection, row)
        raise Refused(405, "HTTPMethodNotAllowed", "The method is not allowed for this resource.")

    def _list(self, collection: str, table: dict[str, Row], query: Query) -> Reply:
        filters: dict[str, list[str]] = {}
        for key, value in query:
            if key not in NOT_FILTERS:
                filters.setdefault(key, []).append(value)
        rows = [row for row in table.values() if all(str(row.get(k, "")) in v for k, v in filters.items())]
        limit = int(next(iter(_values(query, "limit")), 0))
        if self.page_limit:
            limit = min(limit, self.page_limit) or self.page_limit
        links: list[Row] = []
        if limit:
            rows.sort(key=lambda row: str(row["id"]))
            for marker in _values(query, "marker"):
                if marker not in table:
                    name = collection[:-1].capitalize()
                    raise Refused(404, f"{name}NotFound", f"{name} {marker} could not be found.")
                rows = [row for row in rows if row["id"] > marker]
            rows = rows[:limit]
            if len(rows) >= limit:
                more = [(k, v) for k, v in query if k != "marker"] + [("marker", rows[-1]["id"])]
                links = [{"rel": "next", "href": f"{self.address}/v2.0/{collection}?{urlencode(more)}"}]
        answer: Row = {collection: [_only(row, _values(query, "fields")) for row in rows]}
        return Reply(200, answer | ({f"{collection}_links": links} if links else {}))

    def _create(self, collection: str, singular: str, body: Any) -> Reply:
        if not isinstance(body, dict) or not ({collection, singular} & body.keys()):
            raise bad_request(f"Unable to find '{singular}' in request body")
        wishes = body[collection] if collection in body else [body[singular]]
        make: Callable[[Row], Row] = getattr(self, f"_new_{singular}")
        tables = (self.networks, self.subnets, self.ports, self.security_groups)
        before = [dict(table) for table in tables]
        try:
            rows = [make(wish) for wish in wishes]
        except Refused:
            for table, rows_before in zip(tables, before, strict=True):  # a bulk call is one transaction
                table.clear()
                table.update(rows_before)
            raise
        answer = [json.loads(json.dumps(row)) for row in rows]
        return Reply(201, {collection: answer} if collection in body else {singular: answer[0]})

    def _delete(self, collection: str, row: Row) -> Reply:
        if collection == "networks":
            mine = [port for port in self.ports.values() if port["network_id"] == row["id"]]
            if any(not port["device_owner"].startswith("network:dhcp") for port in mine):
                reason = (
                    f"There are one or more ports still in use on the network, id for these ports is: {mine[0]['id']}"
                )
                raise Refused(409, "NetworkInUse", f"Unable to complete operation on network {row['id']}. {reason}.")
            for port in mine:
                del self.ports[port["id"]]
            for subnet in [s for s in self.subnets.values() if s["network_id"] == row["id"]]:
                del self.subnets[subnet["id"]]
        if collection == "subnets":
            used = any(ip["subnet_id"] == row["id"] for port in self.ports.values() for ip in port["fixed_ips"])
            if used:
                reason = "One or more ports have an IP allocation from this subnet"
                raise Refused(409, "SubnetInUse", f"Unable to complete operation on subnet {row['id']}: {reason}.")
        table: dict[str, Row] = getattr(self, collection)
        del table[row["id"]]
        return Reply(204)

    # ---------------------------------------------------------------------------------------------- networks

    def _new_network(self, wish: Row) -> Row:
        kind = wish.get("provider:network_type")
        label = wish.get("provider:physical_network")
        vlan = wish.get("provider:segmentation_id")
        if kind is None and (label is not None or vlan is not None):
            raise invalid("network_type required")
        if kind is None:
            kind, label, vlan = self._tenant_vlan()
        elif kind == "vlan":
            vlan = self._check_vlan(label, vlan)
        elif kind == "flat":
            self._check_flat(label, vlan)
        else:
            raise invalid(f"network_type value '{kind}' not supported")
        row = self._base(wish, "network") | {
            "status": "ACTIVE",
            "subnets": [],
            "shared": bool(wish.get("shared", False)),
            "router:external": bool(wish.get("router:external", False)),
            "mtu": wish.get("mtu", 1500),
            "port_security_enabled": wish.get("port_security_enabled", True),
            "provider:network_type": kind,
            "provider:physical_network": label,
            "provider:segmentation_id": vlan,
        }
        self.networks[row["id"]] = row
        return row

    def _tenant_vlan(self) -> tuple[str, str, int]:
        for label, ids in self.vlans.items():
            for vlan in ids:
                if not self._vlan_used(label, vlan):
                    return "vlan", label, vlan
        raise Refused(
            503,
            "NoNetworkAvailable",
            "Unable to create the network. No tenant network is available for allocation.",
        )

    def _check_vlan(self, label: str | None, vlan: int | None) -> int:
        if label is None:
            raise invalid("segmentation_id requires physical_network for VLAN provider network")
        if label not in self.vlans:
            raise invalid(f"physical_network '{label}' unknown for VLAN provider network")
        if vlan is None:
            return next(vlan for vlan in self.vlans[label] if not self._vlan_used(label, vlan))
        if not 1 <= vlan <= 4094:
            raise invalid("segmentation_id out of range (1 through 4094)")
        if self._vlan_used(label, vlan):
            raise Refused(
                409,
                "VlanIdInUse",
                f"Unable to create the network. The VLAN {vlan} on physical network {label} is in use.",
            )
        return vlan

    def _check_flat(self, label: str | None, vlan: int | None) -> None:
        if not label:
            raise invalid("physical_network required for flat provider network")
        if vlan is not None:
            raise invalid("segmentation_id prohibited for flat provider network")
        if self._vlan_used(label, None):
            raise Refused(
                409,
                "FlatNetworkInUse",
                f"Unable to create the flat network. Physical network {label} is in use.",
            )

    def _vlan_used(self, label: str, vlan: int | None) -> bool:
        return any(
            (n["provider:physical_network"], n["provider:segmentation_id"]) == (label, vlan)
            for n in self.networks.values()
        )

    def _new_subnet(self, wish: Row) -> Row:
        network = self._network(wish.get("network_id", ""))
        try:
            cidr = ipaddress.ip_network(str(wish.get("cidr")), strict=True)
        except ValueError:
            reason = f"'{wish.get('cidr')}' is not a valid IP subnet"
            raise bad_request(f"Invalid input for cidr. Reason: {reason}.") from None
        for other in self.subnets.values():
            theirs = ipaddress.ip_network(other["cidr"])
            if other["network_id"] == network["id"] and theirs.version == cidr.version and theirs.overlaps(cidr):
                raise invalid(
                    f"Requested subnet with cidr: {cidr} for network: {network['id']} overlaps with another subnet"
                )
        row = self._base(wish, "subnet") | {
            "network_id": network["id"],
            "cidr": str(cidr),
            "ip_version": cidr.version,
            "gateway_ip": wish.get("gateway_ip") or str(cidr[1]),
            "dns_nameservers": wish.get("dns_nameservers", []),
            "enable_dhcp": wish.get("enable_dhcp", True),
        }
        self.subnets[row["id"]] = row
        network["subnets"].append(row["id"])
        return row

    def _network(self, network_id: str) -> Row:
        if network_id not in self.networks:
            raise Refused(404, "NetworkNotFound", f"Network {network_id} could not be found.")
        return self.networks[network_id]

    # ------------------------------------------------------------------------------------------------- ports

    def _new_port(self, wish: Row) -> Row:
        network = self._network(wish.get("network_id", ""))
        mac = str(wish["mac_address"]).lower()
        if any((p["network_id"], p["mac_address"]) == (network["id"], mac) for p in self.ports.values()):
            raise Refused(
                409,
                "MacAddressInUse",
                f"Unable to complete operation for network {network['id']}. The mac address {mac} is in use.",
            )
        row = self._base(wish, "port") | {
            "network_id": network["id"],
            "mac_address": mac,
            "admin_state_up": wish.get("admin_state_up", True),
            "status": "DOWN",
            "device_id": wish.get("device_id", ""),
            "device_owner": wish.get("device_owner", ""),
            "fixed_ips": self._addresses(network),
            "port_security_enabled": network["port_security_enabled"],
        }
        row["security_groups"] = self._groups(wish, row)
        self.ports[row["id"]] = row
        self._bind(row, wish.get("binding:host_id", ""))
        return row

    def _groups(self, wish: Row, row: Row) -> list[str]:
        groups = wish.get("security_groups")
        if not row["port_security_enabled"]:
            if groups:
                raise Refused(
                    400,
                    "PortSecurityAndIPRequiredForSecurityGroups",
                    "Port security must be enabled and port must have an IP address in order to use security groups.",
                )
            return []
        if groups is None:
            return [f"default-of-{row['project_id']}"]
        for group in groups:
            if group not in self.security_groups:
                raise Refused(404, "SecurityGroupNotFound", f"Security group {group} does not exist")
        return list(groups)

    def _addresses(self, network: Row) -> list[Row]:
        for subnet_id in network["subnets"]:
            subnet = self.subnets[subnet_id]
            used = {ip["ip_address"] for port in self.ports.values() for ip in port["fixed_ips"]}
            hosts: Iterable[Any] = ipaddress.ip_network(subnet["cidr"]).hosts()
            for address in hosts:
                if str(address) not in used and str(address) != subnet["gateway_ip"]:
                    return [{"subnet_id": subnet_id, "ip_address": str(address)}]
            raise Refused(
                409,
                "IpAddressGenerationFailure",
                f"No more IP addresses available on network {network['id']}.",
            )
        return []

    def _bind(self, row: Row, host: str) -> None:
        live = any(a["host"] == host and a["alive"] and "DHCP" not in a["agent_type"] for a in self.agents.values())
        vif_type = "bridge" if live else "binding_failed" if host else "unbound"
        row["binding:host_id"] = host
        row["binding:vif_type"] = vif_type
        row["binding:vif_details"] = {"port_filter": True, "connectivity": "l2"} if live else {}
        row["binding:vnic_type"] = "normal"
        row["status"] = "ACTIVE" if live and self.active_at_once else "DOWN"

    def _update_port(self, row: Row, body: Any) -> Reply:
        wish = body["port"]
        changed = {key: value for key, value in wish.items() if not key.startswith("binding:")}
        if wish.get("binding:host_id", row["binding:host_id"]) != row["binding:host_id"]:
            self._bind(row, wish["binding:host_id"])
            row["revision_number"] += 1
        self._change(row, changed)
        return Reply(200, {"port": dict(row)})

    def _change(self, row: Row, changed: Row) -> None:
        if any(row.get(key) != value for key, value in changed.items()):  # no change, no new revision
            row.update(changed)
            row["revision_number"] += 1

    def _base(self, wish: Row, what: str) -> Row:
        project = wish.get("project_id") or wish.get("tenant_id")
        if not project:
            raise bad_request("Running without keystone AuthN requires that tenant_id is specified")
        unknown = wish.keys() - KNOWN[what]
        if unknown:
            raise bad_request(f"Unrecognized attribute(s) '{', '.join(sorted(unknown))}'")
        return {
            "id": str(uuid.uuid4()),
            "name": wish.get("name", ""),
            "description": wish.get("description", ""),
            "project_id": project,
            "tenant_id": project,
            "revision_number": 1,
        }


_ALWAYS = {"name", "description", "project_id", "tenant_id"}
KNOWN = {
    "network": _ALWAYS
    | {"admin_state_up", "shared", "router:external", "mtu", "port_security_enabled"}
    | {"provider:network_type", "provider:physical_network", "provider:segmentation_id"},
    "subnet": _ALWAYS | {"network_id", "cidr", "ip_version", "gateway_ip", "dns_nameservers", "enable_dhcp"},
    "port": _ALWAYS
    | {"network_id", "mac_address", "admin_state_up", "device_id", "device_owner", "security_groups"}
    | {"binding:host_id", "binding:profile", "binding:vnic_type", "fixed_ips"},
}


def _values(query: Query, key: str) -> list[str]:
    return [value for name, value in query if name == key]


def _only(row: Row, fields: list[str]) -> Row:
    """As Neutron: unknown fields are passed over, and a copy is given away."""
    chosen = {key: row[key] for key in fields if key in row} if fields else dict(row)
    copy: Row = json.loads(json.dumps(chosen))
    return copy
