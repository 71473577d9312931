"""What xmap has to know of the method before any work: planning imports this module, so there is no torch in it."""

from pydantic import Field

from xmap.stages.methods.registry import Contents, MethodEntry
from xmap.stages.methods.searched import MethodOptions


class Options(MethodOptions):
    """Set by `--set methods.nearest-mean.share=0.5` or in xmap.toml, and part of the fingerprint."""

    share: float = Field(1.0, ge=0, description="Weight of the images' mean beside the text.")


# Raise the version when the same options would give other numbers.
ENTRY = MethodEntry(Options, "xmap_nearest_mean.method", version=1, contents=Contents({"weights": ("N", "C")}))
