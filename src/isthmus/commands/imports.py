"""Importing a provider's network into a data center."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.audit import audited
from isthmus.commands.caller import Caller, InConflict, Missing
from isthmus.commands.networkrows import apply_fields, attach_everywhere, center_of, note_network
from isthmus.model import Code, Network, NetworkProvision, Provider, VnicProfile
from isthmus.model.points import declare, reach
from isthmus.providers.base import ExternalNetwork
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.networks import imported_as, late_stamps

declare("import.before-commit", "import.after-commit")


def import_network(
    engine: Engine,
    caller: Caller,
    *,
    provider_id: str,
    external: ExternalNetwork,
    data_center_id: str,
    name: str | None = None,
) -> str:
    """Make a provider's network, as the provider has just shown it, one of a data center's: a VM network, in all its
    clusters, not required and without a role, with a vNIC profile of its name.

    :raises Missing: no such provider. :raises Refused: a value is not allowed.
    :raises InConflict: the name is taken, or the data center has this network already.
    """
    name = external.name if name is None else name
    with (
        audited(
            engine,
            caller,
            Code.NETWORK_IMPORT_EXTERNAL_NETWORK_FAILED,
            f"Network {external.name} ({external.id}) could not be imported",
            data_center=data_center_id,
            provider=provider_id,
        ),
        engine.db.write() as session,
    ):
        provider = session.get(Provider, provider_id)
        if provider is None:
            raise Missing(f"There is no provider {provider_id}.")
        center = center_of(session, data_center_id, name)
        other = imported_as(session, center.id, provider.id, external.id)
        if other is not None:
            raise InConflict(
                f"Data center {center.name} has network {external.name} ({external.id}) of provider {provider.name} "
                f"already: as network {other}."
            )
        _refuse_left_over(session, provider, external)
        network = Network(data_center_id=center.id, vm_network=True, stp=False, label="")
        apply_fields(session, network, {"name": name}, external=True, own=None)
        session.add(network)
        network.profiles.append(VnicProfile(name=name))
        network.provided_by.append(
            NetworkProvision(
                data_center_id=center.id,
                provider_id=provider.id,
                external_id=external.id,
                physical_network=external.physical_network,
                segmentation_id=external.segmentation_id,
                network_type=external.network_type,
            )
        )
        session.flush()
        attach_everywhere(session, network)
        note_network(
            session,
            caller,
            Code.NETWORK_IMPORT_EXTERNAL_NETWORK,
            network,
            f"imported from provider {provider.name} ({external.id}) into data center {center.name}",
            provider.id,
        )
        reach("import.before-commit")
    reach("import.after-commit")
    return network.id


def _refuse_left_over(session: Session, provider: Provider, external: ExternalNetwork) -> None:
    """:raises InConflict: the network was made by a call that had been given up, and is about to be deleted."""
    known = session.scalar(
        select(NetworkProvision.id).where(
            NetworkProvision.provider_id == provider.id, NetworkProvision.external_id == external.id
        )
    )
    pending = session.scalars(
        select(NetworkProvision.id).where(
            NetworkProvision.provider_id == provider.id, NetworkProvision.external_id.is_(None)
        )
    )
    if known is None and any(stamp in external.description for stamp in [*late_stamps(session), *pending]):
        raise InConflict(
            f"Network {external.name} ({external.id}) of provider {provider.name} comes from an addition that is not "
            "finished or was given up. It is taken over, or removed, in a moment; look again then."
        )
