package safebox.lineage_test

import data.data.limits
import data.safebox.fixtures_test as fixtures
import data.safebox.lineage

_denied contains reason.code if some reason in lineage.deny

_allowed if {
	count(lineage.allow) > 0
	count(lineage.deny) == 0
}

test_a_narrower_child_is_allowed if _allowed with input as fixtures.spawn

test_a_run_may_ask_what_became_of_its_children if {
	lineage.allow == {"lineage.children"} with input as fixtures.children
	count(_denied) == 0 with input as fixtures.children
}

test_without_a_grant_nothing_is_told_of_children if {
	every document in fixtures.broken(fixtures.children, "/mandate/lineage") {
		_denied == {"lineage.not_granted"} with input as document
		not _allowed with input as document
	}
}

test_asking_about_children_is_one_tool_of_one_kind if {
	every document in [
		fixtures.set(fixtures.children, "/action/tool", "agent.Children"),
		fixtures.set(fixtures.children, "/action/tool", "agent.spawn"),
		fixtures.set(fixtures.children, "/action/kind", "spawn"),
		fixtures.set(fixtures.children, "/action/kind", null),
		fixtures.set(fixtures.spawn, "/action/tool", "agent.children"),
	] {
		not _allowed with input as document
	}
}

test_a_child_without_a_budget_is_allowed if {
	document := json.patch(fixtures.spawn, [
		{"op": "replace", "path": "/facts/lineage/budget", "value": []},
		{"op": "replace", "path": "/facts/money/charges", "value": []},
	])
	_allowed with input as document
}

_at_the_rate_of_the_pack(births) := json.patch(fixtures.spawn, [
	{"op": "replace", "path": "/mandate/lineage/per_hour", "value": null},
	{"op": "replace", "path": "/facts/lineage/births_hour", "value": births},
])

test_a_mandate_without_a_rate_has_that_of_the_pack if {
	_allowed with input as _at_the_rate_of_the_pack(limits.lineage.per_hour - 1)
	"lineage.too_fast" in _denied with input as _at_the_rate_of_the_pack(limits.lineage.per_hour)
}

test_a_mandate_without_a_word_on_the_rate_is_denied if {
	document := json.patch(fixtures.spawn, [{"op": "remove", "path": "/mandate/lineage/per_hour"}])
	"lineage.too_fast" in _denied with input as document
}

test_another_value_is_denied if {
	every row in [
		["/facts/lineage/parent_known", false, "lineage.unknown_parent"],
		["/action/args/image", "agent:2", "lineage.image_not_listed"],
		["/action/args/command", ["python"], "lineage.command_not_listed"],
		["/action/args/command", ["python", "child.py", "--more"], "lineage.command_not_listed"],
		["/facts/lineage/depth", 3, "lineage.too_deep"],
		["/facts/lineage/depth", 0, "lineage.too_deep"],
		["/mandate/lineage/depth", 0, "lineage.too_deep"],
		["/facts/lineage/children", 2, "lineage.too_many_children"],
		["/facts/lineage/tree", limits.lineage.tree, "lineage.tree_full"],
		["/facts/lineage/births_hour", limits.lineage.per_hour, "lineage.too_fast"],
		["/facts/lineage/births_hour", 3, "lineage.too_fast"],
		["/mandate/lineage/per_hour", 1, "lineage.too_fast"],
		["/mandate/lineage/per_hour", "9", "lineage.too_fast"],
		["/facts/lineage/wider", ["wallet.budget"], "lineage.wider"],
		["/facts/money/charges", [], "lineage.over_budget"],
		["/facts/money/charges/0/units", fixtures.units(999), "lineage.over_budget"],
		["/facts/money/charges/0/remaining", fixtures.units(999), "lineage.over_budget"],
		["/facts/lineage/budget/0/rail", "compute", "lineage.over_budget"],
	] {
		row[2] in _denied with input as fixtures.set(fixtures.spawn, row[0], row[1])
	}
}

test_a_missing_field_is_denied if {
	every row in [
		["/mandate/lineage", "lineage.not_granted"],
		["/facts/lineage", "lineage.unknown_parent"],
		["/facts/lineage/parent_known", "lineage.unknown_parent"],
		["/mandate/lineage/images", "lineage.image_not_listed"],
		["/action/args/image", "lineage.image_not_listed"],
		["/mandate/lineage/commands", "lineage.command_not_listed"],
		["/action/args/command", "lineage.command_not_listed"],
		["/facts/lineage/depth", "lineage.too_deep"],
		["/facts/lineage/depth_limit", "lineage.too_deep"],
		["/mandate/lineage/depth", "lineage.too_deep"],
		["/facts/lineage/children", "lineage.too_many_children"],
		["/mandate/lineage/children", "lineage.too_many_children"],
		["/facts/lineage/tree", "lineage.tree_full"],
		["/facts/lineage/births_hour", "lineage.too_fast"],
		["/facts/lineage/wider", "lineage.wider"],
		["/facts/lineage/budget", "lineage.over_budget"],
		["/facts/money/charges", "lineage.over_budget"],
		["/facts/money/priced", "lineage.over_budget"],
	] {
		every document in fixtures.broken(fixtures.spawn, row[0]) {
			row[1] in _denied with input as document
			not _allowed with input as document
		}
	}
}

_empty := {"action": {"kind": "spawn", "tool": "agent.spawn"}}

test_each_code_is_heard_of_an_empty_question if {
	"lineage.not_granted" in _denied with input as _empty
	"lineage.unknown_parent" in _denied with input as _empty
	"lineage.image_not_listed" in _denied with input as _empty
	"lineage.command_not_listed" in _denied with input as _empty
	"lineage.too_deep" in _denied with input as _empty
	"lineage.too_many_children" in _denied with input as _empty
	"lineage.tree_full" in _denied with input as _empty
	"lineage.too_fast" in _denied with input as _empty
	"lineage.wider" in _denied with input as _empty
	"lineage.over_budget" in _denied with input as _empty
}
