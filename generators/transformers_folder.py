"""A folder as transformers saves it: a network or a tokenizer, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthworth.errors import UserError


def load_network(kind: str, folder: Path, *, what: str) -> Any:
    """A network with all of its weights, from safetensors alone: in evaluation mode, frozen, float32, on the CPU.

    Parameters
    ----------
    kind : a class of transformers.
    what : the flag that it was asked for with.

    Raises
    ------
    UserError
        When it cannot be read, or its files do not fill the network.
    """
    import transformers

    from synthworth.devices import isolated_randomness
    from synthworth.training.weights import missing_of

    try:
        with isolated_randomness(0):  # what a file lacks is drawn, and then refused
            model, said = getattr(transformers, kind).from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, variant=_variant(folder), local_files_only=True
            )
    except Exception as error:  # of which type, depends on the version of transformers and on what is damaged
        raise UserError(
            f"{what}: {folder} cannot be read as {kind}: {_reason(error)}. Fetch its files again"
        ) from error
    lacking = sorted(map(str, said["missing_keys"]))
    if lacking:  # transformers leaves them random
        n_all = len(model.state_dict())
        raise UserError(f"{what}: {folder} does not fill {kind}: {missing_of(lacking, n_all)}. Give all of its weights")
    return model.eval().requires_grad_(False).float()


def load_tokenizer(kind: str, folder: Path, *, what: str, of: str) -> Any:
    """A tokenizer; no file of it is code, and none is run.

    Parameters
    ----------
    kind : a class of transformers.
    of : whose it is, for the error.

    Raises
    ------
    UserError
        When it cannot be read.
    """
    import transformers

    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # as above
        raise UserError(f"{what}: {folder} holds no tokenizer of {of}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _variant(folder: Path) -> str | None:
    """`fp16`, say, where weights lie as `model.fp16.safetensors` alone; None where there are plain ones."""
    names = sorted(file.name for file in folder.glob("model*.safetensors*"))
    plain = any(name in ("model.safetensors", "model.safetensors.index.json") for name in names)
    found = [name.split(".")[1] for name in names if name.count(".") == 2 and "-of-" not in name]
    return None if plain or not found else found[0]
