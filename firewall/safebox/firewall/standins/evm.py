"""An Ethereum chain in this process (py-evm, Prague rules): each accepted transaction is a block of its own.

Everything is a function of the genesis and of the accepted (transaction, block time) pairs, so replaying
them gives the same block hashes. There is no pool: a transaction that can't be mined now is refused, with
the words geth uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from eth.abc import BlockAPI, BlockHeaderAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI, StateAPI
from eth.chains.base import MiningChain
from eth.constants import (
    POST_MERGE_DIFFICULTY,
    POST_MERGE_MIX_HASH,
    POST_MERGE_NONCE,
    ZERO_ADDRESS,
)
from eth.db import get_db_backend
from eth.exceptions import Revert, TransactionNotFound, UnrecognizedTransactionType, VMError
from eth.typing import AccountDetails, HeaderParams
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from safebox.firewall.settings import STAND_IN_CHAIN_ID

CHAIN_ID = STAND_IN_CHAIN_ID
"""The stand-in's own chain id, the one development chains use: no real network will take its transactions."""
BLOCK_GAS = 30_000_000
BLOB_TYPE = 3
DYNAMIC_FEE_TYPE = 2
NATIVE = b"\xee" * 20
"""Who writes the logs of native money that moves in a simulation (`traceTransfers`)."""
TRANSFER = keccak(text="Transfer(address,address,uint256)")
MAX_TRANSACTION_BYTES = 128 * 1024
"""The size above which geth refuses a transaction."""


class TransactionRefusedError(Exception):
    """The chain does not take this transaction; the message is geth's."""


class ExecutionError(Exception):
    """A call ran and failed; `data` is what it returned, if it reverted."""

    def __init__(self, message: str, data: bytes | None = None) -> None:
        super().__init__(message)
        self.data = data


class _Chain(MiningChain):
    chain_id = CHAIN_ID
    vm_configuration = ((BlockNumber(0), PragueVM),)

    def create_header_from_parent(
        self, parent_header: BlockHeaderAPI, **header_params: int | bytes | None
    ) -> BlockHeaderAPI:
        return super().create_header_from_parent(parent_header, **{**header_params, "gas_limit": BLOCK_GAS})


@dataclass(frozen=True, slots=True)
class Call:
    """A message call that changes nothing; gas and value in units and wei."""

    sender: bytes
    to: bytes
    data: bytes
    value: int
    gas: int | None


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a simulated call: what it returned, `error` if it failed, its logs and movements of native money.

    Both are in one list, as they happened: (writer, topics, data), native money under `NATIVE`'s name.
    """

    output: bytes
    gas_used: int
    logs: list[tuple[bytes, tuple[bytes, ...], bytes]]
    error: ExecutionError | None


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction with the block it is in and its receipt."""

    transaction: SignedTransactionAPI
    block: BlockAPI
    receipt: ReceiptAPI

    @property
    def price(self) -> int:
        """The wei paid for each unit of gas."""
        return effective_price(self.transaction, base_fee(self.block.header))


