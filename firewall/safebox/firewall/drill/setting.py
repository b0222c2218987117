"""What all stages of one play share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from safebox.firewall.behaviour.overlap import Corpus
from safebox.firewall.core.mandate import encode_mandate
from safebox.firewall.core.windows import SECOND
from safebox.firewall.drill.aim import Aim
from safebox.firewall.mandate.file import load
from safebox.firewall.metrics import Metrics
from safebox.firewall.ports import Engine
from safebox.firewall.sources import read_sources


class Setting:
    """A mandate, what its agent is made of, who judges, and when it is.

    Args:
        mandate: the mandate file's text.
        source: its name, for messages.
        folder: the agent's own; None if there is none.
        engine: judges.
        now_ns: when every run starts.

    Raises:
        MandateErrors: if the mandate is wrong.
    """

    def __init__(self, mandate: str, source: str, folder: Path | None, engine: Engine, now_ns: int) -> None:
        self._given = mandate, source, folder, engine
        self.engine = engine
        self.now_ns = now_ns
        self.metrics = Metrics()
        self.file = load(mandate, now=datetime.fromtimestamp(now_ns // SECOND, UTC), source=source)
        texts = {"the task": self.file.task, "the mandate": encode_mandate(self.file.mandate).decode()}
        sources = read_sources(folder, texts, inbox=self.file.inbox)
        self.corpus = Corpus.build(sources)
        self.ends_ns = int(datetime.fromisoformat(self.file.mandate.expires).timestamp()) * SECOND
        self.aim = Aim(self.file.mandate, sources, now_ns)

    def at(self, now_ns: int) -> Setting:
        """The same at another time.

        Raises:
            MandateErrors: if the mandate doesn't hold then.
        """
        return Setting(*self._given, now_ns)
