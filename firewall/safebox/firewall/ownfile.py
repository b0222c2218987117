"""Reading files that say whom to trust: only regular ones of this user, which others can't have written."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from safebox.firewall.errors import ConfigError

OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
OTHERS_ANY: Final = 0o077


def read_own(path: Path, *, others: int, most: int) -> bytes | None:
    """The bytes of a regular file of ours (or root's) for which others have none of the permissions `others`.

    Raises:
        ConfigError: if it is anything else or longer than `most`; None means that there is no file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", remedy="check the file") from error
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode) or about.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"{path} is no file of yours", remedy="check the file")
        if about.st_mode & others:
            raise ConfigError(f"others could read or change {path}", remedy=f"chmod 600 {path}")
        content = os.read(handle, most + 1)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", remedy="check the file") from error
    finally:
        os.close(handle)
    if len(content) > most:
        raise ConfigError(f"{path} has more than {most} bytes", remedy="check the file")
    return content
