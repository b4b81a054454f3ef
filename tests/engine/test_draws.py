"""Random numbers: the words of Philox4x32-10, numbers with the right moments, and every sample's its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from invert3d.engine.draws import Draws, philox
from invert3d.ops.seeds import seed_of

MULTIPLIERS = {32: (0xD2511F53, 0xCD9E8D57), 64: (0xD2E7470EE14C6C93, 0xCA5A826395121157)}
WEYL = {32: (0x9E3779B9, 0xBB67AE85), 64: (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)}


def textbook(counter: tuple[int, ...], key: tuple[int, int], bits: int = 32) -> list[int]:
    """One block of Philox4x32-10 or 4x64-10 in whole numbers, as the paper writes it."""
    mask, (r0, l0, r1, l1), (k0, k1) = (1 << bits) - 1, counter, key
    for _ in range(10):
        p0, p1 = MULTIPLIERS[bits][0] * r0, MULTIPLIERS[bits][1] * r1
        r0, l0, r1, l1 = (p1 >> bits) ^ l0 ^ k0, p1 & mask, (p0 >> bits) ^ l1 ^ k1, p0 & mask
        k0, k1 = (k0 + WEYL[bits][0]) & mask, (k1 + WEYL[bits][1]) & mask
    return [r0, l0, r1, l1]


def test_the_textbook_is_right_about_numpy() -> None:
    """NumPy has the generator with words of 64 bits; it counts up before it draws."""
    generator = np.random.Philox(counter=np.array([6, 3, 2, 1], np.uint64), key=np.array([2**63 + 5, 77], np.uint64))
    wanted = [word for block in (7, 8) for word in textbook((block, 3, 2, 1), (2**63 + 5, 77), 64)]
    assert generator.random_raw(8).tolist() == wanted


def test_the_textbook_is_right_about_random123() -> None:
    """The known answers that come with the paper's library."""
    ones, pi = 0xFFFFFFFF, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert textbook((0,) * 4, (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert textbook((ones,) * 4, (ones, ones)) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert textbook(pi, (0xA4093822, 0x299F31D0)) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize("first", [0, 5, 2**32 - 2, 2**45 + 1])
def test_words_are_those_of_the_textbook(first: int, device: torch.device) -> None:
    keys = [0, 1, 2**63 - 1, 0x299F31D0_A4093822, 2**32, 2**31]
    found = philox(torch.tensor(keys, device=device), first, 3).tolist()
    for key, words in zip(keys, found, strict=True):
        halves = (key & 0xFFFFFFFF, key >> 32)
        blocks = [textbook((n & 0xFFFFFFFF, n >> 32, 0, 0), halves) for n in range(first, first + 3)]
        assert words == [word for block in blocks for word in block]


def test_many_words_are_made_in_parts_and_are_the_same() -> None:
    keys = torch.tensor([3, 2**40 + 1])
    whole = philox(keys, 2, 40_000)
    assert torch.equal(whole[:, 4 * 39_990 :], philox(keys, 39_992, 10))
    assert torch.equal(whole[1:, 4 * 16_380 : 4 * 16_390], philox(keys[1:], 16_382, 10))


def test_numbers_follow_the_words() -> None:
    """A stream is used up in order: n words for n uniform numbers, an even number of them for normal ones."""
    draws, like = Draws.seeded(4, ["a", "b"], "somewhere"), torch.empty(2, 0, dtype=torch.float64)
    assert draws.keys.tolist() == [seed_of(4, "somewhere", "a"), seed_of(4, "somewhere", "b")]
    words = philox(draws.keys, 0, 10).double() / 2**32
    assert torch.equal(draws.uniform(like, 0, 1, 3), words[:, :3])
    assert torch.equal(draws.uniform(like, -1, 3, 2, 2), (4 * words[:, 3:7] - 1).view(2, 2, 2))
    radius, angle = (-2 * (words[:, 7:9] + 2.0**-33).log()).sqrt(), 2 * torch.pi * words[:, 9:11]
    wanted = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)
    assert torch.allclose(draws.normal(like, 3), wanted[:, :3], atol=1e-12)
    assert draws.position == 11 and torch.equal(draws.uniform(like, 0, 1, 1), words[:, 11:12])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_numbers_are_in_their_range_and_agree_between_dtypes(dtype: torch.dtype) -> None:
    like = torch.empty(3, 0, dtype=dtype)
    unit = Draws.seeded(0, range(3)).uniform(like, 0, 1, 5000)
    assert unit.dtype == dtype and unit.min() >= 0 and unit.max() < 1
    fine = Draws.seeded(0, range(3)).uniform(like.double(), 0, 1, 5000)
    assert torch.allclose(unit.double(), fine, rtol=0, atol=2 * torch.finfo(dtype).eps)
    normal = Draws.seeded(0, range(3)).normal(like, 5001)
    assert normal.dtype == dtype and normal.shape == (3, 5001) and normal.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_distributions_and_moments(dtype: torch.dtype) -> None:
    like, count = torch.empty(4, 0, dtype=dtype), 50_000
    draws = Draws.seeded(11, range(4))
    for _ in range(2):
        uniform, normal = draws.uniform(like, 0, 1, count).double(), draws.normal(like, count).double()
        for sample in range(4):
            assert stats.kstest(uniform[sample].numpy(), "uniform").pvalue > 1e-3
            assert stats.kstest(normal[sample].numpy(), "norm").pvalue > 1e-3
        error = 1 / (4 * count) ** 0.5
        moments = [normal.pow(power).mean().item() for power in (1, 2, 3, 4)]
        for found, wanted, deviation in zip(moments, (0, 1, 0, 3), (1, 2**0.5, 15**0.5, 96**0.5), strict=True):
            assert abs(found - wanted) < 4 * deviation * error
    table = torch.cat([uniform, normal])
    assert (torch.corrcoef(table) - torch.eye(8)).abs().max() < 5 / count**0.5, "samples and draws are independent"
    assert abs((uniform[:, 1:] - 0.5).mul(uniform[:, :-1] - 0.5).mean()) < 4 * error / 12


def test_a_sample_draws_the_same_in_any_batch(device: torch.device) -> None:
    """Also after others left, from whatever sizes the draws before were, and whatever was made ahead."""
    shapes = [(1, 1), (7,), (513, 3), (2,), (40_000,), (3, 3)]
    names = ["a", "b", 7, "c"]
    whole, alone = Draws.seeded(3, names), Draws.seeded(3, ["c"])
    like = torch.empty(4, 0, device=device)
    for i, shape in enumerate(shapes):
        if i == 3:
            whole, like = whole.select([1, 3]), like[:2]
        kind = "normal" if i % 2 else "uniform"
        many = whole.normal(like, *shape) if kind == "normal" else whole.uniform(like, 0, 1, *shape)
        one = (
            alone.normal(torch.empty(1, 0), *shape)
            if kind == "normal"
            else alone.uniform(torch.empty(1, 0), 0, 1, *shape)
        )
        assert many.device.type == device.type and many.shape == (len(like), *shape)
        same = torch.equal(many[-1].cpu(), one[0])
        assert same or (device.type != "cpu" and torch.allclose(many[-1].cpu(), one[0], atol=1e-5))
    assert len({tuple(row.tolist()) for row in Draws.seeded(3, names).uniform(torch.empty(4, 0), 0, 1, 2)}) == 4


def test_copies_go_their_own_way_and_states_go_on() -> None:
    like, draws = torch.empty(2, 0), Draws.seeded(0, range(2))
    draws.normal(like, 5)
    copy, state = draws.copy(), draws.state()
    after = draws.uniform(like, 0, 1, 9)
    assert torch.equal(copy.uniform(like, 0, 1, 9), after)
    assert torch.equal(Draws(**state).uniform(like, 0, 1, 9), after), "a state does not go on by itself"
    assert not torch.equal(draws.uniform(like, 0, 1, 9), after)


def test_one_stream_serves_a_whole_batch() -> None:
    draws = Draws.seeded(0, ["views"])
    first, second = draws.uniform(torch.empty(5, 0), 0, 1, 2, 3), draws.normal(torch.empty(3, 0), 4)
    assert first.shape == (5, 2, 3) and second.shape == (3, 4) and len(first.unique()) == 30


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="draws of 2 samples for a batch of 3"):
        Draws.seeded(0, range(2)).uniform(torch.empty(3, 0), 0, 1, 4)
