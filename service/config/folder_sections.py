"""The settings in a folder's photochrom.yaml, and what is set for one scan, as frozen values."""

from typing import Annotated, Self

from pydantic import Field

from service.config.sections import Color, Section, Switch
from worker.settings import ColorPoint, ColorWishes, ReadSettings, Reference


class FolderColor(Color):
    """The colors of a folder's photos.

    Attributes:
        like: path of a photo in color that they are to be colored like, from the file's folder.
    """

    like: Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")] | None = Field(
        default=None, description="the path of a photograph in color, or null"
    )


class FolderFile(Section):
    """The file photochrom.yaml in a folder of the inbox: settings for the scans in and below it."""

    even_if_colored: Switch = ReadSettings.even_if_colored
    color: FolderColor = FolderColor()

    def settings(self, reference: Reference | None) -> "FolderSettings":
        """Return what it sets; `reference`: what `color.like` names."""
        given = self.model_dump(exclude_unset=True)
        color = given.get("color", {})
        if "like" in color:
            del color["like"]
            given["reference"] = reference
        return FolderSettings(**given)


class FolderSettings(Section):
    """What is set for a scan: by its folder, and for this photo alone.

    Attributes:
        even_if_colored: whether to color it though it has color.
        color: how colorful it is to be.
        reference: a photo whose colors it is to have.
        points: what a person knows of its colors; only for a photo alone, as is the variant.
        variant: which of its colorings; 0 is the likeliest.
    """

    even_if_colored: Switch = ReadSettings.even_if_colored
    color: Color = Color()
    reference: Reference | None = None
    points: tuple[ColorPoint, ...] = ()
    variant: int = 0

    @classmethod
    def of(cls, wishes: ColorWishes) -> Self:
        """Ask for these wishes, whatever the folder says."""
        color = Color(vividness=wishes.vividness, warmth=wishes.warmth)
        return cls(
            color=color,
            points=wishes.points,
            variant=wishes.variant,
            reference=wishes.reference,
        )

    def over(self, outer: "FolderSettings") -> "FolderSettings":
        """Return these settings, with those not given taken from an outer folder."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if "color" in given:
            given["color"] = self.color.over(outer.color)
        return outer.model_copy(update=given)

    def wishes(self, usual: Color) -> ColorWishes:
        """Return what is wished of the colors.

        Args:
            usual: of all photos; what is set here counts more.
        """
        color = self.color.over(usual)
        return ColorWishes(color.vividness, color.warmth, self.points, self.variant, self.reference)


AS_USUAL = FolderSettings()  # of a folder without a photochrom.yaml
