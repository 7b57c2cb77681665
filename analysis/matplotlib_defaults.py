"""matplotlib, imported as it is without a user's settings.

In: nothing. Out: matplotlib as a module, with its own defaults. Owns the moment of the import: a matplotlibrc
that cannot be read, the user's or the working directory's, or an MPLBACKEND that does not exist makes that
import fail, and none of them has a say in these figures. Whatever is drawn begins from the defaults all the
same (analysis/plots.py), since matplotlib may have been imported before.
"""

import importlib
import importlib.util
import os
from contextlib import ExitStack, chdir
from pathlib import Path
from types import ModuleType


def _imported() -> ModuleType:
    with ExitStack() as stack:
        if backend := os.environ.pop("MPLBACKEND", ""):
            stack.callback(os.environ.__setitem__, "MPLBACKEND", backend)
        spec = importlib.util.find_spec("matplotlib")
        if spec is not None and spec.origin is not None:
            # The matplotlibrc of the working directory goes before all others: let it be matplotlib's own.
            stack.enter_context(chdir(Path(spec.origin).with_name("mpl-data")))
        return importlib.import_module("matplotlib")


MATPLOTLIB = _imported()
