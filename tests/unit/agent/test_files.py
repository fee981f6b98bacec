"""Files by checksum: in chunks, going on after an interruption, never whole unless their sum is right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.agent import files
from isthmus.agent.files import Files, NoRoom, State, WrongChunk, WrongOffset, WrongSum

DATA = bytes(range(256)) * 40
SUM = hashlib.sha256(DATA).hexdigest()


def test_in_chunks(tmp_path: Path) -> None:
    store = Files(tmp_path)
    assert store.stat(SUM) == State(0, False)
    assert store.put(SUM, len(DATA), 0, DATA[:100]) == State(100, False)
    assert store.put(SUM, len(DATA), 100, DATA[100:]) == State(len(DATA), True)
    assert store.path(SUM).read_bytes() == DATA
    assert store.put(SUM, len(DATA), 0, DATA[:100]).complete, "sent again: it is here"


def test_goes_on_after_a_restart(tmp_path: Path) -> None:
    Files(tmp_path).put(SUM, len(DATA), 0, DATA[:3000])
    store = Files(tmp_path)
    assert store.stat(SUM) == State(3000, False)
    assert store.put(SUM, len(DATA), 3000, DATA[3000:]).complete


def test_any_other_offset_is_refused(tmp_path: Path) -> None:
    store = Files(tmp_path)
    store.put(SUM, len(DATA), 0, DATA[:10])
    with pytest.raises(WrongOffset, match="offset: 20 was sent, but 10 bytes"):
        store.put(SUM, len(DATA), 20, DATA[20:30])


def test_a_wrong_sum_is_thrown_away(tmp_path: Path) -> None:
    store = Files(tmp_path)
    with pytest.raises(WrongSum):
        store.put(SUM, len(DATA), 0, DATA[::-1])
    assert store.stat(SUM) == State(0, False)
    assert store.put(SUM, len(DATA), 0, DATA).complete


def test_chunks_that_cannot_be(tmp_path: Path) -> None:
    store = Files(tmp_path)
    for size, offset, data in (
        (5, 0, b"123456"),
        (5, 4, b"12"),
        (5, 0, b""),
        (1 << 40, 0, b"x" * (files.CHUNK_LIMIT + 1)),
    ):
        with pytest.raises(WrongChunk):
            store.put(SUM, size, offset, data)


def test_no_room(tmp_path: Path) -> None:
    with pytest.raises(NoRoom):
        Files(tmp_path).put(SUM, 1 << 60, 0, b"x")


def test_an_empty_file(tmp_path: Path) -> None:
    assert Files(tmp_path).put(hashlib.sha256(b"").hexdigest(), 0, 0, b"").complete


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=12), st.integers(0, 11))
def test_however_it_is_cut(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], restart: int) -> None:
    data = DATA[: sum(cuts)]
    name = hashlib.sha256(data).hexdigest()
    root = tmp_path_factory.mktemp("files")
    store, offset = Files(root), 0
    for number, length in enumerate(cuts):
        if number == restart:
            store = Files(root)
        state = store.put(name, len(data), offset, data[offset : offset + length])
        offset += length
        assert state == State(offset, offset == len(data))
    assert store.path(name).read_bytes() == data
