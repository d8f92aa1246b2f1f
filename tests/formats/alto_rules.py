# SPDX-License-Identifier: Apache-2.0
"""What ALTO 4.4's schema demands of the elements that we write, as a table of our own.

The schema itself does not ship: its licence is CC BY-SA, and no package index that the tests can use has it. Order
and number of children, attributes that must and may be there, and their types are as in alto-4-4.xsd.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

NAMESPACE = "{http://www.loc.gov/standards/alto/ns-v4#}"

_FLOAT = r"-?\d+(\.\d+)?"
_SHARE = r"0\.\d+|1\.0+|[01]"
_NAME = r"[A-Za-z_][\w.-]*"
_ANY = r"(?s:.*)"
_PLACE = {"HPOS": _FLOAT, "VPOS": _FLOAT, "WIDTH": _FLOAT, "HEIGHT": _FLOAT}
_STEP = (
    "(processingCategory )?(processingDateTime )?(processingAgency )?(processingStepDescription )*"
    "(processingStepSettings )?(processingSoftware )?"
)

CHILDREN = {
    "alto": "(Description )?(Styles )?(Tags )?(ReadingOrder )?Layout ",
    "Description": "MeasurementUnit (sourceImageInformation )?(OCRProcessing )*(Processing )*",
    "sourceImageInformation": "(fileName )?(fileIdentifier )*(documentIdentifier )*",
    "Processing": _STEP,
    "processingSoftware": "(softwareCreator )?(softwareName )?(softwareVersion )?(applicationDescription )?",
    "Tags": "(OtherTag )*",
    "Layout": "(Page )+",
    "Page": "(PrintSpace )?",
    "PrintSpace": "(Shape )?(TextBlock )*",
    "TextBlock": "(Shape )?(TextLine )*",
    "TextLine": "(Shape )?(String (SP )?)+(HYP )?",
    "Shape": "Polygon ",
    "String": "(Shape )?(ALTERNATIVE )*(Glyph )*",
    "Glyph": "(Shape )?(Variant )*",
}
"""Children by a regular expression over their names; elements that are not here have none."""

REQUIRED = {
    "Processing": {"ID": _NAME},
    "OtherTag": {"ID": _NAME, "LABEL": _ANY},
    "Page": {"ID": _NAME, "PHYSICAL_IMG_NR": _FLOAT},
    "TextBlock": {"ID": _NAME},
    "Polygon": {"POINTS": _ANY},
    "String": {"CONTENT": _ANY},
    "Glyph": {"CONTENT": "(?s:.)"},
}
OPTIONAL = {
    "alto": {"SCHEMAVERSION": _ANY, "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation": _ANY},
    "fileIdentifier": {"fileIdentifierLocation": _ANY},
    "OtherTag": {"TYPE": _ANY},
    "Page": {"WIDTH": _FLOAT, "HEIGHT": _FLOAT, "QUALITY_DETAIL": _ANY},
    "PrintSpace": _PLACE,
    "TextBlock": _PLACE,
    "TextLine": _PLACE | {"ID": _NAME, "BASEDIRECTION": "ltr", "TAGREFS": _NAME, "CS": "true"},
    "String": _PLACE | {"ID": _NAME, "WC": _SHARE},
    "SP": _PLACE,
    "Glyph": _PLACE | {"GC": _SHARE},
}
_TEXTS = {"MeasurementUnit": "pixel|mm10|inch1200", "processingCategory": "content(Generation|Modification)"}
_TEXTS |= {"processingDateTime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"}
_LEAVES = {"fileName", "fileIdentifier", "processingStepDescription", "processingStepSettings"}
_LEAVES |= {"softwareName", "softwareVersion", *_TEXTS}


def check(document: bytes) -> ET.Element:
    """Assert that a document keeps the rules; returns its root."""
    root = ET.fromstring(document)
    assert root.tag == f"{NAMESPACE}alto"
    names = [element.get("ID") for element in root.iter() if element.get("ID")]
    assert len(names) == len(set(names))
    for element in root.iter():
        name = element.tag.removeprefix(NAMESPACE)
        inside = "".join(child.tag.removeprefix(NAMESPACE) + " " for child in element)
        assert re.fullmatch(CHILDREN.get(name, ""), inside), f"{name} holds {inside[:200]}"
        assert name in _LEAVES or not (element.text or "").strip(), f"{name} holds text"
        assert re.fullmatch(_TEXTS.get(name, _ANY), element.text or "")
        required, allowed = REQUIRED.get(name, {}), OPTIONAL.get(name, {})
        assert set(required) <= set(element.attrib), f"{name} has only {sorted(element.attrib)}"
        for attribute, value in element.attrib.items():
            kind = (required | allowed).get(attribute)
            assert kind is not None, f"{name} has {attribute}"
            assert re.fullmatch(kind, value), f"{attribute} of {name} is {value!r}"
        assert element.get("TAGREFS", None) in (None, *names)
    return root
