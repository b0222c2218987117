package safebox.compute_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.compute.deny

_all_broken(paths) := [document |
	some path in paths
	some document in fixtures.broken(fixtures.compute, path)
]

test_a_listed_image_with_a_listed_command_is_allowed if {
	data.safebox.compute.allow == {"compute.start"} with input as fixtures.compute
	count(_denied) == 0 with input as fixtures.compute
}

test_what_is_rented_may_be_looked_at_and_given_back if {
	data.safebox.compute.allow == {"compute.status"} with input as fixtures.compute_status
	data.safebox.compute.allow == {"compute.stop"} with input as fixtures.compute_stop
	count(_denied) == 0 with input as fixtures.compute_status
	count(_denied) == 0 with input as fixtures.compute_stop
}

test_compute_without_a_grant_is_denied if {
	every document in [fixtures.compute, fixtures.compute_status, fixtures.compute_stop] {
		every changed in fixtures.broken(document, "/mandate/compute") {
			"compute.not_granted" in _denied with input as changed
			count(data.safebox.compute.allow) == 0 with input as changed
		}
	}
}

test_an_unlisted_image_is_denied if {
	every image in ["reports:2", "reports", "Reports:1", "evil/reports:1", ""] {
		"compute.image_not_listed" in _denied with input as fixtures.set(fixtures.compute, "/action/args/image", image)
	}
}

test_an_image_with_a_field_missing_is_denied if {
	every document in _all_broken([
		"/action/args/image",
		"/mandate/compute/images",
		"/facts/compute",
		"/facts/compute/image_digest",
	]) {
		"compute.image_not_listed" in _denied with input as document
	}
}

test_an_image_of_another_digest_is_denied if {
	every changed in [
		fixtures.set(fixtures.compute, "/facts/compute/image_digest", "sha256:12"),
		fixtures.set(fixtures.compute, "/facts/compute/pinned_digest", "sha256:1"),
		fixtures.set(fixtures.compute, "/facts/compute/pinned_digest", null),
	] {
		_denied == {"compute.other_image"} with input as changed
	}
}

test_an_image_of_which_a_digest_is_missing_is_denied if {
	every document in _all_broken(["/facts/compute", "/facts/compute/image_digest", "/facts/compute/pinned_digest"]) {
		"compute.other_image" in _denied with input as document
	}
}

test_an_image_listed_with_its_digest_is_allowed if {
	document := json.patch(fixtures.compute, [
		{"op": "replace", "path": "/mandate/compute/images", "value": ["reports:1@sha256:11"]},
		{"op": "replace", "path": "/action/args/image", "value": "reports:1@sha256:11"},
	])
	count(_denied) == 0 with input as document
}

test_an_unlisted_command_is_denied if {
	every command in [
		["python"],
		["python", "report.py", "--all"],
		["report.py", "python"],
		["sh", "-c", "python report.py"],
		[],
		"python report.py",
	] {
		document := fixtures.set(fixtures.compute, "/action/args/command", command)
		"compute.command_not_listed" in _denied with input as document
	}
}

test_a_command_with_a_field_missing_is_denied if {
	every document in _all_broken(["/action/args/command", "/mandate/compute/commands"]) {
		"compute.command_not_listed" in _denied with input as document
	}
}

test_the_whole_rest_of_the_budget_may_be_used if {
	document := fixtures.set(fixtures.compute, "/facts/money/charges/0/remaining", fixtures.units(300))
	count(_denied) == 0 with input as document
}

test_one_unit_more_than_the_rest_is_denied if {
	document := fixtures.set(fixtures.compute, "/facts/money/charges/0/remaining", fixtures.units(299))
	"compute.over_budget" in _denied with input as document
}

test_a_charge_below_one_minute_is_denied if {
	document := fixtures.set(fixtures.compute, "/facts/money/charges/0/units", fixtures.units(9))
	"compute.over_budget" in _denied with input as document
}

test_a_budget_with_a_field_missing_is_denied if {
	every document in _all_broken([
		"/facts/money",
		"/facts/money/priced",
		"/facts/money/charges",
		"/facts/money/charges/0/rail",
		"/facts/money/charges/0/asset",
		"/facts/money/charges/0/units",
		"/facts/money/charges/0/remaining",
		"/facts/compute/price_per_minute",
		"/facts/compute/price_per_minute/units",
	]) {
		"compute.over_budget" in _denied with input as document
	}
}

test_one_instance_too_many_is_denied if {
	"compute.too_many_instances" in _denied with input as fixtures.set(fixtures.compute, "/facts/compute/running", 2)
}

test_instances_with_a_field_missing_are_denied if {
	every document in _all_broken(["/facts/compute", "/facts/compute/running", "/mandate/compute/instances"]) {
		"compute.too_many_instances" in _denied with input as document
	}
}

test_a_lease_longer_than_granted_is_denied if {
	"compute.lease_too_long" in _denied with input as fixtures.set(fixtures.compute, "/action/args/minutes", 31)
}

test_a_lease_of_no_minutes_is_denied if {
	every minutes in [0, -1, "30", [30], true] {
		document := fixtures.set(fixtures.compute, "/action/args/minutes", minutes)
		"compute.lease_too_long" in _denied with input as document
	}
}

test_a_lease_may_end_with_the_mandate if {
	count(_denied) == 0 with input as fixtures.set(fixtures.compute, "/action/time", "2026-01-01T23:30:00Z")
}

test_a_lease_past_the_mandates_end_is_denied if {
	document := fixtures.set(fixtures.compute, "/action/time", "2026-01-01T23:30:00.000000001Z")
	"compute.lease_too_long" in _denied with input as document
}

test_a_lease_with_a_field_missing_is_denied if {
	every path in ["/action/args/minutes", "/mandate/compute/max_minutes", "/action/time", "/mandate/expires"] {
		without := fixtures.broken(fixtures.compute, path)[0]
		"compute.lease_too_long" in _denied with input as without
	}
	every path in ["/action/args/minutes", "/mandate/compute/max_minutes"] {
		"compute.lease_too_long" in _denied with input as fixtures.set(fixtures.compute, path, null)
	}
}

test_other_kinds_are_none_of_its_business if {
	count(_denied) == 0 with input as fixtures.email
	count(data.safebox.compute.allow) == 0 with input as fixtures.email
}
