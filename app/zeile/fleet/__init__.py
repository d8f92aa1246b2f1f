# SPDX-License-Identifier: Apache-2.0
"""Several services as one: a client that shares requests out among them and sees to it that none is lost.

Reading is pure, so a request whose service goes away, breaks or is full is sent to another one. Nothing beyond Zeile's
core is needed. ``balance`` chooses and asks again, ``member`` knows how one service is.
"""

from zeile.errors import FleetError
from zeile.fleet.balance import Fleet, FleetAnswer

__all__ = ["Fleet", "FleetAnswer", "FleetError"]
