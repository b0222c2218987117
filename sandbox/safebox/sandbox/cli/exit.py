"""What the program's exit status says."""

DONE = 0
BUG = 1
USAGE = 2
CHECK_FAILED = 7
INTERRUPTED = 130
UNREAD = 141

EXIT_STATUSES = {
    DONE: "done",
    BUG: "something nobody foresaw; please report it",
    USAGE: "the command line is wrong",
    3: "a file or setting a person wrote is wrong",
    4: "a request makes no sense",
    5: "the firewall can't answer, or says no",
    6: "no sandbox could be made",
    CHECK_FAILED: "a check found something: policy …, attack, audit verify, doctor",
    INTERRUPTED: "interrupted with Ctrl-C",
    UNREAD: "nobody reads what it prints",
}
"""Every status there is. Those of errors are the `exit_status` of the classes in `safebox.firewall.errors`."""
