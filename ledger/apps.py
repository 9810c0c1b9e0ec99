"""Apps: the modules of a user's own that a process imports for what they define."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from ledger.errors import ConfigurationError


def import_app(app: str) -> ModuleType:
    """Import a module of --app or LEDGER_APPS, looked for in the working directory too.

    Raises:
        ConfigurationError: it cannot be imported; the sentence names it and says why.
    """
    _make_importable(Path.cwd())
    try:
        return importlib.import_module(app)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the app {app!r} (--app, LEDGER_APPS) cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _make_importable(directory: Path) -> None:
    # `python -m` does it by itself; an installed command looks only where packages are installed.
    if str(directory) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(directory))
