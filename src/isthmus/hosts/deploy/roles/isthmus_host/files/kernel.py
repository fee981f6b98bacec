"""Tries what this kernel can do for the L2 agent, each in a network namespace of its own. JSON in and out."""

import json
import os
import shutil
import subprocess
import sys

AMONG = "-i veth0 --among-src 02:00:00:00:00:01=192.0.2.1, -j RETURN"


def works(script: str) -> bool:
    """Does it run through in a network namespace that is thrown away?"""
    return subprocess.run(["unshare", "--net", "sh", "-ec", script], capture_output=True, check=False).returncode == 0


def links() -> dict[str, str]:
    """Name of each network interface -> its kind (veth, bridge, ...; empty for hardware)."""
    shown = subprocess.run(["ip", "-json", "-details", "link"], capture_output=True, check=True).stdout
    return {link["ifname"]: link.get("linkinfo", {}).get("info_kind", "") for link in json.loads(shown)}


def main() -> None:
    mappings: dict[str, str] = json.loads(sys.argv[1])
    there, notes = links(), list[str]()
    for network, device in mappings.items():
        if device not in there:
            has = ", ".join(sorted(name for name in there if name != "lo"))
            sys.exit(f"the interface {device}, mapped to physical network {network}, does not exist; there are {has}")

    if shutil.which("modprobe"):  # containers have none, and get what the machine has loaded
        subprocess.run(["modprobe", "--quiet", "--all", "8021q", "br_netfilter"], check=False, capture_output=True)
    vlan = works("ip link add veth0 type veth peer name veth1; ip link add link veth0 name veth0.5 type vlan id 5")
    zones = works("iptables -t raw -A PREROUTING -j CT --zone 5")
    deletes = works(f"ebtables -t nat -N A; ebtables -t nat -A A {AMONG}; ebtables -t nat -D A {AMONG}")
    among = deletes or works(f"ebtables -t nat -N A; ebtables -t nat -A A {AMONG}")
    sets = works("ipset create a hash:net")

    # Without 802.1q the agent can use a VLAN device that somebody made ready. It deletes what it takes for
    # its own when a network goes, but not a device that is mapped to a physical network.
    given, soft = dict(mappings), list[str]()
    if not vlan:
        for network, device in mappings.items():
            ready = [name for name in there if name.startswith(f"{device}.") and name.rpartition(".")[2].isdigit()]
            ready.sort(key=lambda name: int(name.rpartition(".")[2]))
            for name in ready:
                given[f"{network}-v{name.rpartition('.')[2]}"] = name
            # Whatever tags outside the host passes packets on as they are, unfinished checksums too.
            soft += [name for name in (device, *ready) if there[name] == "veth"]
            can = f"only VLANs with a ready device: {', '.join(ready)}" if ready else "no VLAN"
            notes.append(f"the kernel has no 802.1q: on {network} ({device}) the host can carry {can}")
    if not zones:
        notes.append("the kernel has no conntrack zones: security groups are not enforced on this host")
    if among and not deletes:
        notes.append("ebtables cannot delete rules with --among-src: the L2 agent gets one that deletes by number")

    json.dump(
        {
            "vlan_8021q": vlan,
            "firewall_driver": "iptables" if zones else "noop",
            "ipset": sets,
            "wrap_ebtables": among and not deletes,
            "mappings": given,
            "software_checksums": soft,
            "sysctl_interfaces": sorted(set(given.values())),
            "bridge_netfilter": os.path.isdir("/proc/sys/net/bridge"),
            "notes": notes,
        },
        sys.stdout,
    )


main()
