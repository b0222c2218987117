package safebox.main_test

import data.safebox.fixtures_test as fixtures

_codes contains reason.code if some reason in data.safebox.main.decision.reasons

_verdict := data.safebox.main.decision.verdict

_allow := {"verdict": "allow", "reasons": [], "obligations": {}}

_reason(code) := {"code": code, "message": "said by a test"}

test_every_tool_has_a_case_that_is_allowed if {
	every document in fixtures.every_one {
		data.safebox.main.decision == _allow with input as document
	}
	{document.action.tool | some document in fixtures.every_one} == object.keys(data.data.tools)
}

test_nothing_at_all_is_denied if {
	every document in [{}, [], null, "allow", true, 1] {
		_verdict == "deny" with input as document
	}
}

test_an_unknown_tool_is_denied_because_no_rule_allows_it if {
	document := fixtures.set(fixtures.email, "/action/tool", "email.shred")
	_verdict == "deny" with input as document
	_codes == {"main.no_rule_allows"} with input as document
}

test_a_tool_under_another_kind_or_effect_is_denied if {
	every changed in [
		fixtures.set(fixtures.transfer, "/action/kind", "wallet_read"),
		fixtures.set(fixtures.transfer, "/action/effects", ["read"]),
		fixtures.set(fixtures.transfer, "/action/effects", []),
		fixtures.set(fixtures.transfer, "/action/tool", "wallet.balance"),
		fixtures.set(fixtures.balance, "/action/tool", "wallet.transfer"),
		fixtures.set(fixtures.transfer, "/action/tool", "wallet.quote"),
		fixtures.set(fixtures.quote, "/action/tool", "wallet.transfer"),
		fixtures.set(fixtures.spawn, "/action/tool", "agent.children"),
		fixtures.set(fixtures.children, "/action/tool", "agent.spawn"),
	] {
		_verdict == "deny" with input as changed
	}
}

test_a_spelling_of_a_tool_is_not_the_tool if {
	every name in ["Email.send", "email.send ", "email.sеnd", "email/send", "email.send\u0000"] {
		_verdict == "deny" with input as fixtures.set(fixtures.email, "/action/tool", name)
	}
}

test_an_action_with_a_field_missing_is_denied if {
	every document in fixtures.every_one {
		every path in ["/action/tool", "/action/kind", "/action/effects"] {
			_verdict == "deny" with input as fixtures.broken(document, path)[0]
		}
	}
}

test_an_action_without_a_caller_is_denied if {
	every document in fixtures.every_one {
		every changed in fixtures.broken(document, "/action/caller") {
			_verdict == "deny" with input as changed
		}
	}
}

test_a_question_without_action_or_facts_is_denied if {
	every document in fixtures.every_one {
		_verdict == "deny" with input as fixtures.set(document, "/action", null)
		_verdict == "deny" with input as object.remove(document, ["facts"])
	}
}

test_nothing_but_a_sweep_is_allowed_without_a_mandate if {
	every document in fixtures.every_one {
		every changed in fixtures.broken(document, "/mandate") {
			expected := {true: "allow", false: "deny"}[document.action.tool == "wallet.sweep"]
			_verdict == expected with input as changed
		}
	}
}

test_every_tool_is_denied_to_the_other_caller if {
	other := {"agent": "owner", "owner": "agent"}
	every document in [each | some each in fixtures.every_one; each != fixtures.compute_stop] {
		changed := fixtures.set(document, "/action/caller", other[document.action.caller])
		"main.caller" in _codes with input as changed
	}
}

test_the_owner_too_may_give_back_what_was_rented if {
	_verdict == "allow" with input as fixtures.compute_stop
	_verdict == "allow" with input as fixtures.set(fixtures.compute_stop, "/action/caller", "owner")
}

test_a_caller_nobody_knows_is_denied if {
	every document in array.concat(
		fixtures.broken(fixtures.email, "/action/caller"),
		[fixtures.set(fixtures.email, "/action/caller", "Agent")],
	) {
		"main.caller" in _codes with input as document
	}
}

