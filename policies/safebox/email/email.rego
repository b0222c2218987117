# METADATA
# title: Mail
# description: Who the run may write to, and whether it may read its inbox.
package safebox.email

# METADATA
# title: Mail to listed people
# description: Sending is allowed under a mail grant; the rules below take the yes back.
allow contains "email.send" if {
	input.action.tool == "email.send"
	input.action.kind == "email"
	_granted
}

# METADATA
# title: Reading the inbox
# description: Listing and reading are allowed when the mandate grants the inbox.
allow contains "email.inbox" if {
	input.action.tool in {"email.list", "email.read"}
	input.action.kind == "email_read"
	_granted
}

# METADATA
# title: Mail is not granted
# description: Sending needs a mail grant, reading needs the inbox in it.
# custom:
#   code: email.not_granted
#   threat: mandate
#   severity: medium
#   remedy: Add a mail section to the mandate; inbox = true for reading.
deny contains {"code": "email.not_granted", "message": "The mandate does not grant this use of mail."} if {
	input.action.kind in {"email", "email_read"}
	not _granted
}

# METADATA
# title: A recipient is not listed
# description: Every address the mail goes to must be one the owner listed.
# custom:
#   code: email.recipient_not_listed
#   threat: persuasion
#   severity: high
#   remedy: List the address under mail.recipients in the mandate if the owner wants it written to.
deny contains {"code": "email.recipient_not_listed", "message": "A recipient is not listed in the mandate."} if {
	input.action.kind == "email"
	not _recipients_listed
}

_granted if {
	input.action.kind == "email"
	is_object(input.mandate.mail)
}

_granted if {
	input.action.kind == "email_read"
	input.mandate.mail.inbox == true
}

_recipients_listed if {
	is_array(input.action.args.to)
	is_array(input.facts.recipients)
	count(input.action.args.to) > 0
	every address in input.action.args.to {
		_listed(address)
	}
	every recipient in input.facts.recipients {
		recipient.listed == true
	}
}

_listed(address) if {
	some recipient in input.facts.recipients
	recipient.address == address
	recipient.listed == true
}
