"""Datasets by name, with those of plugins (imports datasets)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.datasets import open_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.cli.app import App
    from qimg_core.datasets import ImageSource


def registered(app: App) -> dict[str, Callable[..., Any]]:
    """The datasets of plugins; each is imported when it is opened."""

    def opener(name: str) -> Callable[..., Any]:
        return lambda *, split: app.registry.load("dataset", name)(split=split)

    return {name: opener(name) for name in app.registry.specs("dataset")}


def open_data(
    app: App, what: str, *, split: str = "train", size: int | tuple[int, int] | None = None, digest: str | None = None
) -> ImageSource:
    """A dataset by name or path: see `qimg_core.datasets.open_images`. Downloads nothing.

    Raises:
        UnknownName, DataError, ConfigurationError.
    """
    where = "test" if split == "test" else "train"
    return open_images(what, split=where, size=size, digest=digest, registered=registered(app))  # type: ignore[arg-type]
