"""Fetching published models from the hub: resumed where it was stopped, every file checked against its hash."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import FileIO
from logging import CRITICAL
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers, disable_progress_bars, logging

from osor_video.errors import WeightsError
from osor_video.removal.base import HALF, HUB_NAME
from osor_video.removal.catalogue import ADAPTERS, Published
from osor_video.removal.folder import BASE, PARTS, PROMPT_FILES
from osor_video.removal.record import sha256_of
from osor_video.report import Progress, silent

SPARE_BYTES = 1 << 30
TENSORS = ".safetensors"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PART = ".part"
"""End of the name of a file that has come in part."""


@dataclass(frozen=True)
class HubFile:
    """One file to fetch: ``path`` in ``repo`` to ``target``; ``sha256`` where the hub tells it (large files)."""

    repo: str
    path: str
    target: Path
    size: int
    sha256: str | None

    @property
    def part(self) -> Path:
        """What has come of it so far."""
        return self.target.with_name(self.target.name + PART)

    def is_whole(self) -> bool:
        """Whether it is there in full size; the hash is checked when it has been fetched."""
        return self.target.exists() and self.target.stat().st_size == self.size

    def bytes_here(self) -> int:
        """How much of it has come."""
        if self.is_whole():
            return self.size
        return self.part.stat().st_size if self.part.exists() else 0


class _CountedFile(FileIO):
    """A file that tells whenever more is in it; ``before`` counts the bytes of the files before."""

    def __init__(self, path: Path, tell_bytes: Callable[[int], None], before: int) -> None:
        super().__init__(path, "ab")
        self._tell_bytes, self._before = tell_bytes, before

    def write(self, content: Any, /) -> int:
        left = memoryview(content)
        # A write may end early, and the client does not look; the next one says that the disk is full.
        while left:
            left = left[super().write(left) :]
        self._tell_bytes(self._before + self.tell())
        return len(content)


def fetch(model: Published, progress: Progress = silent, endpoint: str | None = None) -> Path:
    """Bring ``model`` into its folder and return that; what is there already stays, what is half there goes on, and a base
    in the hub's own cache is not fetched again.

    Progress is in MiB. WeightsError, with the next step, where there is no network, no permission, no space, or where a
    file is not what the hub says it is.
    """
    api = HfApi(endpoint=endpoint)
    try:
        base = [] if model.cached_base() else _base_files(api, model)
        files = [*base, *_adapter_files(api, model)]
        total, come = sum(file.size for file in files), sum(file.bytes_here() for file in files)
        _check_space(model, total - come)

        def tell_bytes(done: int) -> None:
            progress("fetch", done >> 20, total >> 20)

        tell_bytes(come)
        for file in files:
            if not file.is_whole():
                come -= file.bytes_here()
                _fetch_file(file, model, endpoint, tell_bytes, come)
                come += file.size
        tell_bytes(total)
    except GatedRepoError as error:
        raise WeightsError(
            f"{model.base} asks for its licence to be accepted: do so at https://huggingface.co/{model.base}, then log in "
            "with: hf auth login"
        ) from error
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        raise WeightsError(
            f"The hub does not have what {model.name} needs: {_short(error)} See osor-video models for the files and where "
            "to put them."
        ) from error
    except (OfflineModeIsEnabled, HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise WeightsError(
                f"{model.name} cannot be written to {model.folder}: {error.strerror}. What has come so far is kept: free some "
                "space and give the same command again, or name another place with OSOR_VIDEO_MODELS."
            ) from error
        raise WeightsError(_no_network(model, error)) from error
    return model.folder


def cached_snapshot(repo: str) -> Path | None:
    """The folder of a repository in the hub's cache on this computer, None where it is not there."""
    if not HUB_NAME.fullmatch(repo):
        return None
    try:
        return Path(snapshot_download(repo, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None


def _base_files(api: HfApi, model: Published) -> list[HubFile]:
    listed = _listing(api, model.base)
    wanted = []
    for part in (*PARTS[model.kind], *model.encoders):
        paths = [path for path in listed if path.startswith(f"{part}/")]
        wanted += _without_doubles(paths, prefer_half=part.startswith("text_encoder"))
        if not paths:
            raise WeightsError(f"{model.base} on the hub has no {part}/, which {model.name} needs.")
    return [HubFile(model.base, path, model.folder / BASE / path, *listed[path]) for path in wanted]


def _adapter_files(api: HfApi, model: Published) -> list[HubFile]:
    listed = _listing(api, ADAPTERS)
    if model.adapter not in listed:
        raise WeightsError(f"{ADAPTERS} on the hub has no {model.adapter}, which {model.name} needs.")
    home = model.adapter.split("/", 1)[0]
    prompts = [p for p in listed if p.startswith(f"{home}/") and Path(p).name in PROMPT_FILES]
    return [
        HubFile(ADAPTERS, path, model.folder / Path(path).name, *listed[path])
        for path in (model.adapter, *prompts[:1])
    ]


def _listing(api: HfApi, repo: str) -> dict[str, tuple[int, str | None]]:
    """Size and hash of every file of a repository."""
    siblings = api.model_info(repo, files_metadata=True).siblings or []
    return {
        file.rfilename: (int(file.size or 0), str(file.lfs.sha256) if file.lfs else None) for file in siblings
    }


def _without_doubles(paths: Sequence[str], *, prefer_half: bool) -> list[str]:
    """The files of one part, its weights once: as safetensors, in full or in half precision."""
    tensors = [path for path in paths if TENSORS in path]
    half = [path for path in tensors if f".{HALF}." in path]
    full = [path for path in tensors if path not in half]
    chosen = (half or full) if prefer_half else (full or half)
    others = [
        path for path in paths if Path(path).suffix in (".json", ".txt", ".model") and path not in tensors
    ]
    return sorted([*chosen, *others])


def _fetch_file(
    file: HubFile,
    model: Published,
    endpoint: str | None,
    tell_bytes: Callable[[int], None],
    before: int,
) -> None:
    """Fetch one file, going on with what there is of it, and check it."""
    if constants.HF_HUB_OFFLINE:
        raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
    disable_progress_bars()
    logging.set_verbosity(CRITICAL)  # its word on every broken line; what matters is said in one sentence
    file.target.parent.mkdir(parents=True, exist_ok=True)
    if file.bytes_here() > file.size:
        file.part.unlink()
    # The hub's own download begins anew in every process; its inner function goes on where it is told to.
    with _CountedFile(file.part, tell_bytes, before) as part:
        http_get(
            hf_hub_url(file.repo, file.path, endpoint=endpoint),
            part,
            resume_size=file.bytes_here(),
            headers=build_hf_headers() | {"Accept-Encoding": "identity"},
            expected_size=file.size,
        )
    if file.sha256 is not None and sha256_of(file.part) != file.sha256:
        file.part.unlink()
        raise WeightsError(
            f"{file.path} of {file.repo} came damaged: its sha256 is not the hub's {file.sha256[:12]}. It was deleted; "
            f"run osor-video models fetch {model.name} again."
        )
    file.part.replace(file.target)


def _check_space(model: Published, wanted: int) -> None:
    nearest = next(place for place in (model.folder, *model.folder.parents) if place.exists())
    free = shutil.disk_usage(nearest).free
    if wanted and free < wanted + SPARE_BYTES:
        raise WeightsError(
            f"{model.name} needs {(wanted + SPARE_BYTES) / 1e9:.1f} GB more in {nearest}, and {free / 1e9:.1f} GB are free. "
            "Free some, or name another place with OSOR_VIDEO_MODELS."
        )


def _no_network(model: Published, error: Exception) -> str:
    lacking = model.lacking()
    places = f" Without a network put {lacking}." if lacking else ""
    return f"{model.name} cannot be fetched: {_short(error)}{places} What has come so far is kept; the same command goes on."


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200].rstrip(".") + "."