test_after_the_mandates_end_nothing_starts if {
	every document in [
		fixtures.email,
		fixtures.email_list,
		fixtures.transfer,
		fixtures.balance,
		fixtures.fund,
		fixtures.compute,
		fixtures.inference,
	] {
		every ended in array.concat(
			fixtures.broken(document, "/facts/expired"),
			[fixtures.set(document, "/facts/expired", true)],
		) {
			"main.expired" in _codes with input as ended
		}
	}
}

test_after_the_mandates_end_things_are_given_back if {
	every document in [fixtures.sweep, fixtures.compute_stop] {
		_verdict == "allow" with input as fixtures.set(document, "/facts/expired", true)
	}
}

test_any_deny_beats_any_hold if {
	_verdict == "deny" with input as fixtures.email
		with data.safebox.site.all.hold as {_reason("site.hold")}
		with data.safebox.site.all.deny as {_reason("site.deny")}
	_codes == {"site.deny"} with input as fixtures.email
		with data.safebox.site.all.hold as {_reason("site.hold")}
		with data.safebox.site.all.deny as {_reason("site.deny")}
}

test_a_site_rule_about_its_kind_is_asked if {
	_codes == {"site.deny"} with input as fixtures.email
		with data.safebox.site.email.deny as {_reason("site.deny")}
}

test_any_hold_beats_any_allow if {
	_verdict == "hold" with input as fixtures.email
		with data.safebox.site.all.hold as {_reason("site.hold")}
	_codes == {"site.hold"} with input as fixtures.email
		with data.safebox.site.all.hold as {_reason("site.hold")}
	_codes == {"site.hold"} with input as fixtures.email
		with data.safebox.site.email.hold as {_reason("site.hold")}
}

test_a_hold_without_an_allow_is_a_deny if {
	document := fixtures.set(fixtures.email, "/action/tool", "email.shred")
	_verdict == "deny" with input as document
		with data.safebox.site.all.hold as {_reason("site.hold")}
}

test_a_site_rule_about_another_kind_is_not_asked if {
	_verdict == "allow" with input as fixtures.email
		with data.safebox.site.transfer.deny as {_reason("site.deny")}
}

test_a_site_may_allow_a_tool_that_is_in_the_table if {
	tools := object.union(
		data.data.tools,
		{"fax.send": {"kind": "fax", "effects": ["outward"], "callers": ["agent"], "after_expiry": false}},
	)
	document := json.patch(fixtures.email, [
		{"op": "replace", "path": "/action/tool", "value": "fax.send"},
		{"op": "replace", "path": "/action/kind", "value": "fax"},
		{"op": "replace", "path": "/facts/provenance", "value": []},
	])
	_verdict == "allow" with input as document
		with data.data.tools as tools
		with data.safebox.site.fax.allow as {"site.fax"}
		with data.safebox.shape.deny as set()
	_verdict == "deny" with input as document
		with data.safebox.site.fax.allow as {"site.fax"}
}

test_reasons_are_sorted_by_code if {
	document := json.patch(fixtures.transfer, [
		{"op": "replace", "path": "/facts/payee/listed", "value": false},
		{"op": "replace", "path": "/facts/expired", "value": true},
		{"op": "replace", "path": "/facts/rates/denied_10m", "value": 9},
	])
	codes := [reason.code | some reason in data.safebox.main.decision.reasons] with input as document
	codes == ["main.expired", "rate.denials", "transfer.payee_not_listed"]
}

