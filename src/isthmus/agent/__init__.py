"""The program on each host: libvirt, wiring of NICs, VDSM-compatible hooks. It imports only ``isthmus.wire``.

What whoever installs it needs to know:

Code
    A tree that holds ``isthmus/__init__.py``, ``isthmus/wire`` and ``isthmus/agent``, for example under
    ``/usr/lib/isthmus-agent``; run as root with that directory on ``PYTHONPATH``::

        /usr/bin/python3 -m isthmus.agent --config /etc/isthmus-agent/agent.toml

    A systemd unit may use ``Type=notify``, ``Restart=always``, ``KillMode=process`` (guests are libvirt's, not
    ours), ``After=libvirtd.service network-online.target`` (``Wants=``, not ``Requires=``: the agent outlives a
    restart of libvirt and waits for it). SIGTERM ends it within a few seconds and leaves the guests alone.

Packages (Debian 12)
    python3-grpcio, python3-protobuf, python3-libvirt, python3-pyroute2, python3-cryptography (reads the peer's
    certificate), iproute2, libvirt-daemon-system, qemu-system-x86, qemu-utils (disk overlays). Nothing from PyPI.

Files read
    ``/etc/isthmus-agent/agent.toml``
        settings; every key and its default is in ``config.py``
    ``/etc/isthmus-agent/pki/host.crt``, ``host.key`` (mode 0600, made on the host)
        this host's certificate, PEM: serverAuth, DNS name ``<host-id>.host.isthmus``
    ``/etc/isthmus-agent/pki/ca.crt``
        the engine's CA
    ``/etc/isthmus-agent/pki/denied-serials``
        certificates refused though valid: a hexadecimal serial a line, ``#`` begins a comment. May be missing;
        read anew when it changes
    ``/etc/neutron/plugins/ml2/linuxbridge_agent.ini``
        the L2 agent's mappings and its ``host`` (setting ``mappings_file``)
    A renewed certificate, key or CA is used for the next connection; no restart is needed.

Hooks
    ``/usr/libexec/isthmus/hooks/<point>/`` and ``/usr/libexec/vdsm/hooks/<point>/`` (setting ``hooks_dirs``):
    executable regular files, in order of name. The ``openstacknet`` hook is the tree
    ``isthmus/agent/openstacknet/<point>/50_openstacknet``: copy it into the first of them, files mode 0755.
    ``hooking.py``, which such scripts import, needs no installing: the agent puts ``isthmus/agent/hook`` on the
    ``PYTHONPATH`` of every script.

Files written
    ``/var/lib/isthmus-agent/``
        files by checksum, what belongs to a run, hooks' temporary files. Mode 0711: QEMU may run as another user
    ``/var/log/isthmus-agent/agent.log``
        the log, each domain's XML included; the same goes to stderr (the journal)
    ``/var/log/isthmus-agent/console/<vm>.log``
        what the guest wrote to its serial console in its latest run

Listens on TCP 54322 with mutual TLS: only a certificate of that CA that has clientAuth and the DNS name
``engine.isthmus`` is served.
"""
