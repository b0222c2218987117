"""Steps that share a host, an address, an amount or a digest within a day are one chain, in any order."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from safebox.firewall.behaviour.chain import RUN_MAX, Chains
from safebox.firewall.behaviour.links import CROWDED, HANDLES_MAX, amount_handle, bounded, handles_in, named
from safebox.firewall.core.windows import DAY, HOUR

NOW = 1_790_000_000 * 10**9
HOST, OTHER, FUND = "host:203.0.113.9", "host:203.0.113.10", "address:0x" + "a" * 40


def test_steps_that_share_nothing_are_no_chain() -> None:
    chains = Chains()
    chains.add("a", NOW, ("compute",), (HOST,))
    assert chains.joined("a", NOW + HOUR, ("code",), (OTHER,)) == ("code",)


def test_three_steps_are_joined_through_the_one_between_them() -> None:
    chains = Chains()
    chains.add("a", NOW, ("compute",), (HOST, FUND))
    chains.add("a", NOW + HOUR, ("code",), (HOST,))
    assert chains.joined("a", NOW + 2 * HOUR, ("fund",), (FUND,)) == ("code", "compute", "fund")


def test_a_late_handle_joins_what_was_apart() -> None:
    chains = Chains()
    chains.add("a", NOW, ("compute",), (HOST,))
    chains.add("a", NOW, ("fund",), (FUND,))
    chains.add("a", NOW + 1, (), (HOST, FUND))
    assert chains.joined("a", NOW + 2, ("key",), (FUND,)) == ("compute", "fund", "key")


def test_runs_of_one_owner_are_one_chain() -> None:
    chains = Chains()
    chains.add("a", NOW, ("compute",), (HOST,))
    assert chains.joined("b", NOW + HOUR, ("code",), (HOST,)) == ("code", "compute")


def test_a_step_of_yesterday_is_forgotten_and_its_chain_with_it() -> None:
    chains = Chains()
    chains.add("a", NOW, ("compute",), (HOST,))
    assert chains.joined("a", NOW + DAY - 1, ("code",), (HOST,)) == ("code", "compute")
    assert chains.joined("a", NOW + DAY, ("code",), (HOST,)) == ("code",)


def test_a_run_with_too_many_handles_joins_its_own_and_nobody_elses() -> None:
    chains = Chains()
    for number in range(RUN_MAX + 1):
        chains.add("noisy", NOW, ("key",), (f"host:{number}",))
    chains.add("noisy", NOW, ("compute",), ("host:one-more",))
    assert chains.joined("noisy", NOW, ("code",), ("host:yet-another",)) == ("code", "compute", "key")
    assert chains.joined("quiet", NOW, ("code",), ("host:yet-another",)) == ("code",)


def test_an_action_with_too_many_handles_is_crowded() -> None:
    assert bounded(f"host:{number}" for number in range(HANDLES_MAX + 1))[0] == CROWDED
    chains = Chains()
    chains.add("a", NOW, ("compute",), (CROWDED,))
    assert chains.joined("a", NOW, ("code",), (CROWDED,)) == ("code", "compute")
    assert chains.joined("b", NOW, ("code",), (CROWDED,)) == ("code",)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, DAY // 4),
        st.sampled_from(["compute", "code", "fund", "key"]),
        st.sets(st.sampled_from([f"host:{letter}" for letter in "abcdefgh"]), min_size=1, max_size=3),
    ),
    max_size=12,
)


@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_in_which_steps_are_told_changes_nothing(
    steps: list[tuple[str, int, str, set[str]]], random: Random
) -> None:
    told, shuffled = Chains(), list(steps)
    random.shuffle(shuffled)
    again = Chains()
    for chains, order in ((told, steps), (again, shuffled)):
        for run, after, link, handles in order:
            chains.add(run, NOW + after, (link,), tuple(sorted(handles)))
    assert told.known(NOW + DAY // 2) == again.known(NOW + DAY // 2)


def test_what_is_old_takes_no_memory() -> None:
    chains = Chains()
    for number in range(20_000):
        chains.add(f"run_{number}", NOW + number * HOUR, ("key",), (f"host:{number}",))
    assert len(chains.known(NOW + 20_000 * HOUR)) < 30
    assert len(chains._groups) < 3_000  # pyright: ignore[reportPrivateUsage]


def test_handles_are_read_out_of_prose_but_for_what_everybody_knows() -> None:
    text = f"Copy main.py to box.example.org (203.0.113.9), pay 0x{'AB' * 20}; see https://office.example.com/x.html"
    found = set(handles_in(text, frozenset({"office.example.com"})))
    assert found == {"host:box.example.org", "host:203.0.113.9", f"address:0x{'ab' * 20}"}


def test_only_an_amount_that_is_not_round_says_which_deal_it_is() -> None:
    assert list(amount_handle("ETH", 5 * 10**17)) == []
    assert list(amount_handle("ETH", 123456 * 10**10)) == [f"amount:ETH:{123456 * 10**10}"]


def test_the_names_of_tools_and_paths_tell_their_step() -> None:
    assert named("/v2/droplets") == {"compute"}
    assert named("create_ssh_key") == {"key"}
    assert named("/api-keys") == {"key"}
    assert named("install_crontab") == {"persist"}
    assert named("/orders/17/items") == set()