test_every_domain_is_heard if {
	every pair in [
		[fixtures.email, "/mandate/mail", "email.not_granted"],
		[fixtures.transfer, "/mandate/wallet", "transfer.not_granted"],
		[fixtures.compute, "/mandate/compute", "compute.not_granted"],
		[fixtures.inference, "/mandate/inference", "inference.not_granted"],
		[fixtures.approve, "/mandate/tokens", "approval.not_granted"],
		[fixtures.web, "/mandate/web", "web.not_granted"],
		[fixtures.mcp, "/mandate/mcp", "mcp.not_granted"],
		[fixtures.spawn, "/mandate/lineage", "lineage.not_granted"],
		[fixtures.email, "/facts/rates", "rate.denials"],
		[fixtures.email, "/facts/self_overlap", "replication.own_payload"],
		[fixtures.email, "/action/args/body", "accumulation.solicits_funds"],
	] {
		changed := json.patch(fixtures.set(pair[0], pair[1], null), [_no_recipients | pair[1] == "/action/args/body"])
		pair[2] in _codes with input as changed
	}
}

_no_recipients := {"op": "replace", "path": "/facts/recipients", "value": null}

test_a_value_nobody_named_holds_what_is_otherwise_allowed if {
	document := fixtures.set(fixtures.email, "/facts/provenance", [fixtures.seen("DE00", "iban", "delivered", false)])
	answer := data.safebox.main.decision with input as document
	answer.verdict == "hold"
	[reason.code | some reason in answer.reasons] == ["provenance.untrusted_value"]
	answer.obligations == {"hold": {"group": "owners", "approvals": 1, "expires_s": 3600}}
}

test_a_deny_for_its_rate_alone_says_when_to_ask_again if {
	answer := data.safebox.main.decision with input as fixtures.set(fixtures.email, "/facts/rates/hour", 5)
	answer.obligations == {"retry_after_s": 60}
	[reason.code | some reason in answer.reasons] == ["rate.email_per_hour"]
}

test_a_frozen_wallet_alone_says_when_to_ask_again if {
	answer := data.safebox.main.decision with input as fixtures.set(fixtures.transfer, "/facts/frozen", true)
	answer.obligations == {"retry_after_s": 60}
	[reason.code | some reason in answer.reasons] == ["transfer.frozen"]
}

test_a_frozen_wallet_keeps_back_what_moves_value_out_of_it if {
	every document in fixtures.every_one {
		kinds := {"transfer", "token_approval", "signature", "contract_call", "payment"}
		expected := {true: "deny", false: "allow"}[document.action.kind in kinds]
		_verdict == expected with input as fixtures.set(document, "/facts/frozen", true)
	}
}

test_a_deny_that_asking_later_does_not_change_says_no_time if {
	document := json.patch(fixtures.email, [
		{"op": "replace", "path": "/facts/rates/hour", "value": 5},
		{"op": "replace", "path": "/facts/expired", "value": true},
	])
	answer := data.safebox.main.decision with input as document
	answer.verdict == "deny"
	answer.obligations == {}
}

_obligations := data.safebox.main.decision.obligations

_large := fixtures.set(
	fixtures.transfer,
	"/facts/money/charges",
	[fixtures.charge("wallet", "ETH", 800001, 1000000)],
)

_middling := fixtures.set(
	fixtures.transfer,
	"/facts/money/charges",
	[fixtures.charge("wallet", "ETH", 500001, 1000000)],
)

_after(document, approval) := fixtures.set(document, "/facts/approval", approval)

test_a_large_payment_waits_for_people_and_a_smaller_one_for_silence if {
	_verdict == "hold" with input as _large
	_obligations == {"hold": {"group": "owners", "approvals": 2, "expires_s": 3600}} with input as _large
	_verdict == "hold" with input as _middling
	_obligations == {"hold": {"group": "owners", "challenge_s": 600, "expires_s": 3600}} with input as _middling
}

test_enough_of_the_right_people_let_it_pass if {
	_verdict == "allow" with input as _after(_large, fixtures.approved(["alice", "bob"]))
	_verdict == "allow" with input as _after(_large, fixtures.approved(["alice", "bob", "carol"]))
	_verdict == "allow" with input as _after(_middling, fixtures.approved(["alice"]))
}

