"""Which functions of a user's module are served, and their handlers.

Where the module has `__all__`, its functions are the public ones; otherwise those that the module itself defines under
a name without a leading underscore. Functions decorated with `@function` are served in any case, imported ones too.
Owns no state; knows nothing of pools and calls.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from handlers import names
from handlers.contract import FunctionSpec
from handlers.functions.batched import BatchedHandler
from handlers.functions.declare import Declaration, declaration_of
from handlers.functions.handler import FunctionHandler
from handlers.functions.measured import MeasuredHandler
from handlers.functions.signature import Signature, inspect_signature
from handlers.loading import LoadFailed
from handlers.session_hooks import is_hook

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator

    from handlers.contract import Handler


def discover_functions(module: types.ModuleType, module_name: str) -> list[Handler]:
    """Return handlers for a module's public functions, in the order of names.

    `module_name` is the module as configured. Raises LoadFailed for a public function that can not be served.
    """
    handlers: dict[str, Handler] = {}
    for attribute, function in _public(module):
        handler = handler_of(function, name=attribute, module_name=module_name)
        if handler.spec.name in handlers:
            raise LoadFailed(
                f"{module_name} has two functions named {handler.spec.name!r}; give one of them another name with "
                "@function(name=...)"
            )
        handlers[handler.spec.name] = handler
    return [handlers[name] for name in sorted(handlers)]


def handler_of(
    function: Callable[..., Any], *, name: str | None = None, module_name: str | None = None
) -> FunctionHandler:
    """Return the handler of one function; `name` is for one that its declaration does not name."""
    declaration = declaration_of(function) or Declaration()
    served_as = declaration.name or name or str(getattr(function, "__name__", type(function).__name__))
    try:
        names.check(served_as)
    except ValueError as error:
        raise LoadFailed(
            f"The function {served_as!r:.140} can not be served: {error}; use @function(name=...)"
        ) from None
    batch = declaration.batch
    signature = inspect_signature(function, served_as, batched=batch is not None)
    if batch is not None and signature.streaming:
        raise LoadFailed(f"The function {served_as!r} can not be served: it streams, so its calls can not be batched.")
    if declaration.placement == "auto":
        _check_auto(served_as, declaration, signature)
    spec = FunctionSpec(
        name=served_as,
        doc=(inspect.getdoc(function) or "") if declaration.doc is None else declaration.doc,
        pool=declaration.pool,
        placement=declaration.placement,
        streaming=signature.streaming,
        is_async=signature.is_async,
        idempotent=declaration.idempotent,
        pure=declaration.pure,
        thread_safe=declaration.thread_safe,
        arguments_schema=signature.arguments.json_schema,
        result_schema=signature.result.json_schema,
        example=signature.arguments.example,
        module=module_name,
        batch=None if batch is None else batch.rule(),
    )
    if batch is not None:
        return BatchedHandler(function, spec, signature)
    measured = spec.placement == "auto" and not spec.is_async
    return (MeasuredHandler if measured else FunctionHandler)(function, spec, signature)


def _check_auto(served_as: str, declaration: Declaration, signature: Signature) -> None:
    """Raise LoadFailed where a function may not run now here and now there."""
    lacking = [name for name in ("pure", "thread_safe") if not getattr(declaration, name)]
    if lacking:
        raise LoadFailed(
            f"The function {served_as!r} can not be served: placement='auto' may run it in a worker or in the front, "
            f"and some calls in both, so it must be declared pure=True and thread_safe=True; "
            f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing. Where that is not true of it, "
            "leave the placement out."
        )
    if signature.streaming:
        raise LoadFailed(
            f"The function {served_as!r} can not be served: it streams, and streams are not placed by measurement; "
            "leave out placement='auto'."
        )


def _public(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    listed = getattr(module, "__all__", None)
    for attribute, value in list(vars(module).items()):
        if isinstance(value, type) or not _is_function(value) or is_hook(value):
            continue
        if declaration_of(value) is not None or _is_public(module, attribute, value, listed):
            yield attribute, value


def _is_public(module: types.ModuleType, attribute: str, value: Any, listed: Any) -> bool:
    if listed is not None:
        return attribute in listed
    return not attribute.startswith("_") and getattr(value, "__module__", None) == module.__name__


def _is_function(value: Any) -> bool:
    """Functions, and what decorators such as functools.cache make of them."""
    return inspect.isfunction(value) or (callable(value) and inspect.isfunction(getattr(value, "__wrapped__", None)))
