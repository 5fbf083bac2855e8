"""A picture beside a question, as endpoints take it: in the request, made small."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from negmine.images.decode import BadImageError, decode
from negmine.images.locate import ImageRoot, Place

QUALITY: Final = 90
TOKENS: Final = 2_000
"""That a picture costs, about, and at most."""


class NoPicture(Exception):
    """It cannot be read."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of the pairs.

    Attributes:
        size: of its longer side, pixels, at most.
    """

    root: ImageRoot
    place: Place
    size: int

    @property
    def identity(self) -> list[object]:
        """What the question depends on: the image, by its bytes where they were looked at, and the size."""
        image, _, _, content = self.place
        return [image if content is None else content, self.size]

    def beside(self, text: str) -> list[dict[str, object]]:
        """The content of a message that has the picture and a text.

        Raises:
            NoPicture: it is missing, damaged, or none.
        """
        picture: dict[str, object] = {"type": "image_url", "image_url": {"url": self._as_url()}}
        return [picture, {"type": "text", "text": text}]

    def _as_url(self) -> str:
        image, offset, size, content = self.place
        if image is None:
            raise NoPicture("the pair has no image")
        try:
            rgb = decode(self.root.read(image, offset, size, content), least=self.size).rgb
        except BadImageError as error:
            raise NoPicture(str(error)) from None
        rgb.thumbnail((self.size, self.size))
        stream = io.BytesIO()
        rgb.save(stream, "JPEG", quality=QUALITY)
        return f"data:image/jpeg;base64,{b64encode(stream.getvalue()).decode()}"
