"""How this package compiles: functions that are inlined, kernels that are kept on disk.

Numba keeps compiled kernels in `__pycache__` beside the source, or in NUMBA_CACHE_DIR, for the processor they were
compiled on; where it can write to none of its places, they go to a private folder. By itself it looks only at the file
of the kernel; here the text of every file of the packages that have kernels counts as well, because kernels contain the
functions that they call, and so does this folder's, which says how they are compiled.
"""

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core import config, event
from numba.core.codegen import get_host_cpu_features
from numba.core.runtime import rtsys
from numba.core.types.misc import unliteral
from numba.extending import intrinsic as _intrinsic

from zkinfer.jit.pipeline import KernelCompiler, PartCompiler
from zkinfer.jit.private_folder import private_folder
from zkinfer.progress import Turning, in_notebook, is_quiet, notice

F = TypeVar("F", bound=Callable[..., Any])

PACKAGES = (
    "execution",
    "native/kernels",
    "protocol/field/kernels",
    "protocol/lookup",
    "protocol/merkle",
    "protocol/sumcheck",
)
"""The folders in which there are kernels, or functions that are inlined into kernels."""


def device(function: F) -> F:
    """Compiles a function into the kernels that call it. Python cannot call it: what that takes is not compiled."""
    return _part(function, inlined=True)


def routine(function: F) -> F:
    """As `device`, but for what is long: LLVM decides whether a kernel has it once, and calls it."""
    return _part(function, inlined=False)


def _part(function: F, inlined: bool) -> F:
    compiled: Any = njit(
        forceinline=inlined,
        nogil=True,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        pipeline_class=PartCompiler,
    )(function)

    def refuse(*_: Any, **__: Any) -> None:
        raise TypeError(f"{function.__name__} is a part of kernels, and not to be called from Python")

    # Without its wrapper, a call from Python would end the process. So Python's dispatch never learns of a compiled
    # version, and where it asks for one, it is refused. Kernels look versions up in `overloads`.
    compiled.add_overload = lambda version: compiled.overloads.update({tuple(version.signature.args): version})
    compiled._compile_for_args = refuse
    typed = compiled.get_call_template

    def without_literals(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        """To numba a constant in a call is a type of its own, for which it would compile the function once more."""
        return typed(tuple(map(unliteral, args)), {name: unliteral(kind) for name, kind in kws.items()})

    compiled.get_call_template = without_literals
    result: F = compiled
    return result


def kernel(function: F) -> F:
    """Compiles a function on its first call on a machine, and keeps the code on disk. It releases the global lock."""
    compiled: Any = njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, pipeline_class=KernelCompiler)(
        function
    )
    if _keep(compiled):
        kept = compiled._cache
        index = kept._cache_file
        index._source_stamp = (index._source_stamp, source_digest())
        kept.load_overload = partial(_load, kept)
    result: F = compiled
    return result


def _keep(compiled: Any) -> bool:
    """Let a kernel's code be kept where there is a place for it; returns whether there is."""
    with suppress(RuntimeError):  # numba finds no folder that can be written
        compiled.enable_caching()
        return True
    folder, before = private_folder(), config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = str(folder)  # read when a function's place is chosen, and set for these kernels alone
        with suppress(RuntimeError):
            compiled.enable_caching()
        config.CACHE_DIR = before
    return bool(compiled._cache.cache_path)


def _load(kept: Any, signature: Any, context: Any) -> Any:
    """The code that is kept for a signature, or None.

    By itself numba first imports whatever it can compile, and scipy with it: that is most of the time that loading all
    kernels of a proof takes. Machine code needs no more than numba's runtime; and before it compiles, numba imports
    the rest in any case.
    """
    rtsys.initialize(context)
    with kept._guard_against_spurious_io_errors():
        return kept._load_overload(signature, context)


def intrinsic(function: F) -> Callable[..., Any]:
    """Defines a function by the LLVM instructions that it stands for."""
    compiled: Callable[..., Any] = _intrinsic(function)
    return compiled


ANNOUNCEMENT = "zkinfer: compiling kernels, once on this machine; `zkinfer warmup` does it ahead, in half a minute"
COMPILED = "zkinfer: kernels are compiled"
REST_SECONDS = 1.0
"""Between one kernel and the next, after which a spinner stops."""


def processor_features() -> str:
    """The instructions that kernels are compiled for, as LLVM names them: "+avx2,-avx512f,..."."""
    chosen: str | None = config.CPU_FEATURES
    return get_host_cpu_features() if chosen is None else chosen


class CompilationNotice(event.Listener):  # type: ignore[misc]
    """Says, once in a process, that kernels of this package are compiled: why the first use takes so long.

    In a notebook a spinner turns beside it for as long as they are. Terminals have those of `progress.activity`.
    """

    def __init__(self) -> None:
        self._announced = False
        self._running = 0
        self._shown: Turning | None = None
        self._turns = False
        self._rest = threading.Timer(REST_SECONDS, self._stop)

    def on_start(self, event: Any) -> None:
        """Numba begins to compile a function, of this package or of another; one may be within another."""
        self._running += 1
        self._rest.cancel()
        module = event.data["dispatcher"].py_func.__module__ or ""  # None where the function's text was executed
        if not module.startswith("zkinfer."):
            return
        if not self._announced and in_notebook() and not is_quiet():
            self._shown, self._turns = Turning(ANNOUNCEMENT), True
        elif not self._announced:
            notice(ANNOUNCEMENT)
        elif self._shown is not None and not self._turns:
            self._shown.replace(ANNOUNCEMENT, turning=True)
            self._turns = True
        self._announced = True

    def on_end(self, event: Any) -> None:
        """Numba is done with it. Nothing tells whether more kernels follow, but that none does for a while."""
        self._running -= 1
        if self._turns and not self._running:
            self._rest = threading.Timer(REST_SECONDS, self._stop)
            self._rest.daemon = True
            self._rest.start()

    def _stop(self) -> None:
        if self._shown is not None and not self._running:
            self._shown.replace(COMPILED)
            self._turns = False


event.register("numba:compile", CompilationNotice())


@cache
def source_digest(root: Path = Path(__file__).parents[1]) -> str:
    """A digest of the names and texts of all files in PACKAGES and here, which lie in the folder `root`."""
    digest = hashlib.sha256()
    for package in (*PACKAGES, "jit"):
        for path in sorted((root / package).glob("*.py")):
            text = path.read_bytes()
            digest.update(f"{package}/{path.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()
