"""The way that numba takes from a function to machine code, without what kernels have no use for.

A kernel of this package is plain loops over numbers and arrays: it has no closures, no comprehensions, no `with` and no
expressions of whole arrays. So of numba's passes over a function those for these are left out. A part of kernels is
inlined into each kernel that calls it, and LLVM makes machine code of the kernel alone: by itself numba would optimize
each part by itself, and make machine code of it that nothing calls.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import (
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

UNTYPED = (TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA)
TYPED = (NopythonTypeInference, PreLowerStripPhis, IRLegalization, AnnotateTypes)


class PartLibrary(JITCodeLibrary):  # type: ignore[misc]
    """LLVM's form of a part of kernels: optimized once, because several kernels contain it; no machine code."""

    def _optimize_final_module(self) -> None:
        made = self._codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False, opt=2)
        passes, *builder = made if isinstance(made, tuple) else [made]  # older versions of numba have no builder
        passes.run(self._final_module, *builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(NativeLowering):  # type: ignore[misc]
    """Makes a part that kernels find under a name of its own, and no machine code."""

    _name = "zkinfer_part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.flags.no_compile = True
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        super().run_pass(state)
        name = object()  # numba takes the address of the machine code
        state.cr = state.cr._replace(cfunc=name)
        state.targetctx.insert_user_function(name, state.cr.fndesc, [state.library])
        return True


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """Compiles a kernel: the class that numba is given for it."""

    lowering: type[NativeLowering] = NativeLowering

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
