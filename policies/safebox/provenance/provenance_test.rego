package safebox.provenance_test

import data.data.limits
import data.safebox.fixtures_test as fixtures
import data.safebox.provenance

_denied contains reason.code if some reason in provenance.deny

_held contains reason.code if some reason in provenance.hold

_quiet if {
	count(provenance.deny) == 0
	count(provenance.hold) == 0
}

_outward := [
	fixtures.email,
	fixtures.transfer,
	fixtures.compute,
	fixtures.inference,
	fixtures.approve,
	fixtures.typed_data,
	fixtures.message,
	fixtures.web,
	fixtures.mcp,
	fixtures.spawn,
]

_from(document, place, listed) := fixtures.set(
	document,
	"/facts/provenance", [fixtures.seen("0xD4", "payee", place, listed)],
)

test_what_people_named_passes if {
	every document in _outward {
		every place in ["mandate", "task", "owner"] {
			_quiet with input as _from(document, place, false)
		}
	}
}

test_what_came_from_elsewhere_waits_for_people if {
	every document in _outward {
		every place in ["delivered", "model_output", "unknown"] {
			held := _from(document, place, false)
			"provenance.untrusted_value" in _held with input as held
			_denied == set() with input as held
		}
	}
}

test_a_listed_value_passes_wherever_it_was_seen if {
	every document in _outward {
		every place in ["delivered", "model_output", "unknown", "anywhere", null] {
			_quiet with input as _from(document, place, true)
		}
	}
}

test_by_data_it_is_denied if {
	"provenance.refused_value" in _denied with input as _from(fixtures.email, "delivered", false)
		with data.data.limits as object.union(limits, {"provenance": {"first_seen": {"delivered": "deny"}}})
}

test_one_bad_value_among_good_ones_is_enough if {
	good := fixtures.seen("a@b.example", "email", "task", false)
	document := fixtures.set(fixtures.email, "/facts/provenance", [
		good,
		fixtures.seen("DE00", "iban", "delivered", false),
	])
	"provenance.untrusted_value" in _held with input as document
	_quiet with input as fixtures.set(fixtures.email, "/facts/provenance", [good])
}

test_a_value_from_nowhere_that_is_known_is_denied if {
	every document in _outward {
		every place in ["anywhere", "", null, 1] {
			"provenance.refused_value" in _denied with input as _from(document, place, false)
		}
	}
}

test_a_missing_field_is_denied_or_waits if {
	every path in ["/facts/provenance/0/first_seen"] {
		every document in fixtures.broken(_from(fixtures.email, "task", false), path) {
			"provenance.refused_value" in _denied with input as document
		}
	}
	every document in fixtures.broken(_from(fixtures.email, "delivered", true), "/facts/provenance/0/listed") {
		"provenance.untrusted_value" in _held with input as document
	}
	every wrong in [
		json.patch(fixtures.email, [{"op": "remove", "path": "/facts/provenance"}]),
		fixtures.set(fixtures.email, "/facts/provenance", "task"),
	] {
		"provenance.unknown" in _denied with input as wrong
	}
}

test_where_nothing_is_known_only_kinds_with_lists_of_their_own_pass if {
	every document in _outward {
		_quiet with input as document
		other := fixtures.set(document, "/action/kind", "fax")
		"provenance.unknown" in _denied with input as other
	}
}

test_every_kind_that_passes_unknown_denies_what_is_not_listed if {
	every row in [
		[fixtures.email, "/facts/recipients/0/listed", false],
		[fixtures.transfer, "/facts/payee/listed", false],
		[fixtures.compute, "/action/args/image", "other:1"],
		[fixtures.inference, "/action/args/model", "other"],
		[fixtures.approve, "/facts/spender/listed", false],
		[fixtures.typed_data, "/facts/signature/takings/0/spender/listed", false],
		[fixtures.message, "/facts/signature/message_listed", false],
		[fixtures.sign_in, "/facts/signature/domain_listed", false],
		[fixtures.web, "/action/args/host", "other.example.org"],
		[fixtures.mcp, "/action/args/tool", "other"],
		[fixtures.spawn, "/action/args/image", "other:1"],
	] {
		data.safebox.main.decision.verdict == "allow" with input as row[0]
		data.safebox.main.decision.verdict == "deny" with input as fixtures.set(row[0], row[1], row[2])
	}
}

test_reading_and_giving_back_and_the_owner_need_no_origin if {
	every document in [
		fixtures.email_read,
		fixtures.balance,
		fixtures.compute_status,
		fixtures.compute_stop,
		fixtures.fund,
		fixtures.sweep,
	] {
		_quiet with input as _from(document, "delivered", false)
	}
}
