"""Does an address mapping read the fields that its name says, and lose no address?"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.sim.engine.dram_mapping import mapping, pack, picked, split


@pytest.mark.parametrize("name", ["RoBaRaCoCh", "RoBaRaCoBgCh", "RoRaBgBaChCo", "ChRaBaBgRoCo", "RoCoRaBaBgCh^"])
def test_a_mapping_gives_every_address_its_own_place(name: str) -> None:
    widths = {"Ch": 1, "Ra": 1, "Bg": 2, "Ba": 1, "Ro": 3, "Co": 2}
    mapped = mapping(name, 6, widths)
    addresses = np.arange(1 << 10) << 6
    requests = pack(addresses, np.zeros(1 << 10, bool), mapped)
    channels = (addresses >> mapped.channel_at) & 1
    places = set(zip(channels.tolist(), requests.tolist(), strict=True))
    assert len(places) == 1 << 8  # columns are not told apart
    assert requests.max() >> 7 == 7
    assert ((requests >> 1) & 63).max() == 15


def test_a_mapping_reads_its_fields_from_the_top() -> None:
    mapped = mapping("RoBaRaCoBgCh", 5, {"Ch": 4, "Ra": 0, "Bg": 2, "Ba": 2, "Ro": 14, "Co": 5})
    assert (mapped.channel_at, mapped.group_at, mapped.bank_at, mapped.row_at) == (5, 9, 16, 18)
    request = int(pack(np.array([(9 << 18) | (3 << 16) | (2 << 9) | (7 << 5)]), np.array([True]), mapped)[0])
    assert (request >> 7, (request >> 1) & 63, request & 1) == (9, (2 << 2) | 3, 1)


@pytest.mark.parametrize("name", ["", "Ro", "RoBaRaCo", "RoBaRaCoChCh", "RoBaRaCoBgXx", "robaracobgch"])
def test_a_mapping_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"address mapping must be made of Ch, Ra, Bg, Ba, Ro, Co, .*got"):
        mapping(name, 6, dict.fromkeys(("Ch", "Ra", "Bg", "Ba", "Ro", "Co"), 1))


def test_a_stream_is_sorted_by_channel_and_put_back() -> None:
    rng = np.random.default_rng(0)
    mapped = mapping("RoBaRaCoBgCh", 6, {"Ch": 2, "Ra": 0, "Bg": 2, "Ba": 2, "Ro": 8, "Co": 3})
    addresses, writes, arrivals = rng.integers(0, 1 << 23, 300), rng.random(300) < 0.5, np.arange(300)
    requests, times, places, begins = split(addresses, writes, arrivals, mapped)
    assert sorted(places.tolist()) == list(range(300))
    assert picked(times, places).tolist() == arrivals.tolist()
    assert picked(requests, places).tolist() == pack(addresses, writes, mapped).tolist()
    channels = (addresses >> 6) & 3
    for channel in range(4):
        mine = places[channels == channel]
        assert mine.tolist() == list(range(begins[channel], begins[channel + 1]))  # in the stream's order