test_too_few_other_or_badly_written_approvals_let_nothing_pass if {
	good := fixtures.approved(["alice", "bob"])
	every approval in [
		null,
		true,
		{},
		fixtures.approved(["alice"]),
		fixtures.approved([]),
		fixtures.unchallenged,
		object.union(good, {"group": "interns"}),
		object.union(good, {"group": null}),
		object.union(good, {"approved_by": null}),
		object.union(good, {"approved_by": "alice and bob"}),
		object.remove(good, ["approved_by"]),
		object.remove(good, ["group"]),
	] {
		_verdict == "hold" with input as _after(_large, approval)
	}
	_verdict == "hold" with input as json.patch(_large, [{"op": "remove", "path": "/facts/approval"}])
}

test_a_window_passes_by_silence_alone_when_it_is_over if {
	_verdict == "allow" with input as _after(_middling, fixtures.unchallenged)
	every change in [
		{"waited_s": 599},
		{"waited_s": null},
		{"waited_s": "600"},
		{"challenge_passed": false},
		{"challenge_passed": null},
		{"challenge_passed": 1},
		{"group": "interns"},
	] {
		_verdict == "hold" with input as _after(_middling, object.union(fixtures.unchallenged, change))
	}
	every field in ["waited_s", "challenge_passed", "group"] {
		_verdict == "hold" with input as _after(_middling, object.remove(fixtures.unchallenged, [field]))
	}
}

test_a_deny_beats_every_approval if {
	document := fixtures.set(_large, "/facts/expired", true)
	_verdict == "deny" with input as _after(document, fixtures.approved(["alice", "bob"]))
}

test_what_no_rule_allows_no_approval_allows if {
	document := fixtures.set(_large, "/action/tool", "wallet.shred")
	_verdict == "deny" with input as _after(document, fixtures.approved(["alice", "bob"]))
}

test_a_hold_without_terms_of_its_own_waits_for_one_owner if {
	expected := {"hold": {"group": "owners", "approvals": 1, "expires_s": 3600}}
	_obligations == expected with input as fixtures.email
		with data.safebox.site.all.hold as {_reason("site.hold")}
	_obligations == expected with input as fixtures.set(_large, "/mandate/approvals", null)
}

test_data_says_the_terms_of_a_code if {
	terms := {"group": "finance", "challenge_s": 60, "expires_s": 90}
	_obligations == {"hold": terms} with input as fixtures.email
		with data.safebox.site.all.hold as {_reason("site.hold")}
		with data.data.holds.codes as {"site.hold": terms}
	_verdict == "allow" with input as _after(
		fixtures.email,
		object.union(fixtures.unchallenged, {"group": "finance"}),
	)
		with data.safebox.site.all.hold as {_reason("site.hold")}
		with data.data.holds.codes as {"site.hold": terms}
}

_two_holds := {_reason("site.one"), _reason("site.two")}

_terms(one, two) := {
	"site.one": object.union({"group": "owners"}, one),
	"site.two": object.union({"group": "owners"}, two),
}

test_the_strictest_terms_win if {
	silence := {"challenge_s": 60, "expires_s": 90}
	people := {"approvals": 2, "expires_s": 600}
	every pair in [
		[_terms(silence, people), people],
		[_terms(people, silence), people],
		[_terms(people, {"approvals": 3, "expires_s": 900}), {"approvals": 3, "expires_s": 600}],
		[_terms(silence, {"challenge_s": 600, "expires_s": 900}), {"challenge_s": 600, "expires_s": 900}],
		[_terms(silence, {"challenge_s": 60, "expires_s": 70}), {"challenge_s": 60, "expires_s": 70}],
	] {
		_obligations == {"hold": object.union({"group": "owners"}, pair[1])} with input as fixtures.email
			with data.safebox.site.all.hold as _two_holds
			with data.data.holds.codes as pair[0]
	}
}

