"""Continual model merging: fold each new fine-tuned expert into one model"""

__version__ = "0.2.0"

_HOMES = {"ContinualMerger": "merging.merger", "merge": "merging.merger",
          "open_checkpoint": "checkpoints.loading"}
__all__ = list(_HOMES)


def __getattr__(name):                       # importing the package imports nothing heavy
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