class DevChain:
    """A private chain with prefunded accounts."""

    def __init__(self, timestamp: int, balances: Mapping[bytes, int]) -> None:
        accounts: dict[Address, AccountDetails] = {
            Address(address): {"balance": wei, "nonce": 0, "code": b"", "storage": {}}
            for address, wei in balances.items()
        }
        parameters: dict[str, HeaderParams] = {
            "coinbase": ZERO_ADDRESS,
            "difficulty": POST_MERGE_DIFFICULTY,
            "mix_hash": POST_MERGE_MIX_HASH,
            "nonce": POST_MERGE_NONCE,
            "gas_limit": BLOCK_GAS,
            "timestamp": timestamp,
            "extra_data": b"safebox stand-in",
        }
        self._chain = cast("_Chain", _Chain.from_genesis(get_db_backend(), parameters, accounts))

    @property
    def head(self) -> BlockHeaderAPI:
        """The newest block's header."""
        return self._chain.get_canonical_head()

    @property
    def next_base_fee(self) -> int:
        """What each unit of gas costs at least in the next block, in wei."""
        return base_fee(self._chain.header)

    def accept(self, raw: bytes, now: int) -> tuple[bytes, int]:
        """Check a signed transaction and mine it; returns its hash and its block's time.

        Raises:
            TransactionRefusedError: It can't be mined now; nothing changed.
        """
        transaction = self._decode(raw)
        self._check(transaction)
        timestamp = max(self.head.timestamp + 1, now)
        self._chain.header = self._chain.header.copy(timestamp=timestamp, mix_hash=keccak(self.head.hash))
        try:
            self._chain.apply_transaction(transaction)
        except ValidationError as error:
            raise TransactionRefusedError(str(error)) from error
        self._chain.mine_block()
        return transaction.hash, timestamp

    def header(self, number: int) -> BlockHeaderAPI | None:
        """The header of the block with this number, if there is one."""
        if not 0 <= number <= self.head.block_number:
            return None
        return self._chain.get_canonical_block_header_by_number(BlockNumber(number))

    def block(self, number: int) -> BlockAPI:
        """The block with this number, which must exist."""
        return self._chain.get_canonical_block_by_number(BlockNumber(number))

    def state(self, header: BlockHeaderAPI) -> StateAPI:
        """The accounts after this block."""
        return self._chain.get_vm(at_header=header).state

    def find(self, transaction_hash: bytes) -> Mined | None:
        """A mined transaction by its hash."""
        try:
            number, index = self._chain.chaindb.get_transaction_index(Hash32(transaction_hash))
        except TransactionNotFound:
            return None
        return self.mined(number)[index]

    def mined(self, number: int) -> list[Mined]:
        """The transactions of a block, in order."""
        block = self.block(number)
        receipts = block.get_receipts(self._chain.chaindb)
        return [Mined(one, block, receipt) for one, receipt in zip(block.transactions, receipts, strict=True)]

    def call(self, call: Call, header: BlockHeaderAPI) -> bytes:
        """Run a message call on the state after `header`; returns what it returned.

        Raises:
            ExecutionError: It reverted, failed, or could not be paid for.
        """
        vm = self._chain.get_vm(at_header=header)
        try:
            with vm.in_costless_state() as state:
                computation = state.apply_transaction(self._spoof(call, state))
        except ValidationError as error:
            raise ExecutionError(_words(error)) from error
        _raise_for(computation)
        return computation.output

    def simulate(self, calls: Sequence[Call], header: BlockHeaderAPI, *, native: bool) -> list[Ran]:
        """Run message calls one after the other on the state after `header`, each on what the ones before it left.

        Raises:
            ExecutionError: One could not be paid for.
        """
        vm = self._chain.get_vm(at_header=header)
        try:
            with vm.in_costless_state() as state:
                return [_ran(state.apply_transaction(self._spoof(call, state)), native=native) for call in calls]
        except ValidationError as error:
            raise ExecutionError(_words(error)) from error

    def estimate(self, call: Call, header: BlockHeaderAPI) -> int:
        """The least gas with which a call succeeds.

        Raises:
            ExecutionError: It succeeds with no amount of gas.
        """
        vm = self._chain.get_vm(at_header=header)
        try:
            with vm.in_costless_state() as state:
                transaction = self._spoof(call, state)
            return self._chain.estimate_gas(transaction, header)
        except ValidationError as error:
            raise ExecutionError(_words(error)) from error
        except VMError as error:
            raise _execution_error(error) from error

    def _spoof(self, call: Call, state: StateAPI) -> SignedTransactionAPI:
        unsigned = self._chain.create_unsigned_transaction(
            nonce=state.get_nonce(Address(call.sender)),
            gas_price=0,
            gas=BLOCK_GAS if call.gas is None else min(call.gas, BLOCK_GAS),
            to=Address(call.to),
            value=call.value,
            data=call.data,
        )
        return SpoofTransaction(unsigned, from_=call.sender)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    def _decode(self, raw: bytes) -> SignedTransactionAPI:
        if not raw:
            raise TransactionRefusedError("typed transaction too short")
        if len(raw) > MAX_TRANSACTION_BYTES:
            raise TransactionRefusedError(f"oversized data: transaction size {len(raw)}, limit {MAX_TRANSACTION_BYTES}")
        if raw[0] == BLOB_TYPE:
            raise TransactionRefusedError("transaction type not supported")
        try:
            transaction = self._chain.get_vm().get_transaction_builder().decode(raw)
            transaction.validate()
            transaction.check_signature_validity()
        except UnrecognizedTransactionType as error:
            raise TransactionRefusedError("transaction type not supported") from error
        except (RLPException, ValidationError) as error:
            raise TransactionRefusedError(f"invalid transaction: {error}") from error
        if transaction.chain_id is None:
            raise TransactionRefusedError("only replay-protected (EIP-155) transactions allowed over RPC")
        if transaction.chain_id != CHAIN_ID:
            have = f"have {transaction.chain_id} want {CHAIN_ID}"
            raise TransactionRefusedError(f"invalid sender: invalid chain id for signer: {have}")
        return transaction

    def _check(self, transaction: SignedTransactionAPI) -> None:
        if self.find(transaction.hash):
            raise TransactionRefusedError("already known")
        state = self.state(self.head)
        expected, nonce = state.get_nonce(transaction.sender), transaction.nonce
        if nonce != expected:
            word = "low" if nonce < expected else "high"
            raise TransactionRefusedError(f"nonce too {word}: next nonce {expected}, tx nonce {nonce}")
        self._check_gas(transaction)
        balance = state.get_balance(transaction.sender)
        cost = transaction.value + transaction.gas * transaction.max_fee_per_gas
        if balance < cost:
            detail = f"balance {balance}, tx cost {cost}, overshot {cost - balance}"
            raise TransactionRefusedError(f"insufficient funds for gas * price + value: {detail}")

    def _check_gas(self, transaction: SignedTransactionAPI) -> None:
        fee, tip, base = transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas, self.next_base_fee
        if transaction.gas > BLOCK_GAS:
            raise TransactionRefusedError("exceeds block gas limit")
        if transaction.gas < transaction.intrinsic_gas:
            detail = f"gas {transaction.gas}, minimum needed {transaction.intrinsic_gas}"
            raise TransactionRefusedError(f"intrinsic gas too low: {detail}")
        if tip > fee:
            raise TransactionRefusedError("max priority fee per gas higher than max fee per gas")
        if fee < base:
            detail = f"maxFeePerGas: {fee}, baseFee: {base}"
            raise TransactionRefusedError(f"max fee per gas less than block base fee: {detail}")


