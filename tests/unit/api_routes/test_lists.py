"""Collections: search, max, page, follow, and how many SQL statements they take."""

from __future__ import annotations

import json
import re

import ovirtsdk4
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ovirtsdk4 import types

from isthmus.api import lists
from isthmus.commands.caller import Caller, Refused
from isthmus.commands.clusters import add_cluster
from isthmus.commands.datacenters import add_data_center
from isthmus.commands.imports import import_network
from isthmus.commands.networks import add_network
from isthmus.commands.profiles import add_profile
from isthmus.commands.providers import add_provider
from isthmus.model import Code, DataCenter, note
from isthmus.model.jobs import add_step, start_job
from isthmus.providers.base import ExternalNetwork
from isthmus.reconcile.engine import Engine
from tests.served import Client, statements

ME = Caller("tester@internal")


def names(http: Client, path: str) -> list[str]:
    answer = http("GET", path, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in json.loads(answer.text).get("data_center", [])]


# --------------------------------------------------------------------------------------------------------- search


@pytest.fixture
def three(engine: Engine) -> Engine:
    for name in ("north", "South", "west-1"):
        add_data_center(engine, ME, name=name, description="ours")
    return engine


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("name=north", ["north"]),
        ('name="north"', ["north"]),
        ("name = 'north'", ["north"]),
        ("name=north and description=ours", ["north"]),
        ("name=north and description=theirs", []),
        ("name=none", []),
        ("", ["Default", "South", "north", "west-1"]),
        ("sortby name desc", ["west-1", "north", "South", "Default"]),
        ("description=ours sortby name asc page 1", ["South", "north", "west-1"]),
        ("page 2", []),
        ("NAME=north AND description=ours", ["north"]),
    ],
)
def test_what_a_search_finds(three: Engine, http: Client, search: str, found: list[str]) -> None:
    assert names(http, f"datacenters?search={search}") == found


def test_by_id_and_without_case(three: Engine, http: Client) -> None:
    with three.db.read() as session:
        row = session.query(DataCenter).filter_by(name="South").one()
    assert names(http, f'datacenters?search=id="{row.id}"') == ["South"]
    assert names(http, "datacenters?search=name=south") == []
    assert names(http, "datacenters?search=name=south&case_sensitive=false") == ["South"]


@pytest.mark.parametrize(
    "search",
    [
        "name",
        "name!=x",
        "name=x or name=y",
        "name=x name=y",
        "and name=x",
        "colour=red",
        "name=x*",
        "name='x",
        "sortby colour",
        "page x",
        "Vms: name=x",
        'name="a" junk',
    ],
)
def test_what_is_not_understood_is_said(three: Engine, http: Client, search: str) -> None:
    answer = http("GET", f"datacenters?search={search}")
    assert answer.status_code == 400
    assert re.search("nderstood|search by", answer.text)


def test_max_and_page(three: Engine, http: Client) -> None:
    assert names(http, "datacenters?max=2") == ["Default", "South"]
    assert names(http, "datacenters?max=2&search=page 2") == ["north", "west-1"]
    assert names(http, "datacenters?max=0") == []
    assert names(http, "datacenters?max=-1") == ["Default", "South", "north", "west-1"]


WORD = st.text(st.characters(codec="utf-8", exclude_characters="\"'=*", exclude_categories=["Cc", "Z"]), min_size=1)


@given(st.lists(st.tuples(st.sampled_from(["name", "id", "vnic.name"]), WORD), max_size=4), st.integers(0, 99))
def test_every_equality_is_read_back(terms: list[tuple[str, str]], page: int) -> None:
    text = " and ".join(f'{field}="{value}"' for field, value in terms) + (f" page {page}" if page else "")
    search = lists.parse(text)
    assert list(search.terms) == terms
    assert search.page == page


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    said = "understood"
    try:
        lists.parse(text)
    except Refused as refusal:
        said = refusal.detail
    assert "understood" in said


# --------------------------------------------------------------------------------------------------------- follow


def test_follow_writes_out_what_is_linked(engine: Engine, sdk: ovirtsdk4.Connection) -> None:
    centers = sdk.system_service().data_centers_service()
    (center,) = centers.list(follow="clusters.networks,networks.vnicprofiles")
    assert [c.name for c in center.clusters] == ["Default"]
    assert center.networks == []
    add_network(engine, ME, data_center_id=center.id, name="lan")
    (center,) = centers.list(follow="clusters,networks.vnic_profiles")
    assert [p.name for p in center.networks[0].vnic_profiles] == ["lan"]
    network = sdk.system_service().networks_service().list(follow="data_center")[0]
    assert network.data_center.name == "Default"


def test_what_cannot_be_followed_is_said(http: Client) -> None:
    answer = http("GET", "datacenters?follow=colours")
    assert answer.status_code == 400
    assert "clusters, networks can" in answer.text
    assert http("GET", "datacenters?follow=" + ".".join(["clusters", "data_center"] * 9)).status_code == 400


