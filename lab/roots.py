"""The root file systems that hosts and the control container start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import apt
from lab.cache import Cache, key
from lab.process import run

BASE = ("systemd", "systemd-sysv", "dbus", "udev", "iproute2")

HOST = (*BASE, "openssh-server", "python3", "python3-apt")
"""What a plain Debian cloud image has that matters here; our own deployment brings the rest."""

CONTROL = (
    *BASE,
    "bridge-utils",
    "ca-certificates",
    "conntrack",
    "ebtables",
    "ethtool",
    "ipset",
    "iptables",
    "iputils-ping",
    "mariadb-server",
    "neutron-dhcp-agent",
    "neutron-linuxbridge-agent",
    "neutron-plugin-ml2",
    "neutron-server",
    "openvswitch-switch",
    "procps",
    "python3",
    "python3-pymysql",
    "qemu-system-x86",
    "rabbitmq-server",
    "tcpdump",
)
"""The servers, the DHCP agent with its L2 agent, the hosts' NICs, and QEMU to try out KVM with."""

_EVERY_ROOT = r"""
set -e
rm -f "$1/etc/apt/sources.list" "$1/etc/apt/apt.conf.d/99mmdebstrap"
: > "$1/etc/apt/sources.list"
: > "$1/etc/machine-id"
rm -f "$1/var/lib/dbus/machine-id" "$1"/etc/ssh/ssh_host_* "$1/etc/hostname" "$1/etc/resolv.conf"
: > "$1/etc/resolv.conf"
for unit in e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer fstrim.timer \
    dpkg-db-backup.timer console-getty.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
"""

_SCHEMA = r"""
set -e
chroot "$1" sh -e -s <<'INNER'
cat > /etc/mysql/mariadb.conf.d/90-lab.cnf <<'CONFIG'
[mysqld]
skip-networking
performance_schema = OFF
innodb_flush_log_at_trx_commit = 0
innodb_buffer_pool_size = 64M
innodb_log_file_size = 16M
skip-log-bin
CONFIG
install -d -o mysql -g root /run/mysqld
mariadbd --user=mysql --socket=/run/mysqld/mysqld.sock >/dev/null 2>&1 &
server=$!
tries=0
until mariadb -e 'SELECT 1' >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo 'the database did not start' >&2; exit 1; }
    sleep 0.2
done
mariadb -e 'CREATE DATABASE neutron CHARACTER SET utf8'
cat > /root/migrate.conf <<'CONFIG'
[database]
connection = mysql+pymysql://root@localhost/neutron?unix_socket=/run/mysqld/mysqld.sock&charset=utf8
CONFIG
neutron-db-manage --config-file /root/migrate.conf upgrade head
rm /root/migrate.conf
mariadb-admin shutdown
wait $server
INNER
for unit in neutron-api neutron-rpc-server neutron-dhcp-agent neutron-linuxbridge-agent openvswitch-switch \
    ovsdb-server ovs-vswitchd ovs-record-hostname haproxy dnsmasq netfilter-persistent; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit.service"
done
"""
"""Neutron's tables are made once, here; they take most of a minute."""


@dataclass(frozen=True)
class Root:
    kind: str
    packages: Sequence[str]
    script: str

    @property
    def version(self) -> str:
        return key(apt.SUITE, *self.packages, self.script)

    def ensure(self, cache: Cache) -> Path:
        """The finished root file system, built when the cache has none of this version (1 to 3 minutes)."""
        return cache.keep(self.kind, self.version, self._build)

    def _build(self, target: Path) -> None:
        script = target.with_name(f"{target.name}-script")
        script.mkdir()
        hook = script / "hook"
        hook.write_text(f"#!/bin/sh\n{self.script}")
        hook.chmod(0o755)
        options = [f"--aptopt={line}" for line in apt.acquire_options()]
        isolated = ["nice", "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        run(
            [
                *isolated,
                "--mount-proc",
                "mmdebstrap",
                "--mode=root",
                "--variant=minbase",
                f"--include={','.join(self.packages)}",
                '--aptopt=APT::Install-Recommends "false"',
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                "--dpkgopt=force-unsafe-io",
                *options,
                f"--customize-hook={hook}",
                "--format=directory",
                apt.SUITE,
                str(target),
                *apt.sources(),
            ],
            timeout=3600,
            env={"LC_ALL": "C.UTF-8"},
        )
        hook.unlink()
        script.rmdir()
        target.chmod(0o755)


def host() -> Root:
    return Root("host", HOST, _EVERY_ROOT)


def control() -> Root:
    return Root("control", CONTROL, _SCHEMA + _EVERY_ROOT)
