"""A progress bar on request, by tqdm."""

from contextlib import nullcontext
from typing import Any


def bar(caller: str, total: int, unit: str, progress: bool, **options: Any) -> Any:
    """Return a context: a bar of `total` units, or None where no progress is asked for."""
    if not progress:
        return nullcontext()
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            f"{caller}(progress=True) needs tqdm: `pip install 'jaxneuro[experiments]'`, or leave progress out."
        ) from error
    return tqdm(total=total, unit=unit, **options)
