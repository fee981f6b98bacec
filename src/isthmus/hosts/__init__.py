"""The engine's side of a host: its agent's client, its deployment, where a VM goes, and what is seen of it."""

import os

# gRPC's C core writes each lost connection to stderr; what matters of it is raised by ``hosts.client``.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
