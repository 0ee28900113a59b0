"""OME-XML: what the ImageDescription of an OME-TIFF, or a companion file, says of images, pages and times.

Source: OME-TIFF specification and the OME schema 2016-06, with what older schemas call otherwise. An ``Image`` has one
``Pixels`` with ``DimensionOrder`` (``XYZCT``: Z fastest), ``SizeX`` ... ``SizeT``; a ``TiffData`` says that
``PlaneCount`` pages from ``IFD`` on, of the file that its ``UUID`` names, are the planes from (``FirstZ``, ``FirstC``,
``FirstT``) on in that order. ``SizeC`` counts samples: a channel with ``SamplesPerPixel`` 3 is one plane, three of C.
``BinaryOnly`` means that the XML is in another file.

A document with a DOCTYPE is refused, so that there are no entities to expand and nothing outside to fetch; elements are
taken one by one, without a tree.
"""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError, XMLParser

from galvo.errors import GalvoError, Malformed, UnsafeContent, warn
from galvo.formats.tiff.units import length_um, number, time_s
from galvo.limits import Limits

__all__ = ["AS_PAGES", "OmeDocument", "OmeImage", "PlaneTimes", "TiffData", "looks_like_ome", "parse_ome"]

_ORDER = re.compile(r"XY([ZCT])([ZCT])([ZCT])")
_GREATEST = 1 << 40
_DEEPEST = 256
_PIECE_CHARACTERS = 1 << 16
_FIRST_CHARACTERS = 4096
AS_PAGES = 'Open it with axes="T" (--open-option axes=T) to read its pages one after the other'


def looks_like_ome(description: str) -> bool:
    """Whether a text begins as OME-XML does."""
    head = description[:_FIRST_CHARACTERS]
    return "<OME" in head or ":OME " in head or "www.openmicroscopy.org/" in head


def _column() -> array[int]:
    return array("q")


def _numbers() -> array[float]:
    return array("d")


