"""Which orders of the engine are obeyed (rules 11 to 13 of the vNIC protocol). Pure: no libvirt, no clock.

The agent's *session* is new for each process; an order carries the session that the database knew when the order
was written, and an order of another session is refused (rule 12). The *floor* of a VM is the highest epoch that was
obeyed for it; a start must be strictly above it (rule 13), so that a duplicate or a late one never revives a
guest. Floors live in memory: sessions close the gap that a restart of the agent leaves.
"""

from __future__ import annotations

import threading
import uuid


class Refused(Exception):
    """An order that is not obeyed; nothing changed. The message begins with the kind, then says why."""


class Orders:
    def __init__(self, session: str | None = None) -> None:
        self.session = session or str(uuid.uuid4())
        self._floors: dict[str, int] = {}
        self._under_way: dict[str, int] = {}
        """Per VM the epoch of a start that was obeyed and has not ended: its guest may appear at any moment."""
        self._mutex = threading.Lock()

    def floor(self, vm: str) -> int:
        with self._mutex:
            return self._floors.get(vm, 0)

    def word(self, vm: str) -> int:
        """The epoch that "not here" may be said under (rule 11), if a look at libvirt *after* this call shows no guest.

        Below the epoch of a start that is being carried out, even when a stop has overtaken it: until that start has
        ended its guest may appear. Asked after the look, the answer could be that of a start obeyed in between.
        """
        with self._mutex:
            floor = self._floors.get(vm, 0)
            return min(floor, self._under_way[vm] - 1) if vm in self._under_way else floor

    def start_ended(self, vm: str) -> None:
        """The start that was obeyed last has come to its end, whichever. Idempotent."""
        with self._mutex:
            self._under_way.pop(vm, None)

    def see(self, vm: str, epoch: int) -> None:
        """A domain of this epoch was seen in libvirt: it was obeyed once, by this process or an earlier one."""
        with self._mutex:
            self._raise(vm, epoch)

    def check_session(self, session: str) -> None:
        """Rule 12. :raises Refused: written for another process or boot of this agent."""
        if session != self.session:
            raise Refused(
                f"session: the order was written for session {session or '(none)'}, this agent's is {self.session}"
            )

    def obey_start(self, vm: str, epoch: int, session: str) -> None:
        """Raises the floor: this epoch will never be obeyed as a start again. ``start_ended`` must follow.

        :raises Refused: rules 12, 13.
        """
        self.check_session(session)
        with self._mutex:
            floor = self._floors.get(vm, 0)
            if epoch <= floor:
                raise Refused(f"epoch: a start of epoch {epoch}, but epoch {floor} was obeyed for VM {vm} already")
            self._raise(vm, epoch)
            self._under_way[vm] = epoch

    def obey_stop(self, vm: str, epoch: int, session: str, running: int) -> None:
        """``running`` is the epoch of the guest that is here or being started, 0 for none.

        Raises the floor, so that a start of this or a lower epoch that lands later is refused. A stop below the
        epoch of the guest was written for an earlier run and is refused; with no guest here it is harmless.

        :raises Refused: rule 12, or the stop is older than the guest.
        """
        self.check_session(session)
        if epoch < running:
            raise Refused(f"epoch: a stop of epoch {epoch}, but the guest of VM {vm} is of epoch {running}")
        self.see(vm, epoch)

    def check_resume(self, vm: str, epoch: int, session: str, running: int) -> None:
        """:raises Refused: rule 12, no guest here, or the guest is of another epoch."""
        self.check_session(session)
        if running == 0:
            raise Refused(f"epoch: VM {vm} is not here; a resume of epoch {epoch} has nothing to resume")
        if epoch != running:
            raise Refused(f"epoch: a resume of epoch {epoch}, but the guest of VM {vm} is of epoch {running}")

    def _raise(self, vm: str, epoch: int) -> None:
        if epoch > self._floors.get(vm, 0):
            self._floors[vm] = epoch
