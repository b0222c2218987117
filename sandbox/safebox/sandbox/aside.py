"""Work done beside other work, whose result or error is asked for later."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from safebox.firewall.errors import SafeboxError

T = TypeVar("T")


class Aside(Generic[T]):
    """A call on a thread of its own, begun at once; what it may raise is a SafeboxError or an OSError.

    `concurrent.futures` takes longer to import than what is done aside here.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        """Begin."""
        self._call = call
        self._result: list[T] = []
        self._error: SafeboxError | OSError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._call())
        except (SafeboxError, OSError) as error:
            self._error = error

    def result(self) -> T:
        """Wait for the end; return what was returned, or raise what was raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]