def base_fee(header: BlockHeaderAPI) -> int:
    """The wei each unit of gas costs at least in this block."""
    return header.base_fee_per_gas or 0


def effective_price(transaction: SignedTransactionAPI, base: int) -> int:
    """The wei a transaction pays for each unit of gas over this base fee (EIP-1559)."""
    return min(transaction.max_fee_per_gas, base + transaction.max_priority_fee_per_gas)


def _ran(computation: ComputationAPI, *, native: bool) -> Ran:
    failed = computation.is_error
    logs = [
        (bytes(address), tuple(topic.to_bytes(32) for topic in topics), data)
        for address, topics, data in computation.get_log_entries()
    ]
    moved = _native_moves(computation) if native else []
    error = _execution_error(computation.error) if failed else None
    return Ran(computation.output, computation.get_gas_used(), moved + logs, error)


def _native_moves(computation: ComputationAPI) -> list[tuple[bytes, tuple[bytes, ...], bytes]]:
    """Each movement of native money as the log that a token would write of it; nothing in a call that failed."""
    if computation.is_error:
        return []
    message = computation.msg
    found: list[tuple[bytes, tuple[bytes, ...], bytes]] = []
    if message.value and message.should_transfer_value:
        ends = (bytes(message.sender).rjust(32, b"\0"), bytes(message.storage_address).rjust(32, b"\0"))
        found.append((NATIVE, (TRANSFER, *ends), message.value.to_bytes(32)))
    return found + [move for child in computation.children for move in _native_moves(child)]


def _raise_for(computation: ComputationAPI) -> None:
    if computation.is_error:
        raise _execution_error(computation.error) from computation.error


def _execution_error(error: VMError) -> ExecutionError:
    if isinstance(error, Revert):
        data = bytes(error.args[0]) if error.args else b""
        reason = _reason(data)
        return ExecutionError(f"execution reverted: {reason}" if reason else "execution reverted", data)
    return ExecutionError(str(error) or type(error).__name__)


def _reason(data: bytes) -> str:
    """The text of Solidity's `Error(string)`, if `data` is one."""
    if data[:4] != bytes.fromhex("08c379a0"):
        return ""
    length = int.from_bytes(data[36:68])
    return data[68 : 68 + length].decode(errors="replace")


def _words(error: ValidationError) -> str:
    text = str(error)
    if "balance" in text.lower() or "afford" in text.lower():
        return "insufficient funds for transfer"
    return text
