"""The one error of the sandbox side, with cause, remedy and code in the order in which a person reads them."""

from safebox.firewall import errors


class SandboxError(errors.SandboxError):
    """A sandbox can't be made or can't be trusted, so no agent runs in it.

    Fails closed: nobody catches this to go on with less isolation.
    """

    def __init__(self, cause: str, remedy: str = "", code: str = "sandbox.failed") -> None:
        """Say what is wrong, what the reader can do, and a code that never changes."""
        super().__init__(cause, remedy=remedy, code=code)
