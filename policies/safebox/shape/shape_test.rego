package safebox.shape_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.shape.deny

_more(document, path) := json.patch(document, [{"op": "add", "path": path, "value": "x"}])

_argument_paths(document) := {sprintf("/action/args/%s", [name]) | some name in object.keys(document.action.args)}

test_every_tools_good_input_is_well_formed if {
	every document in fixtures.every_one {
		count(_denied) == 0 with input as document
	}
	{document.action.tool | some document in fixtures.every_one} == object.keys(data.data.tools)
}

test_an_action_with_a_field_missing_is_malformed if {
	every document in fixtures.every_one {
		every path in ["/action/id", "/action/args", "/action/time"] {
			every changed in fixtures.broken(document, path) {
				"shape.malformed" in _denied with input as changed
			}
		}
	}
}

test_an_action_with_an_argument_missing_is_malformed if {
	every document in fixtures.every_one {
		every path in _argument_paths(document) {
			"shape.malformed" in _denied with input as fixtures.broken(document, path)[0]
		}
	}
}

test_an_argument_that_is_an_object_is_malformed if _none_may_be({"x": 1})

test_an_argument_that_is_a_list_is_malformed if _none_may_be([7])

test_an_argument_that_is_a_list_of_lists_is_malformed if _none_may_be([["x"]])

_none_may_be(wrong) if {
	every document in fixtures.every_one {
		every path in _argument_paths(document) {
			"shape.malformed" in _denied with input as fixtures.set(document, path, wrong)
		}
	}
}

test_a_field_too_many_is_malformed if {
	every document in fixtures.every_one {
		every path in ["/action/more", "/action/args/more"] {
			"shape.malformed" in _denied with input as _more(document, path)
		}
	}
}

test_what_may_be_left_open_may_be_null if {
	every pair in [
		[fixtures.transfer, ["gas", "nonce", "max_fee_per_gas", "max_priority_fee_per_gas"]],
		[fixtures.fund, ["amount"]],
		[fixtures.sweep, ["amount"]],
		[fixtures.compute, ["input", "name"]],
		[fixtures.inference, ["max_tokens"]],
	] {
		every name in pair[1] {
			count(_denied) == 0 with input as fixtures.set(pair[0], sprintf("/action/args/%s", [name]), null)
		}
	}
}

test_a_number_may_be_given_where_it_may_be_null if {
	count(_denied) == 0 with input as fixtures.set(fixtures.transfer, "/action/args/nonce", 7)
	count(_denied) == 0 with input as fixtures.set(fixtures.compute, "/action/args/name", "job-1")
	count(_denied) == 0 with input as fixtures.set(fixtures.approve, "/action/args/approved", true)
	count(_denied) == 0 with input as fixtures.set(fixtures.approve, "/action/args/approved", null)
	fee := fixtures.amount("ETH", 1)
	count(_denied) == 0 with input as fixtures.set(fixtures.transfer, "/action/args/max_priority_fee_per_gas", fee)
}

test_a_file_has_exactly_its_fields if {
	file := {"name": "bills.pdf", "bytes": 2048, "digest": "sha256:11"}
	count(_denied) == 0 with input as fixtures.set(fixtures.email, "/action/args/attachments", [file, file])
	every wrong in [
		null,
		"bills.pdf",
		{},
		object.remove(file, ["name"]),
		object.union(file, {"name": 1}),
		object.union(file, {"bytes": "2048"}),
		object.union(file, {"digest": null}),
		object.union(file, {"more": 1}),
	] {
		document := fixtures.set(fixtures.email, "/action/args/attachments", [file, wrong])
		"shape.malformed" in _denied with input as document
	}
}

test_a_list_of_texts_is_not_empty_and_holds_nothing_else if {
	every wrong in [null, "a", {}, [], [null, "a"], ["a", 1], ["a", ["b"]], ["a", {}]] {
		"shape.malformed" in _denied with input as fixtures.set(fixtures.email, "/action/args/to", wrong)
		"shape.malformed" in _denied with input as fixtures.set(fixtures.compute, "/action/args/command", wrong)
	}
}

test_a_tool_nobody_knows_is_left_to_main if {
	count(_denied) == 0 with input as fixtures.set(fixtures.email, "/action/tool", "email.shred")
}
