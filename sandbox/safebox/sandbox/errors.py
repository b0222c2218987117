"""The one error of the sandbox side: the sandbox could not be made, and here is what to do about it."""


class SandboxError(Exception):
    """A sandbox can't be made or can't be trusted, so no agent runs in it.

    Fails closed: nobody catches this to go on with less isolation.
    """

    def __init__(self, cause: str, remedy: str = "", code: str = "sandbox.failed") -> None:
        """Say what is wrong, what the reader can do, and a code that never changes."""
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.code = code
