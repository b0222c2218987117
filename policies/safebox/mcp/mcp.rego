# METADATA
# title: MCP
# description: Tools of other servers are called by their exact names, as they were when people approved them.
package safebox.mcp

# METADATA
# title: Tools under an MCP grant
# description: A call is allowed under an MCP grant; the rules below take the yes back.
allow contains "mcp.call" if {
	input.action.tool == "mcp.call"
	input.action.kind == "mcp"
	_granted
}

# METADATA
# title: MCP is not granted
# description: Every call needs an MCP grant.
# custom:
#   code: mcp.not_granted
#   threat: mandate
#   severity: medium
#   remedy: Add an mcp section to the mandate.
deny contains {"code": "mcp.not_granted", "message": "The mandate grants no MCP tools."} if {
	input.action.kind == "mcp"
	not _granted
}

# METADATA
# title: The tool is not listed
# description: A tool is called only if the owner listed it for its server, letter by letter.
# custom:
#   code: mcp.tool_not_listed
#   threat: persuasion
#   severity: high
#   remedy: List the tool under mcp.servers in the mandate if the owner wants it used.
deny contains {"code": "mcp.tool_not_listed", "message": "The tool is not listed in the mandate."} if {
	input.action.kind == "mcp"
	not _tool_listed
}

# METADATA
# title: The tool has changed
# description: What a tool says of itself is what it said when people approved it; else it waits to be approved again.
# custom:
#   code: mcp.tool_changed
#   threat: persuasion
#   severity: critical
#   remedy: Read the tool's new description, and approve it again if it is right.
deny contains {"code": "mcp.tool_changed", "message": "The tool is not as it was when it was approved."} if {
	input.action.kind == "mcp"
	not _tool_as_approved
}

# METADATA
# title: The name looks like another one
# description: A tool or server whose name differs from another only in case, spacing or look-alike letters.
# custom:
#   code: mcp.name_lookalike
#   threat: persuasion
#   severity: high
#   remedy: Find out who named it so, and rename one of the two.
deny contains {"code": "mcp.name_lookalike", "message": "The tool's name can be mistaken for another one."} if {
	input.action.kind == "mcp"
	not _name_unlike_others
}

# METADATA
# title: Hidden text in a tool
# description: A description with characters nobody sees says something else to a model than to a person.
# custom:
#   code: mcp.hidden_text
#   threat: persuasion
#   severity: critical
#   remedy: Find out what the hidden characters say, and do not use the server until they are gone.
deny contains {"code": "mcp.hidden_text", "message": "The tool's description has hidden characters."} if {
	input.action.kind == "mcp"
	not _nothing_hidden
}

_granted if is_object(input.mandate.mcp)

_tool_listed if {
	is_string(input.action.args.tool)
	is_array(input.mandate.mcp.servers)
	some server in input.mandate.mcp.servers
	server.name == input.action.args.server
	input.action.args.tool in server.tools
}

_tool_as_approved if {
	is_string(input.facts.mcp.pinned_digest)
	input.facts.mcp.description_digest == input.facts.mcp.pinned_digest
}

_name_unlike_others if input.facts.mcp.confusable == null

_nothing_hidden if input.facts.mcp.hidden_text == false
