package safebox.web_test

import data.safebox.fixtures_test as fixtures
import data.safebox.web

_denied contains reason.code if some reason in web.deny

_allowed if {
	count(web.allow) > 0
	count(web.deny) == 0
}

# A tunnel to a host for which it is listed.
_tunnel := json.patch(fixtures.web, [
	{"op": "replace", "path": "/action/args/method", "value": "CONNECT"},
	{"op": "replace", "path": "/action/args/scheme", "value": "connect"},
	{"op": "replace", "path": "/action/args/path", "value": ""},
	{"op": "replace", "path": "/mandate/web/hosts/0/methods", "value": ["CONNECT"]},
	{"op": "replace", "path": "/mandate/web/hosts/0/ports", "value": [443, 8443]},
])

test_a_request_within_the_mandate_is_allowed if _allowed with input as fixtures.web

test_a_listed_tunnel_is_allowed if _allowed with input as _tunnel

test_another_value_is_denied if {
	every row in [
		["/action/args/host", "evil.example.org", "web.host_not_listed"],
		["/action/args/host", "API.example.org", "web.host_not_listed"],
		["/action/args/host", "api.example.org.", "web.host_not_listed"],
		["/action/args/port", 80, "web.port_not_listed"],
		["/action/args/port", "443", "web.port_not_listed"],
		["/action/args/method", "DELETE", "web.method_not_listed"],
		["/action/args/method", "get", "web.method_not_listed"],
		["/action/args/body_bytes", 101, "web.body_too_large"],
		["/action/args/credentials", true, "web.credentials"],
		["/action/args/method", "CONNECT", "web.tunnel"],
		["/action/args/scheme", "connect", "web.tunnel"],
		["/action/args/scheme", "ftp", "web.tunnel"],
		["/facts/web/host_kind", "odd", "web.odd_host"],
		["/facts/web/addresses", [], "web.address_not_public"],
	] {
		row[2] in _denied with input as fixtures.set(fixtures.web, row[0], row[1])
	}
}

test_no_address_inside_a_network_is_asked if {
	every class in ["private", "loopback", "link_local", "metadata", "multicast", "unknown", null] {
		one := fixtures.set(fixtures.web, "/facts/web/addresses/0/class", class)
		"web.address_not_public" in _denied with input as one
		two := fixtures.set(fixtures.web, "/facts/web/addresses", [
			{"address": "93.184.215.14", "class": "public"},
			{"address": "10.0.0.1", "class": class},
		])
		"web.address_not_public" in _denied with input as two
	}
}

test_a_tunnel_that_is_not_listed_is_denied if {
	every document in [
		fixtures.set(_tunnel, "/action/args/port", 8443),
		fixtures.set(_tunnel, "/mandate/web/hosts/0/methods", ["GET"]),
		fixtures.set(_tunnel, "/action/args/scheme", "https"),
		fixtures.set(_tunnel, "/action/args/host", "evil.example.org"),
	] {
		"web.tunnel" in _denied with input as document
	}
}

test_a_missing_field_is_denied if {
	every row in [
		["/mandate/web", "web.not_granted"],
		["/mandate/web/hosts", "web.host_not_listed"],
		["/mandate/web/hosts/0/host", "web.host_not_listed"],
		["/action/args/host", "web.host_not_listed"],
		["/mandate/web/hosts/0/ports", "web.port_not_listed"],
		["/action/args/port", "web.port_not_listed"],
		["/mandate/web/hosts/0/methods", "web.method_not_listed"],
		["/action/args/method", "web.method_not_listed"],
		["/action/args/method", "web.tunnel"],
		["/mandate/web/hosts/0/max_body", "web.body_too_large"],
		["/action/args/body_bytes", "web.body_too_large"],
		["/facts/web", "web.address_not_public"],
		["/facts/web/addresses", "web.address_not_public"],
		["/facts/web/addresses/0/class", "web.address_not_public"],
		["/facts/web", "web.odd_host"],
		["/facts/web/host_kind", "web.odd_host"],
		["/action/args/credentials", "web.credentials"],
		["/action/args/scheme", "web.tunnel"],
	] {
		every document in fixtures.broken(fixtures.web, row[0]) {
			row[1] in _denied with input as document
			not _allowed with input as document
		}
	}
}

test_two_hosts_without_a_name_are_not_the_same if {
	document := json.patch(fixtures.web, [
		{"op": "replace", "path": "/action/args/host", "value": null},
		{"op": "replace", "path": "/mandate/web/hosts/0/host", "value": null},
	])
	"web.host_not_listed" in _denied with input as document
}

_empty := {"action": {"kind": "web", "tool": "web.request"}}

test_each_code_is_heard_of_an_empty_question if {
	"web.not_granted" in _denied with input as _empty
	"web.host_not_listed" in _denied with input as _empty
	"web.port_not_listed" in _denied with input as _empty
	"web.method_not_listed" in _denied with input as _empty
	"web.body_too_large" in _denied with input as _empty
	"web.address_not_public" in _denied with input as _empty
	"web.odd_host" in _denied with input as _empty
	"web.credentials" in _denied with input as _empty
	"web.tunnel" in _denied with input as _empty
}
