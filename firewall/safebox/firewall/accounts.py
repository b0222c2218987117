"""eth-account, imported in the one safe way.

Importing it imports py_ecc, which sets Python's recursion limit to 100,000 for the whole process; the C parsers of JSON
count on that limit to stop before the C stack is used up. So it is put back at once.
"""

import sys

_limit = sys.getrecursionlimit()

from eth_account import Account  # noqa: E402
from eth_account.datastructures import SignedTransaction  # noqa: E402
from eth_account.signers.local import LocalAccount  # noqa: E402
from eth_account.typed_transactions.typed_transaction import TypedTransaction  # noqa: E402

sys.setrecursionlimit(_limit)

__all__ = ["Account", "LocalAccount", "SignedTransaction", "TypedTransaction"]
