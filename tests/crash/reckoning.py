"""The full reckoning at the end: everything the world holds against everything the ledger says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from tests.crash.far_sides import TREASURY, Mails
from tests.crash.journal import Journal
from tests.crash.load import LEASE_MICRO_USD, PAYEE
from tests.crash.sightings import Sightings
from tests.crash.wire import ModelWire
from tests.crash.witness import Decision, Witness
from tests.live import Chain

WALLET: Final = ("wallet", "ETH")
MONEY_TOOLS: Final = ("wallet.transfer", "wallet.fund", "wallet.sweep")
OPEN_FOREVER: Final = ("email.send", "inference.chat")
"""Nobody can be asked about a mail or a question whose answer was lost."""


def payments(witness: Witness, chain: Chain, owner: str) -> Iterator[str]:
    """Payments: each mined one planned, decided and settled as it was mined; balances to the last wei."""
    planned = {(each.plan["sender"].lower(), each.plan["nonce"], _fees(each)): each for each in _payments(witness)}
    mined = [each for each in chain.transactions() if each["from"].lower() in _ours(witness, owner)]
    confirmed: set[str] = set()
    for each in mined:
        decision = planned.get((each["from"].lower(), int(each["nonce"], 16), int(each["maxPriorityFeePerGas"], 16)))
        if decision is None:
            yield f"{each['hash']} was mined and nothing allows it"
            continue
        confirmed.add(decision.action)
        yield from _as_mined(decision, each, chain)
    for decision in _payments(witness):
        if decision.status == "done" and decision.action not in confirmed:
            yield f"{decision.action} is done in the ledger and not on the chain"
    yield from _balances(witness, chain, owner)


def _payments(witness: Witness) -> list[Decision]:
    found = (each for each in witness.actions.values() if each.allowed and each.tool in MONEY_TOOLS)
    return [each for each in found if "nonce" in each.plan]


def _fees(decision: Decision) -> int:
    return int(decision.plan["max_priority_fee_per_gas"]["units"])


def _ours(witness: Witness, owner: str) -> set[str]:
    return {owner.lower(), *(run.address.lower() for run in witness.runs.values() if run.address is not None)}


def _as_mined(decision: Decision, mined: dict[str, Any], chain: Chain) -> Iterator[str]:
    plan = decision.plan
    if (plan["to"].lower(), int(plan["value"]["units"])) != (mined["to"].lower(), int(mined["value"], 16)):
        yield f"{mined['hash']} pays something else than {decision.action} was allowed"
    receipt = chain.ask("eth_getTransactionReceipt", mined["hash"])
    cost = int(mined["value"], 16) + int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    final = decision.outcomes[-1] if decision.outcomes else None
    if final is None or (final.status, final.charges.get(WALLET)) != ("done", cost):
        yield f"{mined['hash']} cost {cost} and {decision.action} was settled as {final}"


def _balances(witness: Witness, chain: Chain, owner: str) -> Iterator[str]:
    funded: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    swept = 0
    for each in _payments(witness):
        if each.status == "done":
            target, value = each.plan["to"].lower(), int(each.plan["value"]["units"])
            spent[each.plan["sender"].lower()] += each.outcomes[-1].charges[WALLET]
            funded[target] += value
            swept += value if each.tool == "wallet.sweep" else 0
    for address in _ours(witness, owner) - {owner.lower()} | {PAYEE.lower()}:
        if (held := chain.balance(address)) != funded[address] - spent[address]:
            yield f"{address} holds {held}, the ledger says {funded[address] - spent[address]}"
    if (held := chain.balance(owner)) != TREASURY + swept - spent[owner.lower()]:
        yield f"the owner holds {held}, the ledger says {TREASURY + swept - spent[owner.lower()]}"


def budgets(witness: Witness, model: ModelWire, found: Sightings) -> Iterator[str]:
    """What each run was really given of anything is within what its mandate grants, counted in the world alone."""
    tokens: Counter[str] = Counter()
    leases: Counter[str] = Counter(each.reference.partition(".")[0] for each in found.seen.values() if each.started)
    for one in model.asked:
        tokens.update({each.run: one.tokens for each in witness.marked["inference.chat", one.mark] if each.allowed})
    for name, run in witness.runs.items():
        if tokens[name] > run.lines["inference", "TOKEN"].granted:
            yield f"{name} used {tokens[name]} tokens, granted were {run.lines['inference', 'TOKEN'].granted}"
        if leases[name] * LEASE_MICRO_USD > run.lines["compute", "USD"].granted:
            yield f"{name} had {leases[name]} leases, more than its {run.lines['compute', 'USD'].granted} micro-USD pay"
        for line, book in run.lines.items():
            if book.spent + book.reserved > book.granted:
                yield f"{name} overspent {line}: {book}"


def may_become_known(decision: Decision) -> bool:
    """Whether somebody can still be asked what became of it."""
    if not decision.allowed or decision.status in ("done", "failed") or decision.tool in OPEN_FOREVER:
        return False
    return decision.status == "open" or "nonce" not in decision.plan or decision.by_agent


def outcomes(witness: Witness) -> Iterator[str]:
    """Nothing is open, and unknown is only what nobody can be asked about, or a payment that may still be mined."""
    for each in witness.actions.values():
        settled = not each.allowed or each.status in ("done", "failed")
        excused = each.status == "unknown" and (each.tool in OPEN_FOREVER or "nonce" in each.plan)
        if not settled and not excused:
            yield f"{each.tool} {each.action} is {each.status} at the end"


def effects(witness: Witness, mails: Mails, model: ModelWire, found: Sightings) -> Iterator[str]:
    """What the ledger says was done is there: each mail in the relay's store, each question, each container."""
    kept = Counter((each["mark"], each["digest"]) for each in mails.on_disk())
    asked = Counter(each.mark for each in model.asked)
    ran = Counter(each.reference.partition(".")[2] for each in found.seen.values() if each.started)
    wrote = {each.reference.partition(".")[2]: each.output.strip() for each in found.seen.values()}
    yield from (f"{what} is in the relay's store {count} times" for what, count in kept.items() if count > 1)
    for each in witness.actions.values():
        if each.status != "done":
            continue
        if each.tool == "email.send" and kept[each.mark, each.plan["digest"]] != 1:
            yield f"the mail {each.mark} is done in the ledger and not in the relay's store"
        if each.tool == "inference.chat" and asked[each.mark] != 1:
            yield f"the question {each.mark} is done in the ledger and reached the model {asked[each.mark]} times"
        if each.tool == "compute.start" and ran[each.action] != 1:
            yield f"{each.action} is done in the ledger and {ran[each.action]} containers were started for it"
        if each.tool == "compute.start" and wrote.get(each.action) not in ("", each.mark):
            yield f"the container of {each.action} wrote {wrote.get(each.action)!r}, not {each.mark!r}"


def answers(journal: Journal) -> Iterator[str]:
    """One key has one answer, except that what was unknown may have become known."""
    for question in journal.questions:
        clear = [each for each in question.answers if each.status not in (503, 504)]
        if any((each.status, each.document) != (clear[0].status, clear[0].document) for each in clear[1:]):
            yield f"{question.key} of {question.run} was answered {[(each.status, each.code) for each in clear]}"
