"""The firewall's tools as LangChain tools.

    agent = create_agent(model, SafeboxToolkit().get_tools(), system_prompt=...)

A refusal reaches the model as the text of a ToolMessage with status "error"; it is never an exception, so an
agent goes on with the rest of its task.
"""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool, BaseToolkit, ToolException
from pydantic import ConfigDict, Field

from safebox.agents.client import Client
from safebox.agents.functions import answer_call, tools_by_function


class SafeboxTool(BaseTool):
    """One tool of the gateway; the gateway checks the arguments, this only carries them."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: Client = Field(exclude=True, repr=False)
    tool: str  # the name the gateway knows, with dots

    def _run(self, **arguments: Any) -> str:
        answer = answer_call(self.client, self.tool, arguments)
        if not answer.ok:
            raise ToolException(answer.text)  # becomes the ToolMessage's text, see handle_tool_error
        return answer.text


class SafeboxToolkit(BaseToolkit):
    """All tools this run's mandate grants, read from the gateway when asked.

    Args:
        client: The gateway's client; without it, one for the sandbox's own address.
        only: Names of the tools to offer; without it, all. Offering fewer is a courtesy to the model:
            what an agent may do is decided by the firewall.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: Client = Field(default_factory=Client)
    only: frozenset[str] | None = None

    def get_tools(self) -> list[BaseTool]:
        """List the tools.

        Raises:
            ToolError: The gateway's list could not be read.
        """
        offered = [tool for tool in self.client.tools() if self.only is None or tool.name in self.only]
        return [
            SafeboxTool(
                name=function,
                description=tool.description,
                args_schema=tool.parameters,
                handle_tool_error=True,
                client=self.client,
                tool=tool.name,
            )
            for function, tool in tools_by_function(offered).items()
        ]
