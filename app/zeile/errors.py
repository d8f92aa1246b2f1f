# SPDX-License-Identifier: Apache-2.0
"""Every error that Zeile raises for a reason outside its own code.

    ZeileError
    ├── BadImage            an input that cannot be read as a line
    │   └── ImageTooLarge   more pixels, width or height than the limit
    ├── BadManifest         a model folder (or an overlay's) that is damaged, foreign or inconsistent
    ├── BadSettings         a setting, option or combination of them that makes no sense
    ├── BadData             ground truth, texts or fonts that cannot be used
    └── DeviceError         an engine that cannot do what was asked

Messages say what is wrong, the value, the limit and the remedy, in one sentence or two.
"""


class ZeileError(Exception):
    """Base of all errors that a user can cause or mend."""


class BadImage(ZeileError):
    """The input cannot be read as an image of a text line."""


class ImageTooLarge(BadImage):
    """The image exceeds a limit on bytes, pixels, width or height."""


class BadManifest(ZeileError):
    """A model folder is damaged, foreign or inconsistent."""


class BadSettings(ZeileError):
    """A setting or argument has a value that cannot be used."""


class BadData(ZeileError):
    """Training or evaluation data cannot be used."""


class DeviceError(ZeileError):
    """An engine cannot do what was asked."""
