"""What arithmetic a cell was computed in: two processors round differently, and training amplifies that."""

from __future__ import annotations

from threadpoolctl import threadpool_info

__all__ = ["arithmetic"]


def arithmetic(device: str, *, learned: bool) -> str:
    """The instructions that the libraries have chosen in this process, in words, such as ``PyTorch AVX512`` or
    ``OpenBLAS Haswell``.

    Args:
        device: Where a method computes, a torch device name.
        learned: Whether it does so with torch; formulas use what NumPy is built on.
    """
    if device.startswith("cuda"):
        import torch

        major, minor = torch.cuda.get_device_capability(device)
        return f"CUDA {torch.version.cuda}, compute capability {major}.{minor}"
    if learned:
        import torch

        return f"PyTorch {torch.backends.cpu.get_cpu_capability()}"
    names = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "flexiblas": "FlexiBLAS"}
    blas = (info for info in threadpool_info() if info["user_api"] == "blas")
    kinds = (f"{names.get(i['internal_api'], i['internal_api'])} {i.get('architecture') or ''}".strip() for i in blas)
    return ", ".join(dict.fromkeys(kinds))