test_terms_that_are_not_whole_are_no_terms if {
	good := {"approvals": 2, "expires_s": 600}
	every terms in [
		_terms(good, {"approvals": 3}),
		_terms(good, {"expires_s": 600}),
		_terms(good, {"approvals": "3", "expires_s": 600}),
		_terms(good, {"approvals": null, "expires_s": 600}),
		_terms(good, {"group": 7, "approvals": 3, "expires_s": 600}),
		{"site.one": object.union(good, {"group": "owners"}), "site.two": good},
		{"site.one": object.union(good, {"group": "owners"}), "site.two": null},
	] {
		_verdict in {"hold", "deny"} with input as fixtures.email
			with data.safebox.site.all.hold as _two_holds
			with data.data.holds.codes as terms
		_obligations == {} with input as fixtures.email
			with data.safebox.site.all.hold as _two_holds
			with data.data.holds.codes as terms
	}
}

test_without_any_terms_a_hold_has_none_and_nothing_passes if {
	answer := data.safebox.main.decision with input as _after(fixtures.email, fixtures.approved(["alice"]))
		with data.safebox.site.all.hold as {_reason("site.hold")}
		with data.data.holds as {}
	answer.verdict == "hold"
	answer.obligations == {}
}

test_holds_of_different_groups_are_denied if {
	terms := {"approvals": 1, "expires_s": 600}
	codes := _terms(object.union(terms, {"group": "finance"}), terms)
	every document in [fixtures.email, _after(fixtures.email, fixtures.approved(["alice"]))] {
		"main.hold_groups" in _codes with input as document
			with data.safebox.site.all.hold as _two_holds
			with data.data.holds.codes as codes
	}
}

_monitor(code) := {code: "monitor"}

_told(code) := {"monitored": [_reason(code)]}

test_a_monitored_deny_is_told_and_blocks_nothing if {
	answer := data.safebox.main.decision with input as fixtures.email
		with data.safebox.site.all.deny as {_reason("site.deny")}
		with data.data.modes.codes as _monitor("site.deny")
	answer == {"verdict": "allow", "reasons": [], "obligations": _told("site.deny")}
}

test_a_monitored_hold_is_told_and_holds_nothing if {
	answer := data.safebox.main.decision with input as fixtures.email
		with data.safebox.site.email.hold as {_reason("site.hold")}
		with data.data.modes.codes as _monitor("site.hold")
	answer == {"verdict": "allow", "reasons": [], "obligations": _told("site.hold")}
}

test_a_monitored_rule_of_the_pack_is_told_beside_a_deny if {
	document := json.patch(fixtures.email, [
		{"op": "replace", "path": "/facts/rates/hour", "value": 5},
		{"op": "replace", "path": "/facts/recipients/0/listed", "value": false},
	])
	answer := data.safebox.main.decision with input as document
		with data.data.modes.codes as _monitor("email.recipient_not_listed")
	answer.verdict == "deny"
	[reason.code | some reason in answer.reasons] == ["rate.email_per_hour"]
	answer.obligations.retry_after_s == 60
	[reason.code | some reason in answer.obligations.monitored] == ["email.recipient_not_listed"]
}

test_a_monitored_rule_is_told_beside_a_hold_and_changes_none_of_its_terms if {
	answer := data.safebox.main.decision with input as _large
		with data.safebox.site.all.deny as {_reason("site.deny")}
		with data.data.modes.codes as _monitor("site.deny")
	answer.verdict == "hold"
	answer.obligations == {
		"hold": {"group": "owners", "approvals": 2, "expires_s": 3600},
		"monitored": [_reason("site.deny")],
	}
}

test_the_terms_of_a_monitored_hold_bind_nobody if {
	answer := data.safebox.main.decision with input as _large
		with data.data.modes.codes as _monitor("transfer.approve_above")
	answer.verdict == "hold"
	[reason.code | some reason in answer.reasons] == ["transfer.challenge_above"]
	answer.obligations.hold == {"group": "owners", "challenge_s": 600, "expires_s": 3600}
	[reason.code | some reason in answer.obligations.monitored] == ["transfer.approve_above"]
}

