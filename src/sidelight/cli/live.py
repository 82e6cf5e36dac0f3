"""``sidelight app``: a page in a browser to try explainers out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidelight.cli.common import say
from sidelight.cli.explain import ModelOption
from sidelight.core.quiet import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidelight.explainer import Explainer

NAME = "app"

RunsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN", help="Run folders of `sidelight fit`, or folders that save_pretrained wrote."
    ),
]
HostOption = Annotated[
    str, typer.Option(help="Address to serve. The default is reached from this machine only.")
]
PortOption = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="Port to serve (default: the first free one from 7860 on)."),
]
ExamplesOption = Annotated[
    int,
    typer.Option(
        min=0, help="Test rows of each run for the gallery. The page measures their maps on demand."
    ),
]
StoredOption = Annotated[
    Path | None,
    typer.Option(
        help="Show these explanations in the gallery instead: a folder of `sidelight explain --csv`."
    ),
]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
CharactersOption = Annotated[int, typer.Option(min=1, help="Longest text that is accepted, in characters.")]
BytesOption = Annotated[
    int, typer.Option(min=1, help="Largest file of a picture that is accepted, in bytes.")
]
PixelsOption = Annotated[
    int, typer.Option(min=1, help="Largest picture that is accepted, width times height.")
]


def run(
    folders: RunsArgument,
    model: ModelOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = None,
    examples: ExamplesOption = 12,
    stored: StoredOption = None,
    open_browser: OpenOption = False,
    max_characters: CharactersOption = 20_000,
    max_bytes: BytesOption = 20 * 2**20,
    max_pixels: PixelsOption = 50_000_000,
) -> None:
    """Serve a page on which a person types a text or drops an image, and plays with the map.

    It shows the verdict, the map of any class, and what the classifier says if only the best part is kept. On demand it
    measures the map and shows other methods beside it. Needs the extra app: pip install 'sidelight\\[app]'.
    """
    quiet_libraries()
    from sidelight.core.optional import require
    from sidelight.inputs.limits import Limits

    require(["gradio"], "the page", "app")
    limits = Limits(max_characters, max_bytes, max_pixels)
    page = make_page(folders, model, examples, stored, limits)
    quiet: dict[str, Any] = {"quiet": True, "prevent_thread_lock": True, "inbrowser": open_browser}
    _, local, _ = page.launch(server_name=host, server_port=port, **quiet)
    say(f"page: {local}   Stop it with Ctrl+C.")
    page.block_thread()


def make_page(
    folders: Sequence[Path], model: str | None, examples: int, stored: Path | None, limits: Any
) -> Any:
    """The page for these folders, as a ``gradio.Blocks``.

    Raises:
        ConfigError: several folders share one model or one folder of explanations.
    """
    from sidelight.cli.explain import open_explainer
    from sidelight.errors import ConfigError
    from sidelight.live.desk import Desk
    from sidelight.live.gallery import Gallery
    from sidelight.live.page import make_page as page_of

    if len(folders) > 1 and (model is not None or stored is not None):
        raise ConfigError("--model and --stored go with one RUN; give one, or leave them out.")
    names = unique_names(folders)
    explainers = {name: open_explainer(folder, model)[0] for name, folder in names.items()}
    galleries = {
        name: Gallery(explainers[name], _examples(folder, examples, stored)) for name, folder in names.items()
    }
    return page_of(Desk(explainers, galleries, _comparing(), limits))


def unique_names(folders: Sequence[Path]) -> dict[str, Path]:
    """A name for each folder: its own, with a number if several folders have it.

    Example:
        >>> list(unique_names([Path("a/films"), Path("b/films"), Path("c")]))
        ['films', 'films (2)', 'c']
    """
    found: dict[str, Path] = {}
    own = [folder.absolute().name or str(folder) for folder in folders]
    for name, folder in zip(own, folders, strict=True):
        # a copy of a folder may be called as the numbered name is
        others = (numbered for n in count(2) if (numbered := f"{name} ({n})") not in own)
        found[next(free for free in chain([name], others) if free not in found)] = folder
    return found


def _examples(folder: Path, count: int, stored: Path | None) -> list[Any]:
    """Rows of the run's test split, or stored explanations. A folder of a scorer alone has neither."""
    if stored is not None:
        from sidelight.explanations.explanation import Explanation
        from sidelight.explanations.reading import read_explanations

        answers = (found for found in read_explanations(stored) if isinstance(found, Explanation))
        return list(islice(answers, count))
    if count == 0 or not (folder / "config.yaml").is_file():
        return []
    from sidelight.lab.runs.run import Run

    return list(Run.open(folder).rows("test", count))


def _comparing() -> Callable[[Explainer, Any, Sequence[str]], Any] | None:
    """The laboratory's ``compare``, or ``None`` if its packages are missing."""
    from sidelight.errors import MissingPackageError

    try:
        from sidelight.lab import compare
    except MissingPackageError:
        return None
    return compare
