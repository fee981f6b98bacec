"""The change sequence, transactions and the schema."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from isthmus.model import Cluster, Database, DataCenter, Provider, Removal, Setting, schema
from isthmus.model.claims import Claim, record
from isthmus.model.secrets import Keyring, keyring
from isthmus.start import prepare

MOVES = ("port", "generation", "revision")


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return prepare(tmp_path / "engine", password="secret").engine.db


def test_the_migrations_make_what_the_entities_say(db: Database) -> None:
    assert schema.differences(db) == []


def test_a_second_start_keeps_everything(tmp_path: Path) -> None:
    first = prepare(tmp_path / "engine")
    second = prepare(tmp_path / "engine")
    assert first.new_password
    assert not second.new_password
    assert first.engine.deployment == second.engine.deployment
    assert first.engine.authority.ca_pem == second.engine.authority.ca_pem
    with second.engine.db.read() as session:
        assert len(session.scalars(select(DataCenter)).all()) == 1


def test_every_change_gets_a_higher_number_and_a_removal_is_kept(db: Database) -> None:
    with db.write() as session:
        center = DataCenter(name="one")
        session.add(center)
    first = center.change
    with db.write() as session:
        found = session.get_one(DataCenter, center.id)
        found.description = "changed"
    assert found.change > first
    with db.write() as session:
        session.delete(session.get_one(DataCenter, center.id))
    with db.read() as session:
        (removal,) = session.scalars(select(Removal)).all()
    assert (removal.noun, removal.row_id) == ("DataCenter", center.id)
    assert removal.change > found.change


def test_a_row_that_is_not_changed_keeps_its_number(db: Database) -> None:
    with db.write() as session:
        center = DataCenter(name="one")
        session.add(center)
    with db.write() as session:
        session.get_one(DataCenter, center.id).description = ""
    with db.read() as session:
        assert session.get_one(DataCenter, center.id).change == center.change


def test_a_refused_transaction_changes_nothing(db: Database) -> None:
    def refuse() -> None:
        with db.write() as session:
            session.add(DataCenter(name="never"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        refuse()
    with db.read() as session:
        assert session.scalars(select(DataCenter).where(DataCenter.name == "never")).all() == []


def test_writers_take_turns_and_lose_nothing(db: Database) -> None:
    with db.write() as session:
        session.add(Setting(name="count", value="0"))

    def add() -> None:
        for _ in range(25):
            with db.write() as session:
                row = session.get_one(Setting, "count")
                row.value = str(int(row.value) + 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        assert session.get_one(Setting, "count").value == "100"


def test_secrets_are_encrypted_from_the_first_row_on(db: Database) -> None:
    with db.write() as session:
        provider = Provider(name="p", type="neutron", password="do not tell", broker_password="nor this")
        session.add(provider)
    with db.read() as session:
        kept = session.execute(text("SELECT password, broker_password FROM provider")).one()
        assert session.get_one(Provider, provider.id).password == "do not tell"
    assert "do not tell" not in kept.password
    assert "nor this" not in kept.broker_password
    raw = Path(str(db.engine.url.database))
    for file in raw.parent.glob("engine.db*"):
        assert b"do not tell" not in file.read_bytes()


def test_a_secret_moved_to_another_column_is_not_read() -> None:
    sealed = keyring.encrypt("x", "provider.password")
    with pytest.raises(InvalidTag):
        keyring.decrypt(sealed, "provider.broker_password")


@given(st.text(), st.text(max_size=20))
def test_what_is_encrypted_comes_back(text_: str, context: str) -> None:
    ring = Keyring()
    ring.add("k1", b"0" * 32)
    sealed = ring.encrypt(text_, context)
    assert ring.decrypt(sealed, context) == text_
    assert sealed != ring.encrypt(text_, context)


@pytest.mark.parametrize("changes", [c for n in range(3) for c in itertools.combinations(MOVES, n)])
def test_a_record_counts_only_for_the_row_that_was_read(db: Database, changes: tuple[str, ...]) -> None:
    """Rule 6: whatever of generation, port and revision has moved since the snapshot, the news is thrown away."""
    with db.write() as session:
        provider = Provider(name="p", type="neutron")
        session.add(provider)
        session.flush()
        claim = Claim(
            nic_id="n", vm_id="v", provider_id=provider.id, network_id="x", external_network_id="e", mac="m",
            generation=3, wanted="bound", revision=7,
        )  # fmt: skip
        session.add(claim)
    with db.read() as session:
        seen = session.get_one(Claim, claim.id)
    with db.write() as session:
        row = session.get_one(Claim, claim.id)
        for change in changes:
            match change:
                case "port":
                    row.port_id = "other"
                case "generation":
                    row.generation += 1
                case "revision":
                    row.revision += 1
    moved = bool(changes)
    with db.write() as session:
        assert record(session, seen, port_id="mine") is not moved
    with db.read() as session:
        row = session.get_one(Claim, claim.id)
        assert (row.port_id == "mine") is not moved
        assert row.revision == (8 if not moved else row.revision)


def test_the_first_data_center_has_its_cluster(db: Database) -> None:
    with db.read() as session:
        (cluster,) = session.scalars(select(Cluster)).all()
        assert session.get_one(DataCenter, cluster.data_center_id).name == cluster.name == "Default"
