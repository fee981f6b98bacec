"""Ansible lookup, run on the engine: signs the request that a host made, with the engine's authority."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError  # type: ignore[import-untyped]
from ansible.plugins.lookup import LookupBase  # type: ignore[import-untyped]

from isthmus.hosts.pki import Authority, CertificateRefused


class LookupModule(LookupBase):  # type: ignore[misc]
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """``lookup('isthmus_certificate', csr, directory=…, host_id=…)``: the certificate, PEM."""
        self.set_options(var_options=variables, direct={})
        try:
            return [Authority(kwargs["directory"]).sign_host(str(csr), kwargs["host_id"]).pem for csr in terms]
        except CertificateRefused as error:
            raise AnsibleLookupError(str(error)) from error
