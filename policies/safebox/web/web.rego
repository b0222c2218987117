# METADATA
# title: The web
# description: Requests go to listed hosts, by listed methods and ports, and never to an address inside a network.
package safebox.web

import data.data.limits

# METADATA
# title: Requests under a web grant
# description: A request is allowed under a web grant; the rules below take the yes back.
allow contains "web.request" if {
	input.action.tool == "web.request"
	input.action.kind == "web"
	_granted
}

# METADATA
# title: The web is not granted
# description: Every request needs a web grant.
# custom:
#   code: web.not_granted
#   threat: mandate
#   severity: medium
#   remedy: Add a web section to the mandate.
deny contains {"code": "web.not_granted", "message": "The mandate grants no web requests."} if {
	input.action.kind == "web"
	not _granted
}

# METADATA
# title: The host is not listed
# description: A host is asked only by a name the owner listed, letter by letter.
# custom:
#   code: web.host_not_listed
#   threat: exfiltration
#   severity: high
#   remedy: List the host under web.hosts in the mandate if the owner wants it asked.
deny contains {"code": "web.host_not_listed", "message": "The host is not listed in the mandate."} if {
	input.action.kind == "web"
	not _host
}

# METADATA
# title: The port is not listed
# description: Each host is asked at the ports the owner listed for it.
# custom:
#   code: web.port_not_listed
#   threat: escape
#   severity: high
#   remedy: List the port with the host in the mandate if the owner wants it used.
deny contains {"code": "web.port_not_listed", "message": "The port is not listed for this host."} if {
	input.action.kind == "web"
	not _port_listed
}

# METADATA
# title: The method is not listed
# description: Each host is asked by the methods the owner listed for it.
# custom:
#   code: web.method_not_listed
#   threat: exfiltration
#   severity: medium
#   remedy: List the method with the host in the mandate if the owner wants it used.
deny contains {"code": "web.method_not_listed", "message": "The method is not listed for this host."} if {
	input.action.kind == "web"
	not _method_listed
}

# METADATA
# title: The body is too large
# description: A request carries no more than the owner lets it carry to this host.
# custom:
#   code: web.body_too_large
#   threat: exfiltration
#   severity: medium
#   remedy: Send less, or raise max_body of the host in the mandate.
deny contains {"code": "web.body_too_large", "message": "The request carries too much."} if {
	input.action.kind == "web"
	not _body_small
}

# METADATA
# title: The address is not public
# description: Every address the host leads to is a public one; private, loopback and metadata addresses are not asked.
# custom:
#   code: web.address_not_public
#   threat: escape
#   severity: critical
#   remedy: Find out why the name leads there; such services are not for agents.
deny contains {"code": "web.address_not_public", "message": "The host leads to an address that is not public."} if {
	input.action.kind == "web"
	not _addresses_public
}

# METADATA
# title: An odd spelling of a host
# description: A host is a plain name or an address in its usual spelling, not one that another program reads otherwise.
# custom:
#   code: web.odd_host
#   threat: escape
#   severity: high
#   remedy: Write the host's plain name.
deny contains {"code": "web.odd_host", "message": "The host is spelled in an unusual way."} if {
	input.action.kind == "web"
	not _host_plain
}

# METADATA
# title: Credentials in the URL
# description: A user or password in a URL hides the host from readers and leaks into logs.
# custom:
#   code: web.credentials
#   threat: exfiltration
#   severity: medium
#   remedy: Leave the user and password out of the URL.
deny contains {"code": "web.credentials", "message": "The URL carries a user or password."} if {
	input.action.kind == "web"
	not _without_credentials
}

# METADATA
# title: A tunnel is not listed
# description: What goes through a tunnel can't be seen. One is opened only where CONNECT is listed, to ports for it.
# custom:
#   code: web.tunnel
#   threat: escape
#   severity: high
#   remedy: Send plain requests to the proxy, or list CONNECT with the host in the mandate.
deny contains {"code": "web.tunnel", "message": "A tunnel may not be opened there."} if {
	input.action.kind == "web"
	not _no_tunnel
	not _tunnel_listed
}

_granted if is_object(input.mandate.web)

_host := host if {
	is_string(input.action.args.host)
	is_array(input.mandate.web.hosts)
	some host in input.mandate.web.hosts
	host.host == input.action.args.host
}

_port_listed if input.action.args.port in _host.ports

_method_listed if input.action.args.method in _host.methods

_body_small if {
	is_number(input.action.args.body_bytes)
	is_number(_host.max_body)
	input.action.args.body_bytes <= _host.max_body
}

_addresses_public if {
	is_array(input.facts.web.addresses)
	count(input.facts.web.addresses) > 0
	every address in input.facts.web.addresses {
		address.class == "public"
	}
}

_host_plain if input.facts.web.host_kind in {"name", "address"}

_without_credentials if input.action.args.credentials == false

_no_tunnel if {
	input.action.args.scheme in {"http", "https"}
	is_string(input.action.args.method)
	input.action.args.method != "CONNECT"
}

_tunnel_listed if {
	input.action.args.scheme == "connect"
	input.action.args.method == "CONNECT"
	input.action.args.method in _host.methods
	input.action.args.port in limits.web.tunnel_ports
}
