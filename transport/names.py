"""One refusal for every name that is not known."""

from collections.abc import Collection

from configs.errors import UserError


def require_known(key: str, name: str | None, known: Collection[str | None]) -> None:
    """Raise UserError, listing the known names, unless `name` is one of them."""
    if name not in known:
        choices = ", ".join(str(choice) for choice in known)
        raise UserError(f"{key}={name!r} is not known: choose one of {choices}")
