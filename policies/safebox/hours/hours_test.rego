package safebox.hours_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.hours.deny

# The fixtures' time is a Thursday at noon.
_office := {"days": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"], "from": "09:00", "until": "17:00"}

_kinds(table) := {"email": table}

_at(moment) := fixtures.set(fixtures.email, "/action/time", moment)

test_every_hour_is_open_unless_data_says_otherwise if {
	every document in fixtures.every_one {
		count(_denied) == 0 with input as document
	}
}

test_within_its_hours_a_kind_is_open if {
	every moment in [
		"2026-01-01T09:00:00Z",
		"2026-01-01T12:00:00.123456Z",
		"2026-01-01T16:59:59.999999Z",
		"2026-01-02T12:00:00Z",
	] {
		count(_denied) == 0 with input as _at(moment) with data.data.hours.kinds as _kinds([_office])
	}
}

test_outside_its_hours_a_kind_is_closed if {
	every moment in [
		"2026-01-01T08:59:59.999999Z",
		"2026-01-01T17:00:00Z",
		"2026-01-01T00:00:00Z",
		"2026-01-01T23:59:59Z",
		"2026-01-03T12:00:00Z",
		"2026-01-04T12:00:00Z",
	] {
		"hours.closed" in _denied with input as _at(moment) with data.data.hours.kinds as _kinds([_office])
	}
}

test_a_day_may_be_open_to_its_end_and_a_kind_at_several_times if {
	night := [
		{"days": ["Thursday"], "from": "22:00", "until": "24:00"},
		{"days": ["Friday"], "from": "00:00", "until": "06:00"},
	]
	every moment in ["2026-01-01T23:59:59Z", "2026-01-02T00:00:00Z", "2026-01-02T05:59:00Z"] {
		count(_denied) == 0 with input as _at(moment) with data.data.hours.kinds as _kinds(night)
	}
	every moment in ["2026-01-01T21:59:59Z", "2026-01-01T05:00:00Z", "2026-01-02T23:00:00Z"] {
		"hours.closed" in _denied with input as _at(moment) with data.data.hours.kinds as _kinds(night)
	}
}

test_hours_are_those_of_the_kind_or_else_the_default if {
	every document in [each | some each in fixtures.every_one; not each.action.kind in {"email", "funding"}] {
		count(_denied) == 0 with input as document with data.data.hours.kinds as _kinds([])
	}
	"hours.closed" in _denied with input as fixtures.transfer with data.data.hours as {"default": [], "kinds": {}}
	count(_denied) == 0 with input as fixtures.email
		with data.data.hours as {"default": [], "kinds": _kinds("always")}
}

test_things_are_given_back_at_every_hour if {
	every document in [fixtures.sweep, fixtures.compute_stop] {
		count(_denied) == 0 with input as document with data.data.hours as {"default": [], "kinds": {}}
		count(_denied) == 0 with input as document with data.data.hours as {}
	}
}

test_a_table_that_is_none_closes_the_kind if {
	every table in [
		null,
		true,
		"Always",
		{},
		_office,
		[],
		[null],
		["always"],
		[_office, null],
		[_office, object.union(_office, {"days": ["Someday"]})],
		[object.union(_office, {"days": "Thursday"})],
		[object.union(_office, {"days": null})],
		[object.union(_office, {"from": "9:00"})],
		[object.union(_office, {"from": 9})],
		[object.union(_office, {"from": null})],
		[object.union(_office, {"from": "17:00", "until": "09:00"})],
		[object.union(_office, {"from": "24:00", "until": "24:00"})],
		[object.union(_office, {"until": "24:30"})],
		[object.union(_office, {"until": 17})],
		[object.remove(_office, ["days"])],
		[object.remove(_office, ["from"])],
		[object.remove(_office, ["until"])],
	] {
		"hours.closed" in _denied with input as fixtures.email with data.data.hours.kinds as _kinds(table)
	}
	every tables in [{}, {"kinds": null, "default": "always"}, {"kinds": {}, "default": "sometimes"}] {
		"hours.closed" in _denied with input as fixtures.email with data.data.hours as tables
	}
}

test_a_moment_that_cannot_be_read_is_outside_all_hours if {
	every path in ["/action", "/action/time", "/action/kind"] {
		every document in fixtures.broken(fixtures.email, path) {
			"hours.closed" in _denied with input as document
			"hours.closed" in _denied with input as document with data.data.hours.kinds as _kinds([_office])
		}
	}
	every moment in [
		1767268800,
		"",
		"noon",
		"2026-01-01",
		"2026-01-01T12:00:00",
		"2026-01-01T12:00:00+01:00",
		"2026-13-01T12:00:00Z",
		"2026-01-00T12:00:00Z",
		"2026-01-01T24:00:00Z",
		"2026-01-01T12:00:00Z ",
		"2026-01-01T12:00:00Z\n",
	] {
		"hours.closed" in _denied with input as _at(moment) with data.data.hours.kinds as _kinds([_office])
	}
}
