"""OpenStack Neutron."""

from isthmus.providers.neutron.provider import NeutronProvider

__all__ = ["NeutronProvider"]
