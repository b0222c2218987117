"""A token approval as the bytes of its call: EIP-20 (and OpenZeppelin's two more), EIP-721, EIP-1155."""

from __future__ import annotations

from typing import Any, Final

from safebox.firewall.core.abi import function, write_arguments
from safebox.firewall.core.signing import Approve

_SIGNATURES: Final = {
    "approve": "approve(address,uint256)",
    "increase_allowance": "increaseAllowance(address,uint256)",
    "decrease_allowance": "decreaseAllowance(address,uint256)",
    "set_approval_for_all": "setApprovalForAll(address,bool)",
}
_ALLOWANCE: Final = "allowance(address,address)"


def allowance_data(owner: str, spender: str) -> str:
    """The data, in hexadecimal, that ask a token how much somebody may take."""
    call = function(_ALLOWANCE)
    return "0x" + (call.selector + write_arguments(call.types, (owner, spender))).hex()


def approval_data(args: Approve) -> bytes:
    """The data that say this to the token, and nothing else."""
    call = function(_SIGNATURES[args.method])
    what: Any = args.approved
    if args.amount is not None:
        what = args.amount.units
    elif args.token_id is not None:
        what = int(args.token_id)
    return call.selector + write_arguments(call.types, (args.spender, what))
