"""The embedded engine: Pulumi programs and plugins without the Pulumi CLI. See docs/engine.md."""

from engine.setting import set_config

__all__ = ["set_config"]
