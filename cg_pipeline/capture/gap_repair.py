"""What is needed to repair missing days from the platforms. Which days are missing is found in `history.gaps`."""

from cg_pipeline.config import PLATFORMS
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.contract import AsOf


def dated_platforms() -> frozenset[str]:
    """The platforms that can be asked for a day that has passed."""
    return frozenset(platform for platform in PLATFORMS if connector(platform).as_of is AsOf.DATED)
