"""The Test button: is there a usable Neutron at this address, and if not, what is there and what to do."""

from __future__ import annotations

import time

from isthmus.providers.base import CredentialsWrong, ProviderError, RequestWrong, Settings, TestResult
from isthmus.providers.neutron.client import NeutronClient
from isthmus.providers.neutron.errors import NoAnswer, NotNeutron
from isthmus.providers.neutron.wire import Extensions, WireNetwork, names

LONGEST = 10.0
"""Seconds that a test may take in all."""


def test(settings: Settings) -> TestResult:
    """Asks for one network (the API, its database and our rights at once), then for the extensions.

    With a client of its own: a test says how things are now, not what a pooled connection remembers.
    """
    try:
        client = NeutronClient(settings)
    except RequestWrong as error:
        return TestResult(False, "address", error.message, error.advice)
    except NoAnswer as error:
        return TestResult(False, error.problem, error.seen, error.advice)
    try:
        return _try(client, min(settings.timeout, LONGEST))
    except NoAnswer as error:
        return TestResult(False, error.problem, error.seen, error.advice)
    except NotNeutron as error:
        return TestResult(False, error.problem, error.message, error.advice)
    except CredentialsWrong as error:
        return TestResult(False, "authentication", _said(error), error.advice)
    except ProviderError as error:
        return TestResult(False, "error", _said(error), error.advice or "Look at Neutron's log.")
    finally:
        client.close()


def _try(client: NeutronClient, seconds: float) -> TestResult:
    began = time.monotonic()
    ends = began + seconds
    what = "show a network"
    answer = client.send("GET", "/networks", [("limit", "1"), *names(WireNetwork)], what=what, seconds=seconds)
    client.page(WireNetwork, "networks", answer, what)
    what = "list its extensions"
    left = max(ends - time.monotonic(), 0.001)
    answer = client.send("GET", "/extensions", [("fields", "alias")], what=what, seconds=left)
    aliases = {extension.alias for extension in client.read(Extensions, answer, what).extensions}
    if "binding" not in aliases:
        return TestResult(
            False,
            "error",
            f"{client.root} is a Neutron that does not bind ports to hosts (no extension 'binding')",
            "Load a core plugin with port bindings (ml2), and use credentials that may see them.",
        )
    return TestResult(True, message=f"{client.root} is a usable Neutron ({time.monotonic() - began:.1f} s)")


def _said(error: ProviderError) -> str:
    facts = [fact for fact in (error.error_type, error.request_id and f"request {error.request_id}") if fact]
    return error.message + (f" ({', '.join(facts)})" if facts else "")
