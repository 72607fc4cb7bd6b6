"""All connectors by platform. A new platform is one module and one name in `config.PLATFORMS`."""

from importlib import import_module

from cg_pipeline.platforms.contract import Connector


def connector(platform: str) -> Connector:
    """The connector of a platform: the class that bears its name, in the module of its name."""
    made: Connector = getattr(import_module(f"cg_pipeline.platforms.{platform}"), platform.capitalize())()
    return made