@dataclass(slots=True)
class TiffData:
    """Pages of files that are planes of an image: columns with one entry per element, as there may be one per plane.

    Attributes
    ----------
    ifd, count : array of int
        First page and number of pages; -1: all pages of the file.
    t, c, z : array of int
        The first plane.
    file : array of int
        Number in `files`.
    files : list of (str or None, str)
        Name and UUID; no name is the file that holds the XML.
    """

    ifd: array[int] = field(default_factory=_column)
    count: array[int] = field(default_factory=_column)
    t: array[int] = field(default_factory=_column)
    c: array[int] = field(default_factory=_column)
    z: array[int] = field(default_factory=_column)
    file: array[int] = field(default_factory=_column)
    files: list[tuple[str | None, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ifd)


@dataclass(slots=True)
class PlaneTimes:
    """Times of planes, as columns.

    Attributes
    ----------
    t, c, z : array of int
    time_s, exposure_s : array of float
        NaN where unknown.
    """

    t: array[int] = field(default_factory=_column)
    c: array[int] = field(default_factory=_column)
    z: array[int] = field(default_factory=_column)
    time_s: array[float] = field(default_factory=_numbers)
    exposure_s: array[float] = field(default_factory=_numbers)

    def __len__(self) -> int:
        return len(self.t)


@dataclass(slots=True)
class OmeImage:
    """One image.

    Attributes
    ----------
    name : str
    order : str
        T, C and Z, slowest first.
    sizes : dict of str to int
        Lengths of T C Z Y X; C with samples.
    pixel_type : str
    samples : int
        Of each page, as the channels have it.
    channel_names : list of str
    pixel_size_um, spacing_um, interval_s : float or None
    tiff_data : TiffData
    planes : PlaneTimes
    start_time : str or None
    """

    name: str = ""
    order: str = "TCZ"
    sizes: dict[str, int] = field(default_factory=dict)
    pixel_type: str = ""
    samples: int = 1
    channel_names: list[str] = field(default_factory=list)
    pixel_size_um: tuple[float, float] | None = None
    spacing_um: float | None = None
    interval_s: float | None = None
    tiff_data: TiffData = field(default_factory=TiffData)
    planes: PlaneTimes = field(default_factory=PlaneTimes)
    start_time: str | None = None

    @property
    def plane_count(self) -> int:
        """Pages that all planes need."""
        return self.sizes["T"] * self.sizes["Z"] * (self.sizes["C"] // self.samples)


@dataclass(slots=True)
class OmeDocument:
    """What one text holds.

    Attributes
    ----------
    text : str
    images : list of OmeImage
    uuid : str
        Of the file that holds the text.
    metadata_file : str or None
        The file that holds the images, where this text does not.
    """

    text: str
    images: list[OmeImage] = field(default_factory=list)
    uuid: str = ""
    metadata_file: str | None = None


def parse_ome(text: str, path: str, limits: Limits) -> OmeDocument:
    """What OME-XML says.

    Parameters
    ----------
    text : str
    path : str
        Named in errors.
    limits : Limits

    Raises
    ------
    Malformed
        No XML, or sizes, orders and numbers that cannot be.
    UnsafeContent
        It declares entities.
    LimitExceeded
        It is too long, or announces too many planes.
    """
    limits.check("text_bytes", len(text), path=path)
    document = OmeDocument(text)
    parser = XMLParser(target=_Target(document, path, limits))
    try:
        # in pieces: the parser goes to the end of what it has before it lets an error through
        for start in range(0, len(whole := text.strip()), _PIECE_CHARACTERS):
            parser.feed(whole[start : start + _PIECE_CHARACTERS])
        parser.close()
    except (ParseError, ValueError) as error:
        if isinstance(error, GalvoError):
            raise
        raise Malformed(f"the OME-XML is no XML: {error}", path=path, hint=AS_PAGES) from error
    return document


class _Target:
    """Takes elements as they come; the names of the callbacks are ElementTree's."""

    def __init__(self, document: OmeDocument, path: str, limits: Limits) -> None:
        self._document, self._path, self._limits = document, path, limits
        self._image: OmeImage | None = None
        self._in_pixels = False
        self._in_tiff_data = False
        self._depth = 0
        # name and UUID of the file that the current TiffData names
        self._file: tuple[str | None, str] = (None, "")
        self._numbers: dict[tuple[str | None, str], int] = {}
        self._text: list[str] | None = None
        self._channel_samples: list[int] = []
        self._units_told: set[str] = set()

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Nothing in OME-XML needs one."""
        raise UnsafeContent("the OME-XML has a DOCTYPE, which could declare entities", path=self._path, found=name)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        name = tag.rpartition("}")[2]
        image, document = self._image, self._document
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Malformed("the OME-XML is nested too deeply", path=self._path, expected=f"at most {_DEEPEST} levels")
        if name == "OME":
            document.uuid = attributes.get("UUID", "").lower()
        elif name == "BinaryOnly":
            document.metadata_file = attributes.get("MetadataFile", "")
        elif name == "Image":
            self._image = OmeImage(name=attributes.get("Name", ""), start_time=attributes.get("AcquiredDate"))
            self._channel_samples, self._numbers = [], {}
        elif image is None:
            return
        elif name == "Pixels" and not image.sizes:
            self._in_pixels = True
            self._pixels(image, attributes)
        elif name in ("AcquisitionDate", "CreationDate"):
            self._text = []
        elif not self._in_pixels:
            return
        elif name == "Channel":
            image.channel_names.append(attributes.get("Name", ""))
            self._channel_samples.append(self._whole(attributes, "SamplesPerPixel", 1, least=1))
        elif name == "TiffData":
            self._in_tiff_data = True
            self._tiff_data(image, attributes)
        elif name == "UUID" and self._in_tiff_data:
            self._file = (attributes.get("FileName"), "")
            self._text = []
        elif name == "Plane":
            self._plane(image, attributes)

    def data(self, text: str) -> None:
        """Text between elements."""
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        name = tag.rpartition("}")[2]
        image, text = self._image, "".join(self._text or ()).strip()
        self._depth -= 1
        if name == "UUID" and self._in_tiff_data:
            self._file = (self._file[0], text.lower())
            self._text = None
        elif name in ("AcquisitionDate", "CreationDate") and image is not None:
            image.start_time = text or image.start_time
            self._text = None
        elif name == "TiffData" and self._in_tiff_data and image is not None:
            self._in_tiff_data = False
            number = self._numbers.setdefault(self._file, len(self._numbers))
            if number == len(image.tiff_data.files):
                image.tiff_data.files.append(self._file)
            image.tiff_data.file.append(number)
        elif name == "Pixels":
            self._in_pixels = False
        elif name == "Image" and image is not None:
            self._finish(image)
            self._image = None

    def close(self) -> None:
        """The document ends."""

    # ---- elements -------------------------------------------------------------------------------------------------

    def _pixels(self, image: OmeImage, attributes: dict[str, str]) -> None:
        match = _ORDER.fullmatch(attributes.get("DimensionOrder", "XYZCT"))
        if match is None or len(set(match.groups())) != 3:
            raise Malformed(
                "an impossible DimensionOrder in the OME-XML",
                path=self._path,
                found=attributes["DimensionOrder"][:40],
                expected="XYZCT, XYZTC, ...",
                hint=AS_PAGES,
            )
        image.order = "".join(reversed(match.groups()))
        for letter in "TCZYX":
            if f"Size{letter}" not in attributes:
                raise Malformed(f"the OME-XML gives no Size{letter}", path=self._path, hint=AS_PAGES)
            image.sizes[letter] = self._whole(attributes, f"Size{letter}", 1, least=1)
        image.pixel_type = attributes.get("Type") or attributes.get("PixelType", "")
        sizes = [self._in_unit(attributes, f"PhysicalSize{letter}", "µm") for letter in "ZYX"]
        image.spacing_um = sizes[0]
        image.pixel_size_um = None if sizes[1] is None or sizes[2] is None else (sizes[1], sizes[2])
        image.interval_s = self._in_unit(attributes, "TimeIncrement", "s")

    def _tiff_data(self, image: OmeImage, attributes: dict[str, str]) -> None:
        count = -1
        if "PlaneCount" in attributes or "NumPlanes" in attributes:
            count = self._whole(attributes, "PlaneCount" if "PlaneCount" in attributes else "NumPlanes", 0)
        elif "IFD" in attributes:
            count = 1
        data = image.tiff_data
        for column, value in (
            (data.ifd, self._whole(attributes, "IFD", 0)),
            (data.count, count),
            *((getattr(data, letter.lower()), self._whole(attributes, f"First{letter}", 0)) for letter in "TCZ"),
        ):
            column.append(value)
        self._file = (None, "")

    def _plane(self, image: OmeImage, attributes: dict[str, str]) -> None:
        times = [self._in_unit(attributes, name, "s", least=None) for name in ("DeltaT", "ExposureTime")]
        if times == [None, None]:
            return
        planes = image.planes
        for letter in "TCZ":
            getattr(planes, letter.lower()).append(self._whole(attributes, f"The{letter}", 0))
        for column, value in zip((planes.time_s, planes.exposure_s), times, strict=True):
            column.append(math.nan if value is None else value)

    def _finish(self, image: OmeImage) -> None:
        if not image.sizes:
            # an image without pixels is nothing that could be opened
            return
        samples = set(self._channel_samples) or {1}
        image.samples = samples.pop() if len(samples) == 1 else 1
        if image.sizes["C"] % image.samples:
            raise Malformed(
                "the OME-XML has channels that do not fit SizeC",
                path=self._path,
                found=f"SizeC {image.sizes['C']}, {image.samples} samples in each channel",
                hint=AS_PAGES,
            )
        self._limits.check("page_count", image.plane_count, path=self._path)
        self._document.images.append(image)

    # ---- values ---------------------------------------------------------------------------------------------------

    def _whole(self, attributes: dict[str, str], name: str, default: int, least: int = 0) -> int:
        text = attributes.get(name)
        if text is None:
            return default
        plain = text.strip()
        if not (plain.isascii() and plain.isdigit() and len(plain) < 14 and least <= int(plain) < _GREATEST):
            raise Malformed(
                f"an impossible {name} in the OME-XML",
                path=self._path,
                found=text[:40],
                expected=f"a whole number, at least {least}",
                hint=AS_PAGES,
            )
        return int(plain)

    def _in_unit(self, attributes: dict[str, str], name: str, default: str, least: float | None = 0.0) -> float | None:
        """A length in µm or a time in s; None where absent, no number, not above `least`, or in an unknown unit."""
        value = number(attributes.get(name))
        if value is None or (least is not None and value <= least):
            return None
        unit = attributes.get(f"{name}Unit", default)
        factor = length_um(unit) if default == "µm" else time_s(unit)
        if factor is None and (key := f"{name} {unit}") not in self._units_told:
            self._units_told.add(key)
            warn(f"{self._path}: {name} of the OME-XML is in {unit!r}, which is not known: it is left out")
        return None if factor is None else value * factor