# ----------------------------------------------------------------------------------------------------- statements


def fill(engine: Engine, number: int, start: int) -> None:
    """So many more of each noun."""
    with engine.db.read() as session:
        center = session.query(DataCenter).filter_by(name="Default").one().id
    provider = add_provider(engine, ME, type="unmanaged", name=f"provider{start}")
    for i in range(start, start + number):
        other = add_data_center(engine, ME, name=f"center{i}")
        add_cluster(engine, ME, name=f"cluster{i}", data_center_id=other)
        network = add_network(engine, ME, data_center_id=center, name=f"net{i}")
        add_profile(engine, ME, network_id=network, name=f"more{i}")
        theirs = ExternalNetwork(f"external{i}", f"theirs{i}")
        import_network(engine, ME, provider_id=provider, external=theirs, data_center_id=center)
        with engine.db.write() as session:
            job = start_job(session, f"job {i}")
            add_step(session, job.id, "a step")
            note(session, Code.VM_DOWN, f"event {i}")


COUNTS = {
    "datacenters": 1,
    "datacenters?follow=clusters,networks": 4,
    "clusters": 1,
    "clusters?follow=data_center": 2,
    "clusters/{cluster}/networks": 3,
    "networks": 2,
    "networks?follow=vnic_profiles,data_center,external_provider": 5,
    "datacenters/{center}/networks": 3,
    "vnicprofiles": 1,
    "vnicprofiles?follow=network": 3,
    "openstacknetworkproviders": 1,
    "macpools": 1,
    "events": 1,
    "jobs": 1,
    "jobs?follow=steps": 2,
}
"""Statements of each list, beside the one that looks the token up."""


def test_statements_of_each_list(engine: Engine, http: Client, sdk: ovirtsdk4.Connection) -> None:
    with engine.db.read() as session:
        center = session.query(DataCenter).filter_by(name="Default").one()
        places = {"center": center.id, "cluster": center.clusters[0].id}
    http.session.auth = None
    headers = {"Authorization": f"Bearer {sdk.authenticate()}"}
    for start, number in ((0, 1), (1, 7)):
        fill(engine, number, start)
        for path, expected in COUNTS.items():
            with statements(engine) as seen:
                answer = http("GET", path.format(**places), headers=headers)
            assert answer.status_code == 200, answer.text
            assert len(seen) == 1 + expected, f"{path}, {number} rows: " + "\n".join(seen)


def test_a_long_list_comes_in_pieces(engine: Engine, http: Client) -> None:
    with engine.db.write() as session:
        for i in range(1200):
            note(session, Code.VM_DOWN, f"event {i}: " + "x" * 100)
    answer = http("GET", "events")
    assert answer.status_code == 200
    assert "Content-Length" not in answer.headers
    assert answer.text.count("<event ") == 1200
    assert answer.text.rstrip().endswith("</events>")
    assert len(http("GET", "events", headers={"Accept": "application/json"}).json()["event"]) == 1200


# -------------------------------------------------------------------------------------------------- events, jobs


def test_events_newest_first_and_from(engine: Engine, sdk: ovirtsdk4.Connection) -> None:
    events = sdk.system_service().events_service()
    with engine.db.write() as session:
        for i in range(3):
            note(session, Code.VM_DOWN, f"event {i}", user="admin@internal", correlation_id="c")
    shown = events.list(search="code=61")
    assert [e.description for e in shown] == ["event 2", "event 1", "event 0"]
    assert shown[0].severity == types.LogSeverity.NORMAL
    assert shown[0].user.user_name == "admin@internal"
    later = events.list(from_=int(shown[2].id), search="code=61")
    assert [e.description for e in later] == ["event 2", "event 1"]
    assert events.event_service(shown[1].id).get().code == 61
    assert len(events.list(max=1)) == 1
    for nothing in ("0", "none", "1x"):
        with pytest.raises(ovirtsdk4.NotFoundError):
            events.event_service(nothing).get()


def test_a_job_and_its_steps(engine: Engine, sdk: ovirtsdk4.Connection) -> None:
    with engine.db.write() as session:
        job = start_job(session, "Doing it", user="admin@internal")
        add_step(session, job.id, "First", seconds=2.0)
        add_step(session, job.id, "Second", status="failed", message="because")
    service = sdk.system_service().jobs_service().job_service(job.id)
    shown = service.get()
    assert (shown.description, shown.status, shown.end_time) == ("Doing it", types.JobStatus.STARTED, None)
    first, second = service.steps_service().list()
    assert (first.end_time - first.start_time).total_seconds() == pytest.approx(2.0, abs=0.01)
    assert (second.status, second.description) == (types.StepStatus.FAILED, "Second: because")
    assert service.steps_service().step_service(second.id).get().number == 2
