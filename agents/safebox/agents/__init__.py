"""What an agent may use inside the sandbox: a client of the tools gateway and adapters for agent frameworks.

Importing this package costs only the standard library. `safebox.agents.langchain` needs LangChain,
and `safebox.agents.openai` adapts the tools to the OpenAI SDK without importing it.
"""

from safebox.agents.client import Answer, Client, Tool
from safebox.agents.errors import (
    BadRequest,
    Denied,
    EffectFailed,
    EffectUnknown,
    Held,
    Limited,
    Reason,
    ToolError,
    Unavailable,
)
from safebox.agents.toolbox import Toolbox

__all__ = [
    "Answer",
    "BadRequest",
    "Client",
    "Denied",
    "EffectFailed",
    "EffectUnknown",
    "Held",
    "Limited",
    "Reason",
    "Tool",
    "ToolError",
    "Toolbox",
    "Unavailable",
]
