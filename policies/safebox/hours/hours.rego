# METADATA
# title: Hours
# description: Which kinds of action may be taken when, by weekday and time of day in UTC.
package safebox.hours

import data.data.hours
import data.data.tools

# METADATA
# title: Outside its hours
# description: An action happens within the hours that data/hours gives its kind. Giving things back has no hours.
# custom:
#   code: hours.closed
#   threat: persistence
#   severity: medium
#   remedy: Wait for the hours of this kind, or change them in data/hours.
deny contains {"code": "hours.closed", "message": "Not at this time of the day or week."} if {
	not _open
	not _gives_back
}

_open if {
	is_string(input.action.time)
	_table == "always"
}

# A moment that can't be read is outside all hours.
_open if {
	_time_known
	is_array(_table)
	every window in _table {
		_is_window(window)
	}
	some window in _table
	time.weekday(time.parse_rfc3339_ns(input.action.time)) in window.days
	_between(window.from, _clock, window.until)
}

_table := table if {
	is_object(hours.kinds)
	is_string(input.action.kind)
	table := object.get(hours.kinds, input.action.kind, hours["default"])
}

# Times of the day are texts of one form, so comparing the texts compares the times.
_is_window(window) if {
	is_array(window.days)
	every day in window.days {
		day in _weekdays
	}
	is_string(window.from)
	is_string(window.until)
	regex.match(_time_of_day, window.from)
	regex.match(_end_of_day, window.until)
	_between(window.from, window.from, window.until)
}

_between(from, moment, until) if {
	from <= moment
	moment < until
}

_weekdays := {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

_time_of_day := `^([01][0-9]|2[0-3]):[0-5][0-9]$`

_end_of_day := `^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`

_time_known if {
	is_string(input.action.time)
	regex.match(_time_in_utc, input.action.time)
}

_time_in_utc := `^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?Z$`

_clock := substring(input.action.time, 11, 5)

_gives_back if tools[input.action.tool].after_expiry == true
