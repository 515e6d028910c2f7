"""The cache follows the API server through everything that has ever made a watch lose events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.shell.webhook.fakeapi import FakeApi, running, until

from lineward_webhook import reflector
from lineward_webhook.reflector import Reflector
from lineward_webhook.table import Index, Table

PATH = "/api/v1/things"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "BACKOFF", (0.01, 0.05))
    monkeypatch.setattr(reflector, "PAGE", 3)


def value(obj: Mapping[str, Any]) -> int | None:
    number = obj.get("value")
    return number if isinstance(number, int) else None


@asynccontextmanager
async def following(api: FakeApi) -> AsyncIterator[tuple[Reflector[int], Table[int]]]:
    table = Table(value)
    async with api.served() as client:
        followed = Reflector(client, "things", PATH, table)
        async with running(followed.run()):
            yield followed, table


async def test_pages_make_one_list() -> None:
    api = FakeApi()
    for i in range(8):
        await api.put(PATH, f"t{i}", "ns", value=i)
    async with following(api) as (followed, table):
        await until(followed.synced.is_set)
        assert table.rows == {("ns", f"t{i}"): i for i in range(8)}
        assert api.lists(PATH) == 1


async def test_events_are_applied() -> None:
    api = FakeApi()
    await api.put(PATH, "a", value=1)
    await api.put(PATH, "b", value=2)
    async with following(api) as (followed, table):
        await until(followed.synced.is_set)
        await api.put(PATH, "a", value=10)
        await api.put(PATH, "c", value=3)
        await api.delete(PATH, "b")
        await until(lambda: table.rows == {("", "a"): 10, ("", "c"): 3})
        assert api.lists(PATH) == 1


async def test_what_happens_between_list_and_watch_is_replayed() -> None:
    api = FakeApi()
    for i in range(5):
        await api.put(PATH, f"t{i}", value=i)
    original = api._list
    changes = iter(["t0"])

    def listing(path: str, query: dict[str, str]) -> Any:
        response = original(path, query)
        for name in changes:
            api.version += 1
            gone = {"type": "DELETED", "object": {"metadata": {"name": name, "resourceVersion": str(api.version)}}}
            api.log.append((api.version, PATH, gone))
        return response

    api._list = listing  # type: ignore[method-assign]
    async with following(api) as (_, table):
        await until(lambda: len(table.rows) == 4)
        assert ("", "t0") not in table.rows


async def test_not_synced_until_a_whole_list_was_read() -> None:
    api = FakeApi(broken=3)
    await api.put(PATH, "a", value=1)
    async with following(api) as (followed, table):
        await until(lambda: len(api.asked) == 2)
        assert not followed.synced.is_set()
        await until(followed.synced.is_set)
        assert table.rows == {("", "a"): 1}


async def test_a_version_that_is_gone_means_listing_again() -> None:
    api = FakeApi()
    await api.put(PATH, "a", value=1)
    await api.put(PATH, "lost", value=2)
    async with following(api) as (followed, table):
        await until(followed.synced.is_set)
        followed._version = "1"
        api.compact()
        del api.objects[PATH]["/lost"]
        async with running(followed.run()):
            await until(lambda: table.rows == {("", "a"): 1})
        assert api.lists(PATH) == 2


async def test_pages_of_a_version_that_is_gone_are_read_again() -> None:
    api = FakeApi(expire_pages=True)
    for i in range(5):
        await api.put(PATH, f"t{i}", value=i)
    async with following(api) as (followed, table):
        await until(followed.synced.is_set)
        assert len(table.rows) == 5
        assert api.lists(PATH) == 2


async def test_silence_opens_a_new_watch_without_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "SILENCE", 0.1)
    api = FakeApi(mute=True)
    await api.put(PATH, "a", value=1)
    async with following(api) as (followed, table):
        await until(followed.synced.is_set)
        await until(lambda: api.watches(PATH) >= 2)
        api.mute = False
        await api.put(PATH, "a", value=2)
        await until(lambda: table.rows == {("", "a"): 2})
        assert api.lists(PATH) == 1


async def test_errors_in_between_keep_what_is_known() -> None:
    api = FakeApi()
    await api.put(PATH, "a", value=1)
    async with following(api) as (followed, table):
        await until(followed.synced.is_set)
        followed._version = "not a number"
        async with running(followed.run()):
            await until(lambda: len(api.asked) > 3)
            assert (followed.synced.is_set(), table.rows) == (True, {("", "a"): 1})


async def test_an_object_that_is_not_kept_any_more_is_forgotten() -> None:
    api = FakeApi()
    await api.put(PATH, "a", value=1)
    async with following(api) as (_, table):
        await until(lambda: bool(table.rows))
        await api.put(PATH, "a", value="finished")
        await until(lambda: not table.rows)


async def test_very_long_events_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()
    async with following(api) as (followed, table):
        await until(followed.synced.is_set)
        await api.put(PATH, "big", value=1, filler="x" * 3_000_000)
        await until(lambda: table.rows == {("", "big"): 1})
        monkeypatch.setattr(reflector, "MAX_EVENT", 1_000_000)


def test_an_index_follows_changes() -> None:
    index: Index[str, int] = Index()
    index.set(("", "a"), [("x", 1), ("y", 2)])
    index.set(("", "b"), [("x", 3)])
    assert (index.get("x"), index.get("y"), index.get("z")) == ((1, 3), (2,), ())
    index.set(("", "a"), [("z", 4)])
    assert (index.get("x"), index.get("y"), index.get("z")) == ((3,), (), (4,))
    index.set(("", "a"), ())
    index.set(("", "b"), ())
    assert not index._values
    assert not index._under
