"""The way that numba takes from a function to machine code, without what kernels have no use for.

A kernel of this package is plain loops over numbers and arrays: it has no closures, no comprehensions, no `with` and no
expressions of whole arrays. So of numba's passes over a function those for these are left out. A part of kernels is
inlined into each kernel that calls it, and LLVM makes machine code of the kernel alone: by itself numba would optimize
each part by itself, and make machine code of it that nothing calls. Of a kernel it would optimize each function before
the whole.
"""

from typing import Any

from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import (
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

from zkinfer.jit.collector import collector_waits

UNTYPED = (TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA)
TYPED = (NopythonTypeInference, PreLowerStripPhis, IRLegalization, AnnotateTypes)


class KernelLibrary(JITCodeLibrary):  # type: ignore[misc]
    """LLVM's form of a kernel, optimized as a whole."""

    def _optimize_functions(self, module: Any) -> None:
        """Numba would optimize each function by itself first, which the passes over all of them do once more."""
        module.data_layout = self._codegen._data_layout


class PartLibrary(KernelLibrary):
    """LLVM's form of a part of kernels: optimized once, because several kernels contain it; no machine code."""

    def _optimize_final_module(self) -> None:
        made = self._codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False, opt=2)
        passes, *builder = made if isinstance(made, tuple) else [made]  # older versions of numba have no builder
        passes.run(self._final_module, *builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class KernelLower(Lower):  # type: ignore[misc]
    """Makes LLVM's form. For debuggers, to which kernels tell nothing, numba would ask LLVM how large each variable is,
    in a module of its own."""

    def alloca_lltype(self, name: str, lltype: Any, datamodel: Any = None) -> Any:
        """Memory for a variable."""
        return cgutils.alloca_once(self.builder, lltype, name=name, zfill=False)

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        """Writes a variable."""
        super().storevar(value, name)


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):  # type: ignore[misc]
    """Makes a kernel's machine code."""

    _name = "zkinfer_kernel_lowering"
    library = KernelLibrary

    @property
    def lowering_class(self) -> type[Lower]:
        """Numba's way to replace a step."""
        return KernelLower

    def run_pass(self, state: Any) -> bool:
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        done: bool = super().run_pass(state)
        return done


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(KernelLowering):
    """Makes a part that kernels find under a name of its own, and no machine code."""

    _name = "zkinfer_part_lowering"
    library = PartLibrary

    def run_pass(self, state: Any) -> bool:
        state.flags.no_compile = True
        super().run_pass(state)
        name = object()  # numba takes the address of the machine code
        state.cr = state.cr._replace(cfunc=name)
        state.targetctx.insert_user_function(name, state.cr.fndesc, [state.library])
        return True


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """Compiles a kernel: the class that numba is given for it."""

    lowering: type[KernelLowering] = KernelLowering

    def compile_extra(self, func: Any) -> Any:
        """From the function to its code."""
        with collector_waits():
            return super().compile_extra(func)

    def define_pipelines(self) -> list[PassManager]:
        """One way, without numba's way out through Python's objects."""
        passes = PassManager("zkinfer")
        for step in (*UNTYPED, *TYPED, self.lowering, NoPythonBackend):
            passes.add_pass(step, step.name())
        passes.finalize()
        return [passes]


class PartCompiler(KernelCompiler):
    """Compiles a part of kernels."""

    lowering = PartLowering
