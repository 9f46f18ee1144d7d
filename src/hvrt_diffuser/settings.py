"""Project settings, read by Kedro."""

from hvrt_diffuser.hooks import (
    CheckedParameters,
    FreshnessCatalog,
    OneAtATime,
    RawImages,
    RunSummary,
    SharedTraining,
    TaskEngine,
)

HOOKS = (
    SharedTraining(),
    CheckedParameters(),
    RawImages(),
    RunSummary(),
    OneAtATime(),
    TaskEngine(),
)
DATA_CATALOG_CLASS = FreshnessCatalog

# An environment that sets one parameter of a block keeps the others.
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
}
