# SPDX-License-Identifier: Apache-2.0
"""The HTTP service: ``create_app`` in ``zeile.service.app``."""
