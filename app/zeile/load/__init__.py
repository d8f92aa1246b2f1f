# SPDX-License-Identifier: Apache-2.0
"""A load generator for ``/v1/recognize``: closed loop and open loop, until the figures are stable.

``drive`` sends, in an event loop of ``loop``; ``windows`` decides when the figures are stable, ``bodies`` makes the
requests, ``scrape`` reads /metrics, ``report`` prints. Nothing beyond Zeile's core is needed; a plot needs matplotlib.
"""
