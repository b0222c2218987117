package safebox.replication_test

import data.data.limits
import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.replication.deny

test_a_payload_of_other_things_is_allowed if {
	every document in [fixtures.email, fixtures.compute, fixtures.inference, fixtures.web, fixtures.mcp, fixtures.spawn] {
		count(_denied) == 0 with input as document
	}
}

test_a_short_quotation_of_itself_is_allowed if {
	some_of_it := {"matched": 3, "share_bp": 150, "source": "main.py", "secrets": []}
	count(_denied) == 0 with input as fixtures.set(fixtures.email, "/facts/self_overlap", some_of_it)
}

test_many_fingerprints_of_itself_are_denied_however_small_their_share if {
	every document in [fixtures.email, fixtures.compute, fixtures.web, fixtures.mcp] {
		changed := fixtures.set(document, "/facts/self_overlap/matched", limits.replication.fingerprints)
		"replication.own_payload" in _denied with input as changed
	}
}

test_a_large_share_of_itself_is_denied_however_small_it_is if {
	every document in [fixtures.email, fixtures.compute, fixtures.web, fixtures.mcp] {
		changed := fixtures.set(document, "/facts/self_overlap/share_bp", limits.replication.share_bp)
		"replication.own_payload" in _denied with input as changed
	}
}

test_its_own_prompt_may_go_to_its_own_model if {
	whole := {"matched": 900, "share_bp": 10000, "source": "prompt", "secrets": []}
	count(_denied) == 0 with input as fixtures.set(fixtures.inference, "/facts/self_overlap", whole)
}

test_a_secret_is_denied_on_every_channel if {
	every document in [fixtures.email, fixtures.compute, fixtures.inference, fixtures.web, fixtures.mcp, fixtures.spawn] {
		changed := fixtures.set(document, "/facts/self_overlap/secrets", ["managed key"])
		"replication.secret_leaves" in _denied with input as changed
	}
}

test_a_missing_comparison_is_denied if {
	every path in ["/facts/self_overlap", "/facts/self_overlap/matched", "/facts/self_overlap/share_bp"] {
		every document in array.concat(fixtures.broken(fixtures.email, path), fixtures.broken(fixtures.compute, path)) {
			"replication.own_payload" in _denied with input as document
		}
	}
}

test_a_payload_that_was_only_partly_compared_is_denied if {
	every document in [fixtures.email, fixtures.compute, fixtures.web, fixtures.mcp] {
		partly := object.union(document.facts.self_overlap, {"truncated": true})
		"replication.own_payload" in _denied with input as fixtures.set(document, "/facts/self_overlap", partly)
	}
}

test_a_missing_search_for_secrets_is_denied if {
	every document in [fixtures.email, fixtures.compute, fixtures.inference, fixtures.web, fixtures.mcp, fixtures.spawn] {
		every changed in fixtures.broken(document, "/facts/self_overlap/secrets") {
			"replication.secret_leaves" in _denied with input as changed
		}
		without := fixtures.broken(document, "/facts/self_overlap")[0]
		"replication.secret_leaves" in _denied with input as without
	}
	every document in [fixtures.email, fixtures.compute, fixtures.web, fixtures.mcp] {
		"replication.secret_leaves" in _denied with input as fixtures.set(document, "/facts/self_overlap", null)
	}
}

test_a_prompt_that_was_not_searched_goes_to_its_listed_model if {
	count(_denied) == 0 with input as fixtures.set(fixtures.inference, "/facts/self_overlap", null)
}

test_a_computer_without_input_needs_no_comparison if {
	every none in [null, ""] {
		document := fixtures.set(
			fixtures.set(fixtures.compute, "/action/args/input", none),
			"/facts/self_overlap",
			null,
		)
		count(_denied) == 0 with input as document
	}
}

test_other_kinds_are_none_of_its_business if {
	count(_denied) == 0 with input as fixtures.transfer
}
