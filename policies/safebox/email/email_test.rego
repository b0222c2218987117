package safebox.email_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.email.deny

_stranger := {"address": "stranger@example.net", "listed": false}

test_mail_to_a_listed_person_is_allowed if {
	data.safebox.email.allow == {"email.send"} with input as fixtures.email
	count(_denied) == 0 with input as fixtures.email
}

test_the_inbox_is_read_under_an_inbox_grant if {
	every document in [fixtures.email_list, fixtures.email_read] {
		data.safebox.email.allow == {"email.inbox"} with input as document
		count(_denied) == 0 with input as document
	}
}

test_mail_without_a_grant_is_denied if {
	every document in fixtures.broken(fixtures.email, "/mandate/mail") {
		"email.not_granted" in _denied with input as document
		count(data.safebox.email.allow) == 0 with input as document
	}
}

test_the_inbox_is_not_read_without_an_inbox_grant if {
	every path in ["/mandate/mail", "/mandate/mail/inbox"] {
		every document in fixtures.broken(fixtures.email_read, path) {
			"email.not_granted" in _denied with input as document
			count(data.safebox.email.allow) == 0 with input as document
		}
	}
	"email.not_granted" in _denied with input as fixtures.set(fixtures.email_list, "/mandate/mail/inbox", false)
}

test_sending_needs_no_inbox if {
	count(_denied) == 0 with input as fixtures.set(fixtures.email, "/mandate/mail/inbox", false)
}

test_mail_to_a_stranger_is_denied if {
	document := fixtures.set(fixtures.email, "/facts/recipients", [_stranger])
	"email.recipient_not_listed" in _denied with input as document
}

test_one_stranger_among_listed_people_is_denied if {
	listed := fixtures.email.facts.recipients[0]
	document := fixtures.set(fixtures.email, "/facts/recipients", [listed, _stranger])
	"email.recipient_not_listed" in _denied with input as document
}

test_an_address_without_a_fact_about_it_is_denied if {
	document := fixtures.set(fixtures.email, "/action/args/to", ["office@example.org", "other@example.org"])
	"email.recipient_not_listed" in _denied with input as document
}

test_mail_to_nobody_is_denied if {
	"email.recipient_not_listed" in _denied with input as fixtures.set(fixtures.email, "/action/args/to", [])
}

test_recipients_with_a_field_missing_are_denied if {
	every path in [
		"/action/args",
		"/action/args/to",
		"/facts",
		"/facts/recipients",
		"/facts/recipients/0/address",
		"/facts/recipients/0/listed",
	] {
		every document in fixtures.broken(fixtures.email, path) {
			"email.recipient_not_listed" in _denied with input as document
		}
	}
}

test_other_kinds_are_none_of_its_business if {
	count(_denied) == 0 with input as json.patch(fixtures.transfer, [{"op": "remove", "path": "/mandate/mail"}])
	count(data.safebox.email.allow) == 0 with input as fixtures.transfer
}
