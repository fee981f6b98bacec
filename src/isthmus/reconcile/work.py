"""Begin and end an engine's work: planners made known, what is unfinished woken, hosts followed."""

from __future__ import annotations

from functools import partial

from isthmus.reconcile import claims, hosts, networks, sweep, vms
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.loop import Task

LOOK_AGAIN = 30.0
"""Seconds between two looks for rows that are not at rest and that nobody woke."""


def begin(engine: Engine) -> hosts.Monitors:
    """Start working on this engine's rows; returns at once. ``end`` stops it."""
    monitors = hosts.Monitors(engine)
    loop = engine.loop
    loop.register("vm", partial(vms.plan, engine))
    loop.register("claim", partial(claims.plan, engine))
    loop.register("sweep", partial(sweep.plan, engine))
    loop.register("network", partial(networks.plan, engine))
    loop.register("late-network", partial(networks.plan_late, engine))
    loop.register("host", partial(hosts.plan, engine, monitors))
    loop.register("everything", partial(_look_again, engine))
    loop.start()
    engine.wake("everything", "")
    return monitors


def end(engine: Engine, monitors: hosts.Monitors) -> None:
    """Stop at once. What is under way is cut off; the rows are enough to go on from."""
    engine.loop.close()
    monitors.close()
    engine.close()


def _look_again(engine: Engine, _: str) -> list[Task]:
    sweep.wake_unfinished(engine)
    networks.wake_late(engine)
    engine.wake("everything", "", LOOK_AGAIN)
    return []
