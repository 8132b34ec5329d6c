"""What of the machine decides a training's last bits?

Precision and the number of threads (reductions are split among threads), and whether algorithms may vary from
call to call. `resolve` writes the first into the spec, `fixed` holds the other two while training; together
with random streams that depend on the position alone (`stream`), they make a training repeatable bit by bit
on one machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from torch.utils import deterministic

from covalign.errors import InputError
from covalign.kernels.freed_memory import kept
from covalign.kernels.threads import blocks_alone, taking
from covalign.networks.architectures.blocks import FEWEST_IMAGES
from covalign.training.spec import TrainingSpec


def resolve(spec: TrainingSpec) -> TrainingSpec:
    """Return the spec with "auto" precision decided for its device, which must be there.

    Raises:
        InputError: the device does not exist, or is not one that trains.
    """
    try:
        torch.empty(1, device=spec.device).tolist()  # "meta" holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"training spec: device = {spec.device!r} is not available ({str(error).splitlines()[0]}); "
            "expected cpu, or cuda where PyTorch was built for it"
        ) from error
    if spec.precision != "auto":
        return spec
    return replace(spec, precision="bfloat16" if _computes_in_bfloat16(spec.device) else "float32")


def _computes_in_bfloat16(device: str) -> bool:
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in capabilities)


def in_blocks(spec: TrainingSpec) -> bool:
    """Say whether a step goes through `covalign.kernels.factorized_stage`, which has threads of its own."""
    return spec.form == "factorized" and spec.device == "cpu" and spec.batch_size >= FEWEST_IMAGES


@contextmanager
def fixed(spec: TrainingSpec) -> Iterator[None]:
    """Hold the thread count and deterministic algorithms, then restore what was set before.

    On the CPU, memory that one step frees is kept for the next.

    On a GPU an operation without a deterministic form warns instead of failing: repeatability bit by bit is
    promised for the CPU only.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=torch.device(spec.device).type != "cpu")
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        memory = kept() if torch.device(spec.device).type == "cpu" else nullcontext()
        with memory, blocks_alone(spec.threads) if in_blocks(spec) else taking(spec.threads):
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
