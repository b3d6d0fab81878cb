"""A long clip in parts: followed once, its parts finished apart from each other, wherever that is, and joined by an ordinary run.

The work folder holds what passes between them: the first pass's notes in that of the clip, the edits of each part in one of its
own beside it. Joining takes these over, and the run that goes on with them finds every frame finished: it encodes them in order,
so that the result is that of a run over the whole clip, byte for byte. A part that begins within a shot is handed the latent that
the frames before it carry (``Restorer.warm``); with several frames a batch its last digits may differ, as batches are then put
together otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from osor_video.analysis import with_hole_boxes
from osor_video.background.given import open_plate
from osor_video.errors import ConfigError
from osor_video.masks.marks import Marks
from osor_video.masks.region import NO_REGIONS, Regions
from osor_video.parallel import shared_cores
from osor_video.pipeline import VideoRemover
from osor_video.report import Progress, Stopwatch, silent
from osor_video.restore import Carry, Restorer
from osor_video.video.outputs import check_output
from osor_video.video.probe import SourceInfo
from osor_video.video.reader import read_from
from osor_video.video.source import open_source
from osor_video.work.edits import EDITS, STATE, Edit, EditBook
from osor_video.work.folder import Unfinished, WorkFolder, work_path
from osor_video.work.notebook import NoteBook


@dataclass(frozen=True)
class Followed:
    """A clip after its first pass: the number of each frame's shot, whether all frames are ``finished`` too, so that only joining

    is left, and the seconds by stage.
    """

    shots: list[int]
    finished: bool
    seconds: dict[str, float]


Part = tuple[int, int]
"""First frame and the frame after the last."""


def parts_of(shots: Sequence[int], length: int, batch: int = 1) -> list[Part]:
    """Parts of about ``length`` frames of a clip whose frames belong to ``shots``, none longer than half as much again.

    They begin where a shot does, where one does near enough, else at a multiple of ``batch``. ConfigError for a ``length`` that
    is no more than a batch.
    """
    if length <= batch:
        raise ConfigError(
            f"Parts of {length} frames are asked for, expected more than the {batch} that the model sees together."
        )
    frames, parts, begin = len(shots), list[Part](), 0
    while frames - begin > length + length // 2:
        near = range(begin + max(length // 2, 1), begin + length + length // 2 + 1)
        cuts = [frame for frame in near if shots[frame] != shots[frame - 1]]
        wanted = begin + length
        end = min(cuts, key=lambda frame: (abs(frame - wanted), -frame)) if cuts else wanted - wanted % batch
        parts.append((begin, end))
        begin = end
    return [*parts, (begin, frames)]


def follow_clip(
    remover: VideoRemover,
    path: Path,
    marks: Marks,
    output: Path,
    regions: Regions = NO_REGIONS,
    progress: Progress = silent,
    unfinished: Unfinished = "resume",
) -> Followed:
    """The first pass over the clip at ``path``, written down for its parts and for the run that joins them into ``output``.

    Raises as ``VideoRemover.remove``.
    """
    source, config, clock = open_source(path, remover.config.decode), remover.config, Stopwatch()
    check_output(output, source, config.encode)
    remover.check(source, marks, regions)
    with (
        WorkFolder(output, remover.identity(source, marks, regions), unfinished, kept=True) as work,
        shared_cores() as pool,
    ):
        book = NoteBook(work, config.checkpoint_s)
        remover.analyse(source, marks, pool, clock, progress, None, regions, work, book)
        finished = EditBook(work, config.checkpoint_s).frames == source.frames
        return Followed([note.shot for note in book], finished, clock.seconds)


def finish_part(
    remover: VideoRemover,
    path: Path,
    marks: Marks,
    output: Path,
    part: Part,
    regions: Regions = NO_REGIONS,
    progress: Progress = silent,
) -> dict[str, float]:
    """Finish the frames of one ``part`` of a clip that was followed, with the same arguments; its seconds by stage.

    What an earlier run of the part finished is not done again. Raises OtherRunError where the clip was followed by another run,
    such as one with other settings or on a machine with another graphics card, VideoError where another run is at the part.
    """
    source, config, clock = open_source(path, remover.config.decode), remover.config, Stopwatch()
    identity = remover.identity(source, marks, regions)
    whole = WorkFolder(output, identity)
    whole.check_same()
    begin, end = part
    with (
        WorkFolder(_part_output(output, part), identity, "resume", kept=True) as work,
        shared_cores() as pool,
    ):
        book = EditBook(work, config.checkpoint_s, begin)
        if book.frames == end:
            return {}
        notes = with_hole_boxes(NoteBook(whole, config.checkpoint_s), config.mask)
        plate = open_plate(config, source)
        restorer = Restorer(notes, remover.remover, source.color, config, pool, clock, plate)
        start = book.frames
        carry = book.carry if start > begin else _warmed(restorer, source, begin)
        with (
            closing(read_from(source, restorer.needed(start))) as planes,
            closing(restorer.windows(planes, start, carry, end)) as windows,
        ):
            for restored, carried in windows:
                with clock.stage("keep"):
                    book.add([Edit.of(one, covered=config.encode.check) for one in restored], carried)
                carry, start = carried, start + len(restored)
                progress("remove", start - begin, end - begin)
        book.save(carry)
    return clock.seconds


def join_parts(
    remover: VideoRemover,
    path: Path,
    marks: Marks,
    output: Path,
    parts: Sequence[Part],
    regions: Regions = NO_REGIONS,
) -> None:
    """Hand the finished ``parts`` of a clip over to its own work folder: ``VideoRemover.remove`` that resumes does the rest.

    Nothing of them is left afterwards; parts that are not whole are left to that run.
    """
    source = open_source(path, remover.config.decode)
    identity = remover.identity(source, marks, regions)
    with WorkFolder(output, identity, "resume", kept=True) as work:
        others = [(part[1], WorkFolder(_part_output(output, part), identity)) for part in parts]
        stood = [other.load(STATE) for _, other in others]
        done = all(state and state["frames"] == end for state, (end, _) in zip(stood, others, strict=True))
        if done and EditBook(work, 0).frames < source.frames:
            for _, other in others:
                work.take(other, [name for name in other.names(EDITS) if name != STATE])
            work.save(STATE, {"frames": source.frames, "carry": None})
    for part in parts:
        if work_path(_part_output(output, part)).exists():
            with WorkFolder(_part_output(output, part), identity, "restart"):
                pass  # leaving it removes it


def _warmed(restorer: Restorer, source: SourceInfo, begin: int) -> Carry:
    """What the frames of the shot before ``begin`` carry to it."""
    first = restorer.shot_begin(begin)
    if first == begin:
        return Carry()
    with closing(read_from(source, first)) as planes:
        return restorer.warm(planes, begin)


def _part_output(output: Path, part: Part) -> Path:
    """What a part would write if it were a clip: beside the output, hidden."""
    return output.with_name(f".{output.name}.{part[0]:09d}")
