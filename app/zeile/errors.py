# SPDX-License-Identifier: Apache-2.0
"""Every error that Zeile raises for a reason outside its own code.

    ZeileError
    ├── BadImage            an input that cannot be read as a line
    │   └── ImageTooLarge   more pixels, width or height than the limit
    │       └── LineTooWide more columns than the overlay's buffers hold
    ├── BadManifest         a model folder (or an overlay's) that is damaged, foreign or inconsistent
    ├── BadSettings         a setting, option or combination of them that makes no sense
    ├── BadData             ground truth, texts or fonts that cannot be used
    │   └── BadDocument     line regions of a page (ALTO, PAGE, JSON) that cannot be used
    ├── BadJob              a bulk job's folder that cannot be used, or written to
    │   └── ReadingsDiffer  a shard was read twice, and not alike
    ├── FleetError          none of several services gave an answer
    └── DeviceError         an engine that cannot do what was asked
        ├── OverlayMissing  no overlay, or one without a bitstream
        ├── OverlayMismatch overlay, board, image, clock and model that do not belong together
        ├── DeviceBusy      another process owns the programmable logic
        ├── DeviceTimeout   the board did not answer in time
        └── DeviceFault     the board reported an error or sent something damaged
            └── PacketError a packet that breaks the format, or fails its checksum

Messages say what is wrong, the value, the limit and the remedy, in one sentence or two.
"""

from typing import TypeVar


class ZeileError(Exception):
    """Base of all errors that a user can cause or mend."""


class BadImage(ZeileError):
    """The input cannot be read as an image of a text line."""


class ImageTooLarge(BadImage):
    """The image exceeds a limit on bytes, pixels, width or height."""


class LineTooWide(ImageTooLarge):
    """The line has more columns than the overlay was built for; refused before it is sent."""


class BadManifest(ZeileError):
    """A model folder is damaged, foreign or inconsistent."""


class BadSettings(ZeileError):
    """A setting or argument has a value that cannot be used."""


class BadData(ZeileError):
    """Training or evaluation data cannot be used."""


class BadDocument(BadData):
    """A document of line regions is foreign, damaged, beyond a limit, or belongs to another image."""


class FleetError(ZeileError):
    """None of several services gave an answer in time; the message says what each of them said last."""


class BadJob(ZeileError):
    """The folder of a bulk job is foreign, damaged, full, or does not belong to what was asked."""


class ReadingsDiffer(BadJob):
    """Two readings of a shard differ, which integers never do: a machine, or a file, is at fault."""


class DeviceError(ZeileError):
    """An engine cannot do what was asked."""


class OverlayMissing(DeviceError):
    """There is no such overlay here, or it has no bitstream."""


class OverlayMismatch(DeviceError):
    """Overlay, board, image, clock and model do not belong together."""


class DeviceBusy(DeviceError):
    """Another process owns the programmable logic."""


class DeviceTimeout(DeviceError):
    """The board did not answer before the deadline."""


class DeviceFault(DeviceError):
    """The board reported an error, or what it sent is damaged."""


class PacketError(DeviceFault):
    """A packet breaks the format or fails its checksum."""


_E = TypeVar("_E", bound=BaseException)


def bare(error: _E) -> _E:
    """The error without where it was raised: its frames would keep a picture in memory as long as the error is kept."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
