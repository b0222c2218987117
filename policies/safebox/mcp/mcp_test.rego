package safebox.mcp_test

import data.safebox.fixtures_test as fixtures
import data.safebox.mcp

_denied contains reason.code if some reason in mcp.deny

_allowed if {
	count(mcp.allow) > 0
	count(mcp.deny) == 0
}

test_a_listed_tool_as_it_was_approved_is_allowed if _allowed with input as fixtures.mcp

test_another_value_is_denied if {
	every row in [
		["/action/args/tool", "Read_File", "mcp.tool_not_listed"],
		["/action/args/tool", "read_file ", "mcp.tool_not_listed"],
		["/action/args/tool", "write_file", "mcp.tool_not_listed"],
		["/action/args/server", "Files", "mcp.tool_not_listed"],
		["/facts/mcp/description_digest", "sha256:99", "mcp.tool_changed"],
		["/facts/mcp/confusable", "list_files", "mcp.name_lookalike"],
		["/facts/mcp/hidden_text", true, "mcp.hidden_text"],
	] {
		row[2] in _denied with input as fixtures.set(fixtures.mcp, row[0], row[1])
	}
}

test_a_tool_that_nobody_approved_is_denied if {
	document := json.patch(fixtures.mcp, [
		{"op": "replace", "path": "/facts/mcp/description_digest", "value": null},
		{"op": "replace", "path": "/facts/mcp/pinned_digest", "value": null},
	])
	"mcp.tool_changed" in _denied with input as document
}

test_a_missing_field_is_denied if {
	every row in [
		["/mandate/mcp", "mcp.not_granted"],
		["/mandate/mcp/servers", "mcp.tool_not_listed"],
		["/mandate/mcp/servers/0/name", "mcp.tool_not_listed"],
		["/mandate/mcp/servers/0/tools", "mcp.tool_not_listed"],
		["/action/args/server", "mcp.tool_not_listed"],
		["/action/args/tool", "mcp.tool_not_listed"],
		["/facts/mcp", "mcp.tool_changed"],
		["/facts/mcp/description_digest", "mcp.tool_changed"],
		["/facts/mcp/pinned_digest", "mcp.tool_changed"],
		["/facts/mcp/hidden_text", "mcp.hidden_text"],
	] {
		every document in fixtures.broken(fixtures.mcp, row[0]) {
			row[1] in _denied with input as document
			not _allowed with input as document
		}
	}
}

test_not_knowing_what_a_name_resembles_is_a_deny if {
	every path in ["/facts/mcp", "/facts/mcp/confusable"] {
		document := json.patch(fixtures.mcp, [{"op": "remove", "path": path}])
		"mcp.name_lookalike" in _denied with input as document
	}
}

_empty := {"action": {"kind": "mcp", "tool": "mcp.call"}}

test_each_code_is_heard_of_an_empty_question if {
	"mcp.not_granted" in _denied with input as _empty
	"mcp.tool_not_listed" in _denied with input as _empty
	"mcp.tool_changed" in _denied with input as _empty
	"mcp.name_lookalike" in _denied with input as _empty
	"mcp.hidden_text" in _denied with input as _empty
}