test_a_monitored_rule_is_told_where_no_rule_allows if {
	document := fixtures.set(fixtures.email, "/action/tool", "email.shred")
	answer := data.safebox.main.decision with input as document
		with data.safebox.site.all.deny as {_reason("site.deny")}
		with data.data.modes.codes as _monitor("site.deny")
	answer.verdict == "deny"
	[reason.code | some reason in answer.reasons] == ["main.no_rule_allows"]
	answer.obligations == _told("site.deny")
}

test_what_is_not_exactly_monitored_is_enforced if {
	every codes in [
		{},
		null,
		[],
		["site.deny"],
		{"site.deny": "enforce"},
		{"site.deny": "Monitor"},
		{"site.deny": true},
		{"site.deny": ["monitor"]},
		{"site.den": "monitor"},
		{"site": "monitor"},
		{"site.*": "monitor"},
	] {
		answer := data.safebox.main.decision with input as fixtures.email
			with data.safebox.site.all.deny as {_reason("site.deny")}
			with data.data.modes.codes as codes
		answer == {"verdict": "deny", "reasons": [_reason("site.deny")], "obligations": {}}
	}
	answer := data.safebox.main.decision with input as fixtures.email
		with data.safebox.site.all.deny as {_reason("site.deny")}
		with data.data.modes as {}
	answer.verdict == "deny"
}

test_what_the_other_rules_stand_on_is_enforced_in_every_mode if {
	every pair in [
		["main.expired", fixtures.set(fixtures.email, "/facts/expired", true)],
		["main.caller", fixtures.set(fixtures.email, "/action/caller", "owner")],
		["transfer.frozen", fixtures.set(fixtures.transfer, "/facts/frozen", true)],
		["call.frozen", fixtures.set(fixtures.call, "/facts/frozen", true)],
		["payment.frozen", fixtures.set(fixtures.pay_request, "/facts/frozen", true)],
	] {
		answer := data.safebox.main.decision with input as pair[1]
			with data.data.modes.codes as _monitor(pair[0])
		answer.verdict == "deny"
		pair[0] in {reason.code | some reason in answer.reasons}
		not "monitored" in object.keys(answer.obligations)
	}
}

test_a_reason_that_is_no_reason_is_never_monitored if {
	answer := data.safebox.main.decision with input as fixtures.email
		with data.safebox.site.all.deny as {"said by nobody"}
		with data.data.modes.codes as _monitor("said by nobody")
	answer.verdict == "deny"
	answer.reasons == ["said by nobody"]
}

_chain(steps) := fixtures.set(fixtures.web, "/facts/behaviour/chain", steps)

_respond(document) := answer.obligations.respond if {
	answer := data.safebox.main.decision with input as document
}

test_a_no_orders_what_data_names_for_its_code if {
	_respond(_chain(["code", "compute", "key"])) == [{"do": "quarantine", "code": "behaviour.chain"}]
	probing := fixtures.set(fixtures.transfer, "/facts/behaviour/probing", 3)
	_respond(probing) == [{"do": "throttle", "code": "behaviour.probing", "seconds": 60}]
}

test_a_hold_and_a_yes_order_nothing if {
	every document in [_chain(["code", "compute"]), fixtures.web] {
		answer := data.safebox.main.decision with input as document
		not "respond" in object.keys(answer.obligations)
	}
}

test_what_the_owner_is_refused_because_of_behaviour_is_nothing if {
	document := fixtures.set(_chain(["code", "compute", "key"]), "/action/caller", "owner")
	answer := data.safebox.main.decision with input as document
	not "respond" in object.keys(answer.obligations)
}

test_a_throttled_run_is_told_when_to_ask_again if {
	document := fixtures.set(fixtures.email, "/facts/behaviour/throttled", true)
	answer := data.safebox.main.decision with input as document
	answer.verdict == "deny"
	answer.obligations == {"retry_after_s": 60}
}
