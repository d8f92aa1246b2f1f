# SPDX-License-Identifier: Apache-2.0
"""What a service tells systemd: that it is ready, that it stops, that it is alive. Without systemd, nothing.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket


def notify(*states: str) -> bool:
    """Tell the service manager.

    Args:
        states: as READY=1, STOPPING=1, WATCHDOG=1, STATUS=text without line ends.

    Returns:
        Whether it was told; False where nobody wants to know, or nobody listens.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(1)  # a manager that hangs does not take us with it
            to.connect(address)
            to.sendall("\n".join(states).encode())
    except OSError:
        return False
    return True


def watchdog_s() -> float | None:
    """How often to send WATCHDOG=1: half the time after which systemd takes us for dead; None if it does not watch."""
    wanted, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or int(wanted) == 0 or (process and process != str(os.getpid())):
        return None
    return int(wanted) / 2e6
